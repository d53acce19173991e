-- By which prices records were made, so that a past month can be priced again: the files of each version of the
-- catalogue (zlib over JSON), and what each platform entry of a configuration was priced as.
-- works with: 17
CREATE TABLE catalogue_versions (
    version TEXT NOT NULL PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE TABLE price_terms (
    config_version TEXT NOT NULL,
    catalogue_version TEXT NOT NULL,
    entry TEXT NOT NULL,
    platform TEXT NOT NULL,
    regional INTEGER NOT NULL,
    discount TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (config_version, catalogue_version, entry)
) STRICT, WITHOUT ROWID;
