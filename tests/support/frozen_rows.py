"""Rows as each schema held them when it was the newest. Frozen: add to this, never change it."""

from typing import Any

HOUR = 3_600_000
T = 1_790_000_000_000

_TOKENS = (
    "input_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_read_tokens",
    "output_tokens",
    "thinking_tokens",
)


def _request(n: int, at_ms: int, model: str | None, simulated: int, cost: int) -> dict[str, Any]:
    return {
        "id": f"01a0c2f0aa007000800000000000000{n}",
        "at_ms": at_ms,
        "purpose": "live",
        "surface": "messages",
        "endpoint": "messages",
        "requested_model": "trimtab/auto",
        "model": model,
        "effort": None,
        "tier": "default",
        "platform": "claude",
        "session": "s'\"\\ ü",
        "result": "ok",
        "status": 200,
        "error": None,
        "stream": 1,
        "simulated": simulated,
        "attempt_count": 1,
        "cost_nanousd": cost,
        **dict(zip(_TOKENS, (100 + n, 1, 2, 3, 50 + n, 4), strict=True)),
        "total_ms": 812.5 + n,
        "first_content_ms": None if n == 3 else 301.25,
        "request_bytes": 300,
        "response_bytes": 900,
        "config_version": "c",
        "catalogue_version": "2026-11",
        "parent": None,
        "detail": f'{{"id":"01a0c2f0aa007000800000000000000{n}"}}',
    }


def _attempt(n: int, cost: int) -> dict[str, Any]:
    return {
        "request_id": f"01a0c2f0aa007000800000000000000{n}",
        "n": 0,
        "platform": "claude",
        "model": "claude-sonnet-4-6",
        "status": 200,
        "result": "ok",
        "error": None,
        "stop_reason": "end_turn",
        "provider_request_id": "req_1",
        "cost_nanousd": cost,
        "cost_source": "reported",
        **dict(zip(_TOKENS, (100 + n, 1, 2, 3, 50 + n, 4), strict=True)),
        "head_ms": 400.0,
        "first_content_ms": None,
        "total_ms": 810.0,
    }


def _gap(serial: int, purpose: str, from_ms: int, requests: int) -> dict[str, Any]:
    return {
        "writer": "w",
        "serial": serial,
        "purpose": purpose,
        "simulated": 0,
        "from_ms": from_ms,
        "to_ms": from_ms + 100,
        "requests": requests,
        "attempts": requests,
        "cost_nanousd": requests * 7,
        **dict.fromkeys(_TOKENS, requests),
    }


