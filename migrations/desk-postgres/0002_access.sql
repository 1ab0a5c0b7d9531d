-- Who may use the console. The same tables as migrations/desk-sqlite; times are microseconds since 1970.

CREATE TABLE accounts (
    name          TEXT PRIMARY KEY,
    role          TEXT NOT NULL,    -- underwriter, analyst, admin, auditor
    tenant        TEXT,             -- the only one it sees; NULL: every one
    password_hash TEXT,             -- argon2id, PHC format; NULL: it logs in through the company
    must_change   BIGINT NOT NULL,
    is_disabled   BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    last_login_at BIGINT
);

CREATE TABLE sessions (
    hash       BYTEA PRIMARY KEY,   -- SHA-256 of the secret in the cookie
    account    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,     -- of its owner's last request, to half a minute
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_account ON sessions (account);

-- Failed log-ins by name (hashed) and by address.
CREATE TABLE login_failures (
    key          TEXT PRIMARY KEY,
    failures     BIGINT NOT NULL,
    last_at      BIGINT NOT NULL,
    locked_until BIGINT NOT NULL
);
CREATE INDEX login_failures_last ON login_failures (last_at);
