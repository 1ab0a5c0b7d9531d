-- What webhooks have to be told, and how far each of them was.

CREATE TABLE webhook_outbox (
    seq         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    referral_id TEXT NOT NULL,
    revision    BIGINT NOT NULL,
    tenant      TEXT NOT NULL,
    at          BIGINT NOT NULL,
    UNIQUE (referral_id, revision)
);
CREATE INDEX webhook_outbox_at ON webhook_outbox (at);

CREATE TABLE webhook_cursors (
    webhook     TEXT PRIMARY KEY,
    told        BIGINT NOT NULL, -- the last one it was told
    attempts    BIGINT NOT NULL, -- failed ones of the next
    retry_at    BIGINT NOT NULL,
    lease_until BIGINT NOT NULL  -- an instance is at it
);
