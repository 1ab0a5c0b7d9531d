-- Who may use the console. The same tables as migrations/desk-postgres; times are microseconds since 1970.

CREATE TABLE accounts (
    name          TEXT PRIMARY KEY,
    role          TEXT NOT NULL,    -- underwriter, analyst, admin, auditor
    tenant        TEXT,             -- the only one it sees; NULL: every one
    password_hash TEXT,             -- argon2id, PHC format; NULL: it logs in through the company
    must_change   INTEGER NOT NULL,
    is_disabled   INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    last_login_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    hash       BLOB PRIMARY KEY,    -- SHA-256 of the secret in the cookie
    account    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,    -- of its owner's last request, to half a minute
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_account ON sessions (account);

-- Failed log-ins by name (hashed) and by address.
CREATE TABLE login_failures (
    key          TEXT PRIMARY KEY,
    failures     INTEGER NOT NULL,
    last_at      INTEGER NOT NULL,
    locked_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX login_failures_last ON login_failures (last_at);
