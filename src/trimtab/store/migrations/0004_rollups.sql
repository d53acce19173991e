-- Keys on records, roll-ups, and what each key has spent.
-- A program that knows only step 3 would write records that no roll-up counts.
-- works with: 4
ALTER TABLE requests ADD COLUMN key_id TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN team_id TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN organisation TEXT NOT NULL DEFAULT '';
CREATE INDEX requests_by_key ON requests (key_id, at_ms) WHERE key_id <> '';
-- Gaps belong to keys too, because their money does.
CREATE TABLE record_gaps_of_keys (
    writer TEXT NOT NULL,
    serial INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    simulated INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    team_id TEXT NOT NULL,
    organisation TEXT NOT NULL,
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
    PRIMARY KEY (writer, serial, purpose, simulated, key_id, from_ms)
) STRICT, WITHOUT ROWID;
INSERT INTO record_gaps_of_keys
    SELECT writer, serial, purpose, simulated, '', '', '', from_ms, to_ms,
        requests, attempts, cost_nanousd, input_tokens, cache_write_5m_tokens,
        cache_write_1h_tokens, cache_read_tokens, output_tokens, thinking_tokens
    FROM record_gaps;
DROP TABLE record_gaps;
ALTER TABLE record_gaps_of_keys RENAME TO record_gaps;
-- Roll-ups: sums by the hour, changed in the transaction that adds the records. What a record does not have is ''.
-- Dropped records count with result 'dropped' and model ''.
CREATE TABLE usage_by_hour (
    hour_ms INTEGER NOT NULL,
    simulated INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    model TEXT NOT NULL,
    effort TEXT NOT NULL,
    tier TEXT NOT NULL,
    platform TEXT NOT NULL,
    result TEXT NOT NULL,
    requests INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cache_write_5m_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    thinking_tokens INTEGER NOT NULL,
    total_ms REAL NOT NULL,
    PRIMARY KEY (hour_ms, simulated, purpose, model, effort, tier, platform, result)
) STRICT, WITHOUT ROWID; -- sqlite
) WITH (fillfactor = 50); -- postgresql
CREATE TABLE usage_by_key (
    hour_ms INTEGER NOT NULL,
    simulated INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    organisation TEXT NOT NULL,
    team_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    model TEXT NOT NULL,
    requests INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cache_write_5m_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    thinking_tokens INTEGER NOT NULL,
    PRIMARY KEY (hour_ms, simulated, purpose, organisation, team_id, key_id, model)
) STRICT, WITHOUT ROWID; -- sqlite
) WITH (fillfactor = 50); -- postgresql
CREATE TABLE usage_by_team (
    hour_ms INTEGER NOT NULL,
    simulated INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    organisation TEXT NOT NULL,
    team_id TEXT NOT NULL,
    model TEXT NOT NULL,
    requests INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cache_write_5m_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    thinking_tokens INTEGER NOT NULL,
    PRIMARY KEY (hour_ms, simulated, purpose, organisation, team_id, model)
) STRICT, WITHOUT ROWID; -- sqlite
) WITH (fillfactor = 50); -- postgresql
-- How long answers took: eight buckets to the octave, b0 to b7, from 2^octave milliseconds to 2^(octave + 1).
CREATE TABLE latency_by_hour (
    hour_ms INTEGER NOT NULL,
    simulated INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    model TEXT NOT NULL,
    tier TEXT NOT NULL,
    platform TEXT NOT NULL,
    kind TEXT NOT NULL,
    octave INTEGER NOT NULL,
    b0 INTEGER NOT NULL,
    b1 INTEGER NOT NULL,
    b2 INTEGER NOT NULL,
    b3 INTEGER NOT NULL,
    b4 INTEGER NOT NULL,
    b5 INTEGER NOT NULL,
    b6 INTEGER NOT NULL,
    b7 INTEGER NOT NULL,
    PRIMARY KEY (hour_ms, simulated, purpose, model, tier, platform, kind, octave)
) STRICT, WITHOUT ROWID; -- sqlite
) WITH (fillfactor = 50); -- postgresql
-- The same for all tiers and platforms together: a tenth of the rows, however many requests there are in an hour.
CREATE TABLE latency_by_model (
    hour_ms INTEGER NOT NULL,
    simulated INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    model TEXT NOT NULL,
    kind TEXT NOT NULL,
    octave INTEGER NOT NULL,
    b0 INTEGER NOT NULL,
    b1 INTEGER NOT NULL,
    b2 INTEGER NOT NULL,
    b3 INTEGER NOT NULL,
    b4 INTEGER NOT NULL,
    b5 INTEGER NOT NULL,
    b6 INTEGER NOT NULL,
    b7 INTEGER NOT NULL,
    PRIMARY KEY (hour_ms, simulated, purpose, model, kind, octave)
) STRICT, WITHOUT ROWID; -- sqlite
) WITH (fillfactor = 50); -- postgresql
-- What each key has ever spent on requests of purpose live and task, dropped ones included.
CREATE TABLE key_spend (
    key_id TEXT NOT NULL,
    simulated INTEGER NOT NULL,
    spent_nanousd INTEGER NOT NULL,
    PRIMARY KEY (key_id, simulated)
) STRICT, WITHOUT ROWID; -- sqlite
) WITH (fillfactor = 50); -- postgresql
-- What is there already. 11.54 is 8 / ln 2.
INSERT INTO usage_by_hour
    SELECT at_ms - at_ms % 3600000, simulated, purpose, coalesce(model, ''), coalesce(effort, ''), coalesce(tier, ''),
        coalesce(platform, ''), result,
        count(*), sum(attempt_count), sum(cost_nanousd), sum(input_tokens),
        sum(cache_write_5m_tokens), sum(cache_write_1h_tokens), sum(cache_read_tokens),
        sum(output_tokens), sum(thinking_tokens), sum(total_ms)
    FROM requests GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
