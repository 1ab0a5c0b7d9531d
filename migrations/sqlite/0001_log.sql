-- What may not change while there are records: identity of the log, engine version, settings.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The total order and the only truth; everything below can be recomputed from it.
CREATE TABLE log (
    offset  INTEGER PRIMARY KEY,
    kind    INTEGER NOT NULL, -- 0 quote, 1 rule book, 2 skipped
    clock   INTEGER NOT NULL, -- 0 log, 1 stream, 2 event
    arrival INTEGER NOT NULL, -- microseconds since 1970
    source  INTEGER NOT NULL, -- 0 http, 1 file, 2 control
    tenant  TEXT NOT NULL,
    client  TEXT,
    body    BLOB NOT NULL
) STRICT;

CREATE INDEX log_control ON log (offset) WHERE kind = 1;

-- Every revision of every decision, as published.
CREATE TABLE decisions (
    tenant   TEXT NOT NULL,
    quote_id TEXT NOT NULL,
    offset   INTEGER NOT NULL, -- of the decided quote
    revision INTEGER NOT NULL,
    json     BLOB NOT NULL,
    UNIQUE (tenant, quote_id, offset, revision)
) STRICT;

-- Encoded deltas of one batch each, contiguous: what a restart applies.
CREATE TABLE segments (
    from_offset    INTEGER PRIMARY KEY,
    to_offset      INTEGER NOT NULL,
    max_event_time INTEGER NOT NULL, -- microseconds since 1970
    checksum       INTEGER NOT NULL, -- xxh3 of deltas
    deltas         BLOB NOT NULL
) STRICT;

CREATE TABLE position (
    id          INTEGER PRIMARY KEY CHECK (id = 0),
    next_offset INTEGER NOT NULL,
    arrival     INTEGER NOT NULL
) STRICT;

-- Watched files, by name within their folder.
CREATE TABLE file_positions (
    name         TEXT PRIMARY KEY,
    prefix_bytes INTEGER NOT NULL,
    prefix_hash  INTEGER NOT NULL,
    byte_offset  INTEGER NOT NULL,
    lines        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Dead letters: records that could not be decided.
CREATE TABLE rejects (
    offset  INTEGER PRIMARY KEY,
    reason  TEXT NOT NULL,
    error   TEXT NOT NULL,
    pointer TEXT NOT NULL,
    file    TEXT,
    line    INTEGER,
    raw     BLOB NOT NULL
) STRICT;
