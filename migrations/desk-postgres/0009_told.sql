-- What the figures and the messages of the desk need. The same as migrations/desk-sqlite.

-- Rules that matched in the decisions of a case: a ruling on it speaks of each of them.
CREATE TABLE case_rules (
    referral_id TEXT NOT NULL,
    rule        TEXT NOT NULL,
    PRIMARY KEY (referral_id, rule)
);
INSERT INTO case_rules (referral_id, rule) SELECT DISTINCT d.referral_id, r.value FROM decisions d, unnest(string_to_array(trim(d.rules), ' ')) AS r(value)
WHERE d.referral_id IS NOT NULL AND d.rules <> '';

-- A case is told of when its status changes and when a further quote joins it: as revision + quotes - 1. What was told already is not
-- told again, and what still waits for a webhook is found by its new number.
CREATE INDEX cases_untold ON cases (referral_id) WHERE published_revision < revision + quotes - 1;
UPDATE cases SET published_revision = revision + quotes - 1 WHERE published_revision >= revision AND quotes > 1;
UPDATE webhook_outbox SET revision = c.revision + c.quotes - 1 FROM cases c
WHERE c.referral_id = webhook_outbox.referral_id AND c.revision = webhook_outbox.revision AND c.quotes > 1;