INSERT INTO usage_by_hour
    SELECT to_ms - to_ms % 3600000, simulated, purpose, '', '', '', '', 'dropped',
        sum(requests), sum(attempts), sum(cost_nanousd), sum(input_tokens),
        sum(cache_write_5m_tokens), sum(cache_write_1h_tokens), sum(cache_read_tokens),
        sum(output_tokens), sum(thinking_tokens), 0
    FROM record_gaps GROUP BY 1, 2, 3;
INSERT INTO usage_by_key
    SELECT at_ms - at_ms % 3600000, simulated, purpose, '', '', '', coalesce(model, ''),
        count(*), sum(attempt_count), sum(cost_nanousd), sum(input_tokens),
        sum(cache_write_5m_tokens), sum(cache_write_1h_tokens), sum(cache_read_tokens),
        sum(output_tokens), sum(thinking_tokens)
    FROM requests GROUP BY 1, 2, 3, 7;
INSERT INTO usage_by_team
    SELECT at_ms - at_ms % 3600000, simulated, purpose, '', '', coalesce(model, ''),
        count(*), sum(attempt_count), sum(cost_nanousd), sum(input_tokens),
        sum(cache_write_5m_tokens), sum(cache_write_1h_tokens), sum(cache_read_tokens),
        sum(output_tokens), sum(thinking_tokens)
    FROM requests GROUP BY 1, 2, 3, 6;
INSERT INTO usage_by_key
    SELECT to_ms - to_ms % 3600000, simulated, purpose, '', '', '', '',
        sum(requests), sum(attempts), sum(cost_nanousd), sum(input_tokens),
        sum(cache_write_5m_tokens), sum(cache_write_1h_tokens), sum(cache_read_tokens),
        sum(output_tokens), sum(thinking_tokens)
    FROM record_gaps WHERE true GROUP BY 1, 2, 3
    ON CONFLICT (hour_ms, simulated, purpose, organisation, team_id, key_id, model) DO UPDATE SET
        requests = usage_by_key.requests + excluded.requests,
        attempts = usage_by_key.attempts + excluded.attempts,
        cost_nanousd = usage_by_key.cost_nanousd + excluded.cost_nanousd,
        input_tokens = usage_by_key.input_tokens + excluded.input_tokens,
        cache_write_5m_tokens = usage_by_key.cache_write_5m_tokens + excluded.cache_write_5m_tokens,
        cache_write_1h_tokens = usage_by_key.cache_write_1h_tokens + excluded.cache_write_1h_tokens,
        cache_read_tokens = usage_by_key.cache_read_tokens + excluded.cache_read_tokens,
        output_tokens = usage_by_key.output_tokens + excluded.output_tokens,
        thinking_tokens = usage_by_key.thinking_tokens + excluded.thinking_tokens;
