-- What people write is sealed like forms, and the audit chain is bound with a key. The same as migrations/desk-postgres.

ALTER TABLE comments ADD COLUMN sealed BLOB;   -- the text, where there is a key; then `text` is empty
ALTER TABLE audit_head ADD COLUMN key BLOB;    -- sealed: what the hashes are made with, and from which entry on

-- An erasure finds the cases of a quote.
CREATE INDEX case_quotes_quote ON case_quotes (tenant, quote_id);
