-- Totals of records that could not be kept.
CREATE TABLE record_gaps (
    writer TEXT NOT NULL,
    serial INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    simulated INTEGER NOT NULL,
    from_ms INTEGER NOT NULL,
    to_ms INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cache_write_5m_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    thinking_tokens INTEGER NOT NULL,
    PRIMARY KEY (writer, serial, purpose, simulated, from_ms)
) STRICT, WITHOUT ROWID;