INSERT INTO usage_by_team
    SELECT to_ms - to_ms % 3600000, simulated, purpose, '', '', '',
        sum(requests), sum(attempts), sum(cost_nanousd), sum(input_tokens),
        sum(cache_write_5m_tokens), sum(cache_write_1h_tokens), sum(cache_read_tokens),
        sum(output_tokens), sum(thinking_tokens)
    FROM record_gaps WHERE true GROUP BY 1, 2, 3
    ON CONFLICT (hour_ms, simulated, purpose, organisation, team_id, model) DO UPDATE SET
        requests = usage_by_team.requests + excluded.requests,
        attempts = usage_by_team.attempts + excluded.attempts,
        cost_nanousd = usage_by_team.cost_nanousd + excluded.cost_nanousd,
        input_tokens = usage_by_team.input_tokens + excluded.input_tokens,
        cache_write_5m_tokens = usage_by_team.cache_write_5m_tokens + excluded.cache_write_5m_tokens,
        cache_write_1h_tokens = usage_by_team.cache_write_1h_tokens + excluded.cache_write_1h_tokens,
        cache_read_tokens = usage_by_team.cache_read_tokens + excluded.cache_read_tokens,
        output_tokens = usage_by_team.output_tokens + excluded.output_tokens,
        thinking_tokens = usage_by_team.thinking_tokens + excluded.thinking_tokens;
INSERT INTO latency_by_hour
    SELECT hour_ms, simulated, purpose, model, tier, platform, kind, bucket / 8,
        sum(CASE WHEN bucket % 8 = 0 THEN 1 ELSE 0 END),
        sum(CASE WHEN bucket % 8 = 1 THEN 1 ELSE 0 END),
        sum(CASE WHEN bucket % 8 = 2 THEN 1 ELSE 0 END),
        sum(CASE WHEN bucket % 8 = 3 THEN 1 ELSE 0 END),
        sum(CASE WHEN bucket % 8 = 4 THEN 1 ELSE 0 END),
        sum(CASE WHEN bucket % 8 = 5 THEN 1 ELSE 0 END),
        sum(CASE WHEN bucket % 8 = 6 THEN 1 ELSE 0 END),
        sum(CASE WHEN bucket % 8 = 7 THEN 1 ELSE 0 END)
    FROM (
        SELECT hour_ms, simulated, purpose, model, tier, platform, kind,
            CASE WHEN ms <= 1 THEN 0 WHEN ms >= 16000000 THEN 191
                ELSE CAST(floor(ln(ms) * 11.541560327111707) AS INTEGER) END AS bucket
        FROM (
            SELECT at_ms - at_ms % 3600000 AS hour_ms, simulated, purpose, coalesce(model, '') AS model,
                coalesce(tier, '') AS tier, coalesce(platform, '') AS platform, 'total' AS kind, total_ms AS ms
            FROM requests WHERE result IN ('ok', 'truncated') AND endpoint <> 'count_tokens'
            UNION ALL
            SELECT at_ms - at_ms % 3600000, simulated, purpose, coalesce(model, ''),
                coalesce(tier, ''), coalesce(platform, ''), 'first_content', first_content_ms
            FROM requests WHERE result IN ('ok', 'truncated') AND endpoint <> 'count_tokens'
                AND first_content_ms IS NOT NULL
        ) AS timed
    ) AS sorted_in
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
INSERT INTO latency_by_model
    SELECT hour_ms, simulated, purpose, model, kind, octave,
        sum(b0), sum(b1), sum(b2), sum(b3), sum(b4), sum(b5), sum(b6), sum(b7)
    FROM latency_by_hour GROUP BY 1, 2, 3, 4, 5, 6;
