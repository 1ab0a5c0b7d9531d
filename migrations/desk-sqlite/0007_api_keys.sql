-- Keys of the API. The same tables as migrations/desk-postgres; times are microseconds since 1970.

CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,    -- whom it belongs to; those of one rotation share it
    tenant       TEXT NOT NULL,
    may          TEXT NOT NULL,    -- what it opens, with commas
    hash         BLOB NOT NULL,    -- SHA-256 of the whole key
    rate_per_sec INTEGER,          -- 0: no limit; NULL: that of the configuration
    burst        INTEGER,
    created_at   INTEGER NOT NULL,
    created_by   TEXT NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER,          -- to a minute
    rotated_from TEXT              -- the key that this one takes the place of
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_name ON api_keys (name);

-- Counts the changes, so that instances see whether they have to read anew.
CREATE TABLE api_keys_head (
    id      INTEGER PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT;
INSERT INTO api_keys_head (id, version) VALUES (0, 0);
