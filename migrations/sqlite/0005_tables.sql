-- Tables of databases that are sources, by the name of the source: the last row that was taken.
CREATE TABLE table_positions (
    name TEXT PRIMARY KEY,
    xid  INTEGER NOT NULL, -- of the transaction that wrote it
    key  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
