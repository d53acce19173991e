-- What the console's questions need to stay quick.
-- works with: 12
-- Figures of finished spans of time, worked out in the background from the records: one row for each thing that
-- requests are told apart by, with all its names. `scope` is '' or a JSON list of an organisation, or of an
-- organisation and a team; `content` is a JSON list of names, each with its requests, counts and times.
CREATE TABLE figures (
    width_ms INTEGER NOT NULL,
    from_ms INTEGER NOT NULL,
    scope TEXT NOT NULL,
    dimension TEXT NOT NULL,
    simulated INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (width_ms, scope, dimension, simulated, from_ms, purpose)
) STRICT;
CREATE INDEX figures_by_span ON figures (width_ms, from_ms);
-- Which spans are in, empty ones too, and how many requests they count: more are there when some came late.
CREATE TABLE figure_spans (
    width_ms INTEGER NOT NULL,
    from_ms INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (width_ms, from_ms)
) STRICT, WITHOUT ROWID;
-- The requests of a session in their order, and what failed: few of many, and what people look for.
DROP INDEX requests_by_session;
CREATE INDEX requests_by_session ON requests (session, at_ms);
CREATE INDEX requests_not_ok ON requests (at_ms) WHERE result <> 'ok';
