-- The same tables as migrations/desk-postgres, column by column. Times are microseconds since 1970 (BIGINT there, INTEGER here).

-- Whose log this is a projection of, and what the sink has to know.
CREATE TABLE desk (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- How far each part of the log has been projected: the position is that of the next record.
CREATE TABLE sink_offsets (
    feed          TEXT NOT NULL,    -- decisions, quotes, control
    log_partition INTEGER NOT NULL,
    next          INTEGER NOT NULL,
    PRIMARY KEY (feed, log_partition)
) STRICT, WITHOUT ROWID;

-- Every revision of every decision, as published.
CREATE TABLE decisions (
    log_partition       INTEGER NOT NULL, -- of the decided quote
    log_offset          INTEGER NOT NULL,
    revision            INTEGER NOT NULL,
    event_time          INTEGER NOT NULL,
    is_current          INTEGER NOT NULL, -- 1 for the highest revision
    decision_id         TEXT NOT NULL,
    tenant              TEXT NOT NULL,
    quote_id            TEXT NOT NULL,
    verdict             TEXT NOT NULL,    -- accept, flag, refer
    answer              TEXT NOT NULL,
    referral_id         TEXT,
    rules               TEXT NOT NULL,    -- ids of the rules that matched, a space before and after each; empty for none
    attempts            INTEGER NOT NULL,
    suspicious_attempts INTEGER NOT NULL,
    suspicion           REAL NOT NULL,
    json                TEXT NOT NULL,
    PRIMARY KEY (log_partition, log_offset, revision, event_time)
) STRICT;
CREATE INDEX decisions_time ON decisions (event_time, log_partition, log_offset) WHERE is_current = 1;
CREATE INDEX decisions_tenant ON decisions (tenant, event_time, log_partition, log_offset) WHERE is_current = 1;
CREATE INDEX decisions_notable ON decisions (event_time, log_partition, log_offset)
    WHERE is_current = 1 AND (verdict <> 'accept' OR rules <> '');
CREATE INDEX decisions_quote ON decisions (tenant, quote_id);

-- The quotes as they came.
CREATE TABLE forms (
    log_partition INTEGER NOT NULL,
    log_offset    INTEGER NOT NULL,
    arrival       INTEGER NOT NULL,
    tenant        TEXT NOT NULL,
    quote_id      TEXT NOT NULL,
    product       TEXT NOT NULL,
    channel       TEXT NOT NULL,
    source        TEXT NOT NULL, -- http, file, kafka
    premium       REAL,
    body          BLOB,          -- sealed; NULL once erased
    PRIMARY KEY (log_partition, log_offset, arrival)
) STRICT;
CREATE INDEX forms_arrival ON forms (arrival);
CREATE INDEX forms_quote ON forms (tenant, quote_id);

CREATE TABLE cases (
    referral_id        TEXT PRIMARY KEY,
    tenant             TEXT NOT NULL,
    status             TEXT NOT NULL,    -- open, cleared, confirmed, proof_requested
    revision           INTEGER NOT NULL, -- 1, and 1 more for each change of the status
    opened_at          INTEGER NOT NULL, -- event time of its first referral
    active_at          INTEGER NOT NULL, -- of its newest
    reason             TEXT NOT NULL,
    rule               TEXT NOT NULL,
    quotes             INTEGER NOT NULL, -- referred ones
    variants           INTEGER NOT NULL,
    premium_first      REAL,
    premium_lowest     REAL,
    premium_last       REAL,
    newest_partition   INTEGER NOT NULL, -- the newest referred quote
    newest_offset      INTEGER NOT NULL,
    snoozed_rule       TEXT,
    snoozed_until      INTEGER,
    assignee           TEXT,
    lease_by           TEXT,
    lease_until        INTEGER,
    deciding           TEXT,             -- the ruling that is on its way to the log
    deciding_until     INTEGER,
    published_revision INTEGER NOT NULL  -- the last one told to topic and webhooks
) STRICT;
CREATE INDEX cases_queue ON cases (status, opened_at, referral_id);
CREATE INDEX cases_tenant ON cases (tenant, status, opened_at, referral_id);
CREATE INDEX cases_waiting ON cases (opened_at, referral_id) WHERE status IN ('open', 'proof_requested');
CREATE INDEX cases_assignee ON cases (assignee, status, opened_at, referral_id) WHERE assignee IS NOT NULL;
CREATE INDEX cases_rule ON cases (rule, status);
CREATE INDEX cases_opened ON cases (opened_at);
CREATE INDEX cases_unpublished ON cases (referral_id) WHERE published_revision < revision;

-- The quotes of a case: those referred to it, and the attempts linked to them.
CREATE TABLE case_quotes (
    referral_id   TEXT NOT NULL,
    log_partition INTEGER NOT NULL,
    log_offset    INTEGER NOT NULL,
    is_referred   INTEGER NOT NULL,
    tenant        TEXT NOT NULL,
    quote_id      TEXT NOT NULL,
    event_time    INTEGER NOT NULL,
    premium       REAL,
    PRIMARY KEY (referral_id, log_partition, log_offset)
) STRICT, WITHOUT ROWID;
CREATE INDEX case_quotes_position ON case_quotes (log_partition, log_offset);

-- Rulings of the log.
CREATE TABLE dispositions (
    log_partition INTEGER NOT NULL,
    log_offset    INTEGER NOT NULL,
    at            INTEGER NOT NULL, -- arrival in the log
    ruling_id     TEXT NOT NULL,
    tenant        TEXT NOT NULL,
    referral_id   TEXT NOT NULL,
    kind          TEXT NOT NULL,
    rule          TEXT,
    until         INTEGER,
    by_whom       TEXT,
    quote_ids     TEXT NOT NULL,    -- JSON array
    PRIMARY KEY (log_partition, log_offset)
) STRICT;
CREATE INDEX dispositions_case ON dispositions (referral_id, log_partition, log_offset);

-- Quotes whose forms must not be kept: a form may come after its erasure.
CREATE TABLE erased (
    tenant   TEXT NOT NULL,
    quote_id TEXT NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (tenant, quote_id)
) STRICT, WITHOUT ROWID;

-- Decisions counted by minute of their event time: kind verdict (accept, flag, refer) or rule (its id).
CREATE TABLE tallies (
    minute INTEGER NOT NULL, -- microseconds since 1970, a whole minute
    tenant TEXT NOT NULL,
    kind   TEXT NOT NULL,
    name   TEXT NOT NULL,
    count  INTEGER NOT NULL,
    PRIMARY KEY (minute, tenant, kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE comments (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    referral_id TEXT NOT NULL,
    at          INTEGER NOT NULL,
    actor       TEXT NOT NULL,
    text        TEXT NOT NULL
) STRICT;
CREATE INDEX comments_case ON comments (referral_id, id);

-- Who did and saw what: each row is bound to the one before it.
CREATE TABLE audit (
    seq     INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL, -- JSON object
    prev    TEXT NOT NULL, -- 64 hex digits
    hash    TEXT NOT NULL
) STRICT;
CREATE INDEX audit_actor ON audit (actor, seq);
CREATE INDEX audit_subject ON audit (subject, seq);

-- Its end, so that rows cut off the end are missed.
CREATE TABLE audit_head (
    id   INTEGER PRIMARY KEY CHECK (id = 0),
    seq  INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;
INSERT INTO audit_head VALUES (0, 0, '0000000000000000000000000000000000000000000000000000000000000000');
