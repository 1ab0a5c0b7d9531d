-- What the pages count, answered by indexes alone: what waits, and what was ruled. The same as migrations/desk-sqlite.
CREATE INDEX cases_counts ON cases (tenant, status, opened_at) WHERE status IN ('open', 'proof_requested') AND quotes > 0;
CREATE INDEX cases_ruled ON cases (tenant, status, referral_id) WHERE status IN ('confirmed', 'cleared');
DROP INDEX cases_rule;
