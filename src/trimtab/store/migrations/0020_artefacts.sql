-- What jobs and commands have learnt and published: tables, routers, certificates. A version never changes.
-- works with: 19
CREATE TABLE artefacts (
    kind TEXT NOT NULL,
    version TEXT NOT NULL,
    made_ms INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (kind, version)
) STRICT, WITHOUT ROWID;
