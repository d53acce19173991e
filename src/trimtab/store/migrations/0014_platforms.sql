-- What each platform did: its calls, counted one by one, because a request may take several.
-- While a program that knows only step 13 runs beside a newer one, the calls that it records are in no row of
-- attempts_by_hour; everything else counts them.
-- works with: 13
-- Which key of a platform's pool a call went out with; '' where there is no pool.
ALTER TABLE attempts ADD COLUMN account TEXT NOT NULL DEFAULT '';
-- The newest errors of a platform: ids sort by time.
CREATE INDEX attempts_failed ON attempts (platform, request_id) WHERE error IS NOT NULL;
-- Changed in the transaction that adds the records, as the other roll-ups are; counting tokens is not among the calls.
-- timed_tokens and timed_ms: output tokens of answered calls, and how long they took to come.
CREATE TABLE attempts_by_hour (
    hour_ms INTEGER NOT NULL,
    simulated INTEGER NOT NULL,
    purpose TEXT NOT NULL,
    platform TEXT NOT NULL,
    account TEXT NOT NULL,
    model TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    limited INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    timed_tokens INTEGER NOT NULL,
    timed_ms REAL NOT NULL,
    PRIMARY KEY (hour_ms, simulated, purpose, platform, account, model)
) STRICT, WITHOUT ROWID; -- sqlite
) WITH (fillfactor = 50); -- postgresql
-- What is there already. The words are those of `records.ending`.
INSERT INTO attempts_by_hour
    SELECT hour_ms, simulated, purpose, platform, '', model, count(*),
        sum(CASE WHEN ending = 'answered' THEN 1 ELSE 0 END),
        sum(CASE WHEN ending = 'refused' THEN 1 ELSE 0 END),
        sum(CASE WHEN ending = 'limited' THEN 1 ELSE 0 END),
        sum(CASE WHEN ending = 'failed' THEN 1 ELSE 0 END),
        sum(CASE WHEN ending = 'cancelled' THEN 1 ELSE 0 END),
        sum(cost_nanousd), sum(input_tokens), sum(output_tokens),
        sum(CASE WHEN ending = 'answered' THEN output_tokens ELSE 0 END),
        sum(CASE WHEN ending = 'answered' THEN took_ms ELSE 0 END)
    FROM (
        SELECT r.at_ms - r.at_ms % 3600000 AS hour_ms, r.simulated, r.purpose, a.platform,
            coalesce(r.model, '') AS model, a.cost_nanousd,
            a.input_tokens + a.cache_write_5m_tokens + a.cache_write_1h_tokens + a.cache_read_tokens AS input_tokens,
            a.output_tokens, a.total_ms - coalesce(a.first_content_ms, 0) AS took_ms,
            CASE WHEN a.result = 'ok' THEN 'answered'
                WHEN a.result = 'cancelled' THEN 'cancelled'
                WHEN a.status = 429 THEN 'limited'
                WHEN a.status IN (400, 413, 422) THEN 'refused'
                WHEN a.status IS NULL AND a.error LIKE 'RequestError: %' THEN 'refused'
                ELSE 'failed' END AS ending
        FROM attempts a JOIN requests r ON r.id = a.request_id
        WHERE r.endpoint <> 'count_tokens'
    ) AS tried
    GROUP BY 1, 2, 3, 4, 6;
-- Of hours whose records were deleted only sums are left, each request with one call at most; which of those that
-- failed were refused or limited is not known, nor how fast answers were, and token counting is among them.
INSERT INTO attempts_by_hour
    SELECT hour_ms, simulated, purpose, platform, '', model, sum(attempts),
        sum(CASE WHEN result = 'ok' THEN attempts ELSE 0 END), 0, 0,
        sum(CASE WHEN result NOT IN ('ok', 'cancelled') THEN attempts ELSE 0 END),
        sum(CASE WHEN result = 'cancelled' THEN attempts ELSE 0 END),
        sum(cost_nanousd), sum(input_tokens + cache_write_5m_tokens + cache_write_1h_tokens + cache_read_tokens),
        sum(output_tokens), 0, 0
    FROM usage_by_hour
    WHERE attempts > 0 AND platform <> ''
        AND hour_ms < (SELECT coalesce(min(at_ms), 9007199254740992) FROM requests) / 3600000 * 3600000
    GROUP BY 1, 2, 3, 4, 6;
