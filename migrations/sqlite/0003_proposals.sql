-- Kind 4 of the log: rule books that wait for the approval of a second person.
CREATE INDEX log_proposals ON log (offset) WHERE kind = 4;