ROWS: tuple[tuple[int, str, dict[str, Any]], ...] = (
    (1, "requests", _request(1, T, "claude-sonnet-4-6", 0, 1_050_000)),
    (1, "requests", _request(2, T + 5, "claude-sonnet-4-6", 0, 2_000_000)),
    (1, "requests", _request(3, T + 3 * HOUR, None, 0, 0)),
    (1, "requests", _request(4, T, "claude-sonnet-4-6", 1, 9)),
    (1, "attempts", _attempt(1, 1_050_000)),
    (1, "attempts", _attempt(2, 2_000_000)),
    (1, "attempts", _attempt(4, 9)),
    (1, "config_versions", {"version": "c", "at_ms": T, "content": b"version = 1\n\xff\x00"}),
    (2, "record_gaps", _gap(1, "live", T, 3)),
    (2, "record_gaps", _gap(2, "live", T + 10, 4)),
    (2, "record_gaps", _gap(2, "judge", T + HOUR, 5)),
    (4, "key_spend", {"key_id": "key_1", "simulated": 0, "spent_nanousd": 2**53}),
    (5, "organisations", {"name": "acme", "created_ms": T}),
    (5, "teams", {"organisation": "acme", "name": "red", "created_ms": T}),
    (5, "users", {"organisation": "acme", "name": "ann", "created_ms": T}),
    (
        5,
        "keys",
        {
            "id": "key_1",
            "version": 1,
            "name": "ci",
            "organisation": "acme",
            "team": "red",
            "user_name": "",
            "created_ms": T,
            "expires_ms": None,
            "revoked_ms": None,
            "models": '["claude-sonnet-4-6"]',
            "tiers": None,
            "platforms": None,
            "default_tier": None,
            "admin": 0,
            "limits": "{}",
            "labels": "{}",
        },
    ),
    (
        5,
        "key_secrets",
        {
            "digest": bytes(range(32)),
            "version": 1,
            "key_id": "key_1",
            "prefix": "tt_abc",
            "created_ms": T,
            "ends_ms": None,
        },
    ),
    (6, "workers", {"id": "w", "host": "h", "pid": 1, "started_ms": T, "seen_ms": T}),
    (6, "key_permits", {"key_id": "key_1", "worker": "w", "permits": 3}),
    (
        7,
        "jobs",
        {
            "id": "job_1",
            "kind": "k",
            "queue": "default",
            "owner": "o",
            "priority": 0,
            "unique_key": None,
            "state": "ready",
            "run_at_ms": 5,
            "due_ms": 5,
            "epoch": 0,
            "attempts": 0,
            "max_attempts": 5,
            "backoff_ms": 1000,
            "losses": 0,
            "created_ms": 5,
            "updated_ms": 5,
            "input": b"null",
        },
    ),
    (
        8,
        "idempotency_keys",
        {
            "scope": "s",
            "body_hash": "h",
            "request_id": "r",
            "worker": "w",
            "at_ms": T,
            "done": 1,
            "answer": b"\x00",
        },
    ),
    (9, "chores", {"name": "retention", "holder": None, "until_ms": 0, "done_ms": T}),
    (
        11,
        "content",
        {
            "request_id": "01a0c2f0aa0070008000000000000001",
            "at_ms": T,
            "purpose": "live",
            "simulated": 0,
            "key_id": "key_1",
            "user_name": "ann",
            "team_id": "red",
            "organisation": "acme",
            "mode": "full",
            "request": b"x\x01\x03\x00\x00\x00\x00\x01",
            "request_bytes": 0,
            "request_cut": 0,
            "answer": None,
            "answer_bytes": 0,
            "answer_cut": 0,
            "answer_kind": "",
            "answer_encoding": "",
        },
    ),
    (
        11,
        "content_deletions",
        {"kind": "key", "organisation": "", "subject": "key_9", "until_ms": T, "at_ms": T},
    ),
    (10, "store_identity", {"name": "store", "id": "5" * 32}),
    (
        12,
        "console_users",
        {
            "name": "ann",
            "role": "operator",
            "password": "$argon2id$v=19$m=32768,t=3,p=1$c2FsdHNhbHRzYWx0$aGFzaA",
            "password_ms": T,
            "created_ms": T,
            "disabled_ms": None,
        },
    ),
    (
        12,
        "console_sessions",
        {"digest": bytes(range(32, 64)), "user_name": "ann", "created_ms": T, "seen_ms": T + 1},
    ),
    (
        13,
        "figures",
        {
            "width_ms": HOUR,
            "from_ms": T - T % HOUR,
            "scope": '["acme","red"]',
            "dimension": "tier",
            "simulated": 0,
            "purpose": "live",
            "content": '[["default",2,[[2,0,3050000,203,2,4,6,103,8],[77,2],[65,1]]]]',
        },
    ),
    (13, "figure_spans", {"width_ms": HOUR, "from_ms": T - T % HOUR, "requests": 2}),
    (
        14,
        "attempts_by_hour",
        {
            "hour_ms": T - T % HOUR,
            "simulated": 0,
            "purpose": "live",
            "platform": "claude",
            "account": "2",
            "model": "claude-sonnet-4-6",
            "attempts": 6,
            "answered": 2,
            "refused": 1,
            "limited": 1,
            "failed": 1,
            "cancelled": 1,
            "cost_nanousd": 3_050_000,
            "input_tokens": 203,
            "output_tokens": 103,
            "timed_tokens": 101,
            "timed_ms": 812.5,
        },
    ),
    (
        15,
        "budgets",
        {
            "name": "red-month",
            "organisation": "acme",
            "made_ms": T,
            "changed_ms": T + 1,
            "removed_ms": None,
            "settings": '{"organisation":"acme","team":"red","usd_per_month":500.25,"soft":true}',
            "version": 3,
        },
    ),
    (
        15,
        "budget_warnings",
        {
            "budget": "red-month.usd_per_month",
            "account": "team=acme/red/usd/2026-09",
            "simulated": 0,
            "level": 80,
            "limit_amount": 500_250_000_000,
            "spent_amount": 400_250_000_000,
            "at_ms": T,
            "state": "waiting",
            "tries": 2,
            "due_ms": T + 9,
            "problem": "answered 503",
        },
    ),
    (
        17,
        "tasks",
        {
            "id": "task_1",
            "key_id": "key_1",
            "organisation": "acme",
            "team": "red",
            "user_name": "",
            "name": "n",
            "scenario": "agent",
            "tags": '["a"]',
            "state": "open",
            "created_ms": T,
            "changed_ms": T,
            "events": 1,
            "detail": b'{"id":"task_1","total":1000,"phases":[{"name":"p","planned":1000,"budget":1000,"floor":250}]}',
        },
    ),
    (
        17,
        "task_holds",
        {
            "request_id": "01a0c2f0aa0070008000000000000001",
            "task": "task_1",
            "worker": "w",
            "at_ms": T,
            "settled": 1,
            "known": 0,
            "input_tokens": 0,
            "output_tokens": 0,
            "nanousd": None,
        },
    ),
    (
        17,
        "task_events",
        {
            "task": "task_1",
            "n": 1,
            "at_ms": T,
            "kind": "created",
            "phase": "p",
            "tokens": 1000,
            "source": "",
            "reason": "",
            "request_id": "",
            "nanousd": 0,
        },
    ),
    (
        16,
        "feedback",
        {
            "request_id": "01a0c2f0aa0070008000000000000001",
            "source": "user",
            "covers": "request",
            "score": 1.0,
            "note": "as asked",
            "teller": "key:key_1",
            "at_ms": T + 5,
            "earlier": '[{"score":0.0,"covers":"request","teller":"key:key_1","at_ms":1}]',
        },
    ),
    (18, "catalogue_versions", {"version": "2026-11", "at_ms": T, "content": b"x\x9c\xabV*\x00"}),
    (
        18,
        "price_terms",
        {
            "config_version": "c",
            "catalogue_version": "2026-11",
            "entry": "claude",
            "platform": "anthropic",
            "regional": 0,
            "discount": "0.125",
            "at_ms": T,
        },
    ),
    (
        23,
        "edited_answers",
        {
            "request_id": "01a0c2f0aa0070008000000000000001",
            "source": "user",
            "at_ms": T,
            "key_id": "key_1",
            "user_name": "ann",
            "organisation": "acme",
            "mode": "full",
            "answer": b"x\x01S2\xb64T\x02\x00\x02\xaa\x00\xe2",
        },
    ),
    (
        19,
        "cached_answers",
        {
            "digest": "7" * 64,
            "request_id": "01a0c2f0aa0070008000000000000001",
            "at_ms": T,
            "made_ms": T + 5,
            "used_ms": T + 9,
            "expires_ms": T + HOUR,
            "simulated": 0,
            "place": "claude@1",
            "key_id": "key_1",
            "user_name": "ann",
            "team_id": "red",
            "organisation": "acme",
            "model": "claude-sonnet-4-6",
            "cost_nanousd": 3_050_000,
            "hits": 2,
            "size": 8,
            "answer": b"x\x01\x03\x00\x00\x00\x00\x01",
        },
    ),
    (
        19,
        "cache_by_hour",
        {
            "hour_ms": T - T % HOUR,
            "simulated": 0,
            "organisation": "acme",
            "key_id": "key_1",
            "model": "claude-sonnet-4-6",
            "hits": 2,
            "misses": 1,
            "saved_nanousd": 6_100_000,
        },
    ),
    (
        20,
        "artefacts",
        {"kind": "effort", "version": "0123456789abcdef", "made_ms": T, "content": b'{"classes":[]}'},
    ),
    (
        21,
        "budget_warnings",
        {
            "budget": "red-month.usd_per_month",
            "account": "team=acme/red/usd/2026-09",
            "simulated": 0,
            "level": 101,
            "limit_amount": 500_250_000_000,
            "spent_amount": 499_250_000_000,
            "at_ms": T,
            "state": "sent",
            "tries": 1,
            "due_ms": T,
            "problem": "",
            "asked_amount": 2_000_000_000,
        },
    ),
    (
        22,
        "judged_attempts",
        {
            "request_id": "01a0c2f0aa0070008000000000000001",
            "n": 0,
            "step": 0,
            "at_ms": T,
            "purpose": "live",
            "simulated": 0,
            "route": "auto",
            "task_class": "code",
            "model": "claude-sonnet-4-6",
            "effort": "medium",
            "thinking": "adaptive",
            "result": "ok",
            "says": "escalate",
            "released": 0,
            "cost_nanousd": 1_050_000,
            "checks_nanousd": 200_000,
            "checks_ms": 12.5,
            "total_ms": 810.25,
            "verdicts": '[["tests","escalate",200000,12.5,false]]',
            "texts": 1,
        },
    ),
)
"""The step from which a database can hold the row, its table, and its columns."""


