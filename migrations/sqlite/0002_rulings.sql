-- A record of kind 3 is a ruling: what a restart reads of those that are older than the kept segments.
CREATE INDEX log_rulings ON log (offset) WHERE kind = 3;
