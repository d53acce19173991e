-- From here on each step says which schema a program must at least know to work with the database after it.
ALTER TABLE schema_version ADD COLUMN works_with INTEGER NOT NULL DEFAULT 0;
