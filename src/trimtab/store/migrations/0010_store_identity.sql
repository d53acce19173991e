-- Which store this is, so that stores that share a directory of journals recover only their own. One row, by the first
-- process that serves.
-- works with: 9
CREATE TABLE store_identity (
    name TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL
) STRICT;
