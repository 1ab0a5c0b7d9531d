-- Keys of the API. The same tables as migrations/desk-sqlite; times are microseconds since 1970.

CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,   -- whom it belongs to; those of one rotation share it
    tenant       TEXT NOT NULL,
    may          TEXT NOT NULL,   -- what it opens, with commas
    hash         BYTEA NOT NULL,  -- SHA-256 of the whole key
    rate_per_sec BIGINT,          -- 0: no limit; NULL: that of the configuration
    burst        BIGINT,
    created_at   BIGINT NOT NULL,
    created_by   TEXT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    last_used_at BIGINT,          -- to a minute
    rotated_from TEXT             -- the key that this one takes the place of
);
CREATE INDEX api_keys_name ON api_keys (name);

-- Counts the changes, so that instances see whether they have to read anew.
CREATE TABLE api_keys_head (
    id      BIGINT PRIMARY KEY,
    version BIGINT NOT NULL
);
INSERT INTO api_keys_head (id, version) VALUES (0, 0);
