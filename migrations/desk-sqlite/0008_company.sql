-- Accounts that log in through the company's provider: who that is there. The same as migrations/desk-postgres.

ALTER TABLE accounts ADD COLUMN issuer TEXT;
ALTER TABLE accounts ADD COLUMN subject TEXT;
CREATE UNIQUE INDEX accounts_identity ON accounts (issuer, subject);