def rows_at(step: int) -> list[tuple[str, dict[str, Any]]]:
    """What a database of that schema holds, as its last writer left it."""
    added = {"key_id": "", "team_id": "", "organisation": ""} if step >= 4 else {}
    return [
        (table, {**row, **added} if table == "record_gaps" else row)
        for first, table, row in ROWS
        if first <= step
    ]


# A file of schema 1 as the first Trimtab wrote it. Frozen: never change this text.
SCHEMA_1_FILE = """
PRAGMA page_size = 8192;
PRAGMA journal_mode = WAL;
PRAGMA application_id = 1414679892;
CREATE TABLE schema_version (version INTEGER NOT NULL PRIMARY KEY, at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE requests (
    id TEXT NOT NULL PRIMARY KEY, at_ms INTEGER NOT NULL, purpose TEXT NOT NULL, surface TEXT NOT NULL,
    endpoint TEXT NOT NULL, requested_model TEXT NOT NULL, model TEXT, effort TEXT, tier TEXT, platform TEXT,
    session TEXT NOT NULL, result TEXT NOT NULL, status INTEGER NOT NULL, error TEXT, stream INTEGER NOT NULL,
    simulated INTEGER NOT NULL, attempt_count INTEGER NOT NULL, cost_nanousd INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL, cache_write_5m_tokens INTEGER NOT NULL, cache_write_1h_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, thinking_tokens INTEGER NOT NULL,
    total_ms REAL NOT NULL, first_content_ms REAL, request_bytes INTEGER NOT NULL, response_bytes INTEGER NOT NULL,
    config_version TEXT NOT NULL, catalogue_version TEXT NOT NULL, parent TEXT, detail TEXT NOT NULL) STRICT;
CREATE INDEX requests_by_time ON requests (at_ms);
CREATE INDEX requests_by_session ON requests (session);
CREATE INDEX requests_by_parent ON requests (parent) WHERE parent IS NOT NULL;
CREATE TABLE attempts (
    request_id TEXT NOT NULL, n INTEGER NOT NULL, platform TEXT NOT NULL, model TEXT NOT NULL, status INTEGER,
    result TEXT NOT NULL, error TEXT, stop_reason TEXT, provider_request_id TEXT, cost_nanousd INTEGER NOT NULL,
    cost_source TEXT NOT NULL, input_tokens INTEGER NOT NULL, cache_write_5m_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    thinking_tokens INTEGER NOT NULL, head_ms REAL, first_content_ms REAL, total_ms REAL NOT NULL,
    PRIMARY KEY (request_id, n)) STRICT, WITHOUT ROWID;
CREATE TABLE config_versions (
    version TEXT NOT NULL PRIMARY KEY, at_ms INTEGER NOT NULL, content BLOB NOT NULL) STRICT;
INSERT INTO schema_version VALUES (1, 1790000000000);
INSERT INTO requests VALUES (
    '01a0c2f0aa0070008000000000000001', 1790000000000, 'live', 'messages', 'messages', 'claude-sonnet-4-6',
    'claude-sonnet-4-6', NULL, NULL, 'claude', 's', 'ok', 200, NULL, 0, 0, 1, 1050000, 100, 0, 0, 0, 50, 0, 812.5,
    NULL, 300, 900, 'c', '2026-11', NULL, '{"id":"01a0c2f0aa0070008000000000000001"}');
INSERT INTO attempts VALUES (
    '01a0c2f0aa0070008000000000000001', 0, 'claude', 'claude-sonnet-4-6', 200, 'ok', NULL, 'end_turn', 'req_1',
    1050000, 'reported', 100, 0, 0, 0, 50, 0, 400.0, NULL, 810.0);
"""

# A file of schema 2 as the Trimtab of that time wrote it: one of schema 1 that was brought forward. Frozen too.
SCHEMA_2_FILE = (
    SCHEMA_1_FILE
    + """
CREATE TABLE record_gaps (
    writer TEXT NOT NULL, serial INTEGER NOT NULL, purpose TEXT NOT NULL, simulated INTEGER NOT NULL,
    from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL, requests INTEGER NOT NULL, attempts INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL, input_tokens INTEGER NOT NULL, cache_write_5m_tokens INTEGER NOT NULL,
    cache_write_1h_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
    thinking_tokens INTEGER NOT NULL, PRIMARY KEY (writer, serial, purpose, simulated, from_ms)) STRICT, WITHOUT ROWID;
INSERT INTO schema_version VALUES (2, 1790000000001);
INSERT INTO record_gaps VALUES ('w', 1, 'live', 0, 1790000000000, 1790000000100, 3, 3, 21, 3, 3, 3, 3, 3, 3);
"""
)
