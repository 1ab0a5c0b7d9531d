-- What webhooks have to be told, and how far each of them was.

CREATE TABLE webhook_outbox (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    referral_id TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    tenant      TEXT NOT NULL,
    at          INTEGER NOT NULL,
    UNIQUE (referral_id, revision)
) STRICT;
CREATE INDEX webhook_outbox_at ON webhook_outbox (at);

CREATE TABLE webhook_cursors (
    webhook     TEXT PRIMARY KEY,
    told        INTEGER NOT NULL, -- the last one it was told
    attempts    INTEGER NOT NULL, -- failed ones of the next
    retry_at    INTEGER NOT NULL,
    lease_until INTEGER NOT NULL  -- an instance is at it
) STRICT;
