-- Personal data at rest. Where there is a key, by its id, the bytes beside it are sealed with it; where there is none, they are as they came.
ALTER TABLE log ADD COLUMN key INTEGER;
ALTER TABLE segments ADD COLUMN key INTEGER;
ALTER TABLE rejects ADD COLUMN key INTEGER;
