-- The same tables as migrations/desk-sqlite, column by column. Times are microseconds since 1970.
-- `decisions` and `forms` are partitioned by month; the sink makes the partitions ahead.

-- Whose log this is a projection of, and what the sink has to know.
CREATE TABLE desk (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- How far each part of the log has been projected: the position is that of the next record.
CREATE TABLE sink_offsets (
    feed          TEXT NOT NULL,    -- decisions, quotes, control
    log_partition BIGINT NOT NULL,
    next          BIGINT NOT NULL,
    PRIMARY KEY (feed, log_partition)
);

-- Every revision of every decision, as published.
CREATE TABLE decisions (
    log_partition       BIGINT NOT NULL, -- of the decided quote
    log_offset          BIGINT NOT NULL,
    revision            BIGINT NOT NULL,
    event_time          BIGINT NOT NULL,
    is_current          BIGINT NOT NULL, -- 1 for the highest revision
    decision_id         TEXT NOT NULL,
    tenant              TEXT NOT NULL,
    quote_id            TEXT NOT NULL,
    verdict             TEXT NOT NULL,    -- accept, flag, refer
    answer              TEXT NOT NULL,
    referral_id         TEXT,
    rules               TEXT NOT NULL,    -- ids of the rules that matched, a space before and after each; empty for none
    attempts            BIGINT NOT NULL,
    suspicious_attempts BIGINT NOT NULL,
    suspicion           DOUBLE PRECISION NOT NULL,
    json                TEXT NOT NULL,
    PRIMARY KEY (log_partition, log_offset, revision, event_time)
) PARTITION BY RANGE (event_time);
CREATE INDEX decisions_time ON decisions (event_time, log_partition, log_offset) WHERE is_current = 1;
CREATE INDEX decisions_tenant ON decisions (tenant, event_time, log_partition, log_offset) WHERE is_current = 1;
CREATE INDEX decisions_notable ON decisions (event_time, log_partition, log_offset)
    WHERE is_current = 1 AND (verdict <> 'accept' OR rules <> '');
CREATE INDEX decisions_quote ON decisions (tenant, quote_id);

-- The quotes as they came.
CREATE TABLE forms (
    log_partition BIGINT NOT NULL,
    log_offset    BIGINT NOT NULL,
    arrival       BIGINT NOT NULL,
    tenant        TEXT NOT NULL,
    quote_id      TEXT NOT NULL,
    product       TEXT NOT NULL,
    channel       TEXT NOT NULL,
    source        TEXT NOT NULL, -- http, file, kafka
    premium       DOUBLE PRECISION,
    body          BYTEA,          -- sealed; NULL once erased
    PRIMARY KEY (log_partition, log_offset, arrival)
) PARTITION BY RANGE (arrival);
CREATE INDEX forms_arrival ON forms (arrival);
CREATE INDEX forms_quote ON forms (tenant, quote_id);

CREATE TABLE cases (
    referral_id        TEXT PRIMARY KEY,
    tenant             TEXT NOT NULL,
    status             TEXT NOT NULL,    -- open, cleared, confirmed, proof_requested
    revision           BIGINT NOT NULL, -- 1, and 1 more for each change of the status
    opened_at          BIGINT NOT NULL, -- event time of its first referral
    active_at          BIGINT NOT NULL, -- of its newest
    reason             TEXT NOT NULL,
    rule               TEXT NOT NULL,
    quotes             BIGINT NOT NULL, -- referred ones
    variants           BIGINT NOT NULL,
    premium_first      DOUBLE PRECISION,
    premium_lowest     DOUBLE PRECISION,
    premium_last       DOUBLE PRECISION,
    newest_partition   BIGINT NOT NULL, -- the newest referred quote
    newest_offset      BIGINT NOT NULL,
    snoozed_rule       TEXT,
    snoozed_until      BIGINT,
    assignee           TEXT,
    lease_by           TEXT,
    lease_until        BIGINT,
    deciding           TEXT,             -- the ruling that is on its way to the log
    deciding_until     BIGINT,
    published_revision BIGINT NOT NULL  -- the last one told to topic and webhooks
);
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
    log_partition BIGINT NOT NULL,
    log_offset    BIGINT NOT NULL,
    is_referred   BIGINT NOT NULL,
    tenant        TEXT NOT NULL,
    quote_id      TEXT NOT NULL,
    event_time    BIGINT NOT NULL,
    premium       DOUBLE PRECISION,
    PRIMARY KEY (referral_id, log_partition, log_offset)
);
CREATE INDEX case_quotes_position ON case_quotes (log_partition, log_offset);

-- Rulings of the log.
CREATE TABLE dispositions (
    log_partition BIGINT NOT NULL,
    log_offset    BIGINT NOT NULL,
    at            BIGINT NOT NULL, -- arrival in the log
    ruling_id     TEXT NOT NULL,
    tenant        TEXT NOT NULL,
    referral_id   TEXT NOT NULL,
    kind          TEXT NOT NULL,
    rule          TEXT,
    until         BIGINT,
    by_whom       TEXT,
    quote_ids     TEXT NOT NULL,    -- JSON array
    PRIMARY KEY (log_partition, log_offset)
);
CREATE INDEX dispositions_case ON dispositions (referral_id, log_partition, log_offset);

-- Quotes whose forms must not be kept: a form may come after its erasure.
CREATE TABLE erased (
    tenant   TEXT NOT NULL,
    quote_id TEXT NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (tenant, quote_id)
);

-- Decisions counted by minute of their event time: kind verdict (accept, flag, refer) or rule (its id).
CREATE TABLE tallies (
    minute BIGINT NOT NULL, -- microseconds since 1970, a whole minute
    tenant TEXT NOT NULL,
    kind   TEXT NOT NULL,
    name   TEXT NOT NULL,
    count  BIGINT NOT NULL,
    PRIMARY KEY (minute, tenant, kind, name)
);

CREATE TABLE comments (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    referral_id TEXT NOT NULL,
    at          BIGINT NOT NULL,
    actor       TEXT NOT NULL,
    text        TEXT NOT NULL
);
CREATE INDEX comments_case ON comments (referral_id, id);

-- Who did and saw what: each row is bound to the one before it.
CREATE TABLE audit (
    seq     BIGINT PRIMARY KEY,
    at      BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL, -- JSON object
    prev    TEXT NOT NULL, -- 64 hex digits
    hash    TEXT NOT NULL
);
CREATE INDEX audit_actor ON audit (actor, seq);
CREATE INDEX audit_subject ON audit (subject, seq);

-- Its end, so that rows cut off the end are missed.
CREATE TABLE audit_head (
    id   BIGINT PRIMARY KEY CHECK (id = 0),
    seq  BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO audit_head VALUES (0, 0, '0000000000000000000000000000000000000000000000000000000000000000');
