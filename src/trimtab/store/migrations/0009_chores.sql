-- Upkeep that one process at a time does for all: who does it, until when it counts as done by them, when it was done.
-- works with: 8
CREATE TABLE chores (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT,
    until_ms INTEGER NOT NULL,
    done_ms INTEGER NOT NULL
) STRICT;
