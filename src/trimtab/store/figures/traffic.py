"""What one model did lately, request by request: tokens that were billed, live conversations, and kept prompts.

What it is not: figures over time (`reading`). Invariants: a bounded number of records is read; real and simulated
requests are never added; requests that took several steps of a cascade are left out; content that a deletion covers is
not found.
"""

import msgspec

from trimtab.store.content import ContentStore
from trimtab.store.database import Database, Transaction

LIVE_MS = 3_600_000
"""Conversations that asked so lately may go on: the longest that the vendor keeps a prefix is an hour."""

LIVE_MOST = 20_000
"""Requests of that hour that are looked at."""

_PURPOSES = "purpose IN ('live', 'task') AND endpoint = 'messages' AND result IN ('ok', 'truncated')"
_ONE_STEP = "NOT EXISTS (SELECT 1 FROM judged_attempts WHERE request_id = {}.id AND step > 0)"
"""Tokens of a cascade's steps are of several arms."""


class ModelTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over answered requests of one model."""

    requests: int
    first_ms: int
    """Arrival of the first of them."""
    input_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    cache_read_tokens: int
    output_tokens: int
    live_conversations: int
    live_prefix_tokens: int


class KeptRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt that was kept, with what it was billed."""

    request_id: str
    at_ms: int
    session: str
    body: bytes
    redacted: bool
    attempts: int
    """Upstream calls; the tokens are those of all of them."""
    input_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    cache_read_tokens: int
    output_tokens: int


_SUMS = (
    "count(*), coalesce(min(at_ms), 0), coalesce(CAST(sum(input_tokens) AS BIGINT), 0), "
    "coalesce(CAST(sum(cache_write_5m_tokens) AS BIGINT), 0), coalesce(CAST(sum(cache_write_1h_tokens) AS BIGINT), 0), "
    "coalesce(CAST(sum(cache_read_tokens) AS BIGINT), 0), coalesce(CAST(sum(output_tokens) AS BIGINT), 0)"
)


def model_traffic(database: Database, model: str, *, from_ms: int, simulated: bool) -> ModelTraffic:
    """Answered requests of a model since then. Blocks; reads them all. Raises `StoreError`."""

    def work(view: Transaction) -> ModelTraffic:
        where, values = (
            f"model = ? AND at_ms >= ? AND simulated = ? AND {_PURPOSES} AND {_ONE_STEP.format('requests')}",
            (model, from_ms, int(simulated)),
        )
        row = view.row(f"SELECT {_SUMS} FROM requests WHERE {where}", values)  # noqa: S608 (our own words)
        last = view.row(f"SELECT max(at_ms) FROM requests WHERE {where}", values)  # noqa: S608
        assert row is not None
        newest = 0 if last is None or last[0] is None else int(last[0])
        lately = view.rows(
            "SELECT session, cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens FROM requests "  # noqa: S608
            f"WHERE {where} AND at_ms >= ? ORDER BY at_ms DESC LIMIT ?",
            (*values, newest - LIVE_MS, LIVE_MOST),
        )
        live: dict[str, int] = {}
        for session, tokens in lately:
            live.setdefault(session, int(tokens))
        cached = [tokens for tokens in live.values() if tokens]
        return ModelTraffic(
            requests=int(row[0]),
            first_ms=int(row[1]),
            input_tokens=int(row[2]),
            cache_write_5m_tokens=int(row[3]),
            cache_write_1h_tokens=int(row[4]),
            cache_read_tokens=int(row[5]),
            output_tokens=int(row[6]),
            live_conversations=len(cached),
            live_prefix_tokens=sum(cached),
        )

    return database.read(work)


def kept_requests(
    database: Database, model: str, *, from_ms: int, simulated: bool, most: int
) -> list[KeptRequest]:
    """Whole prompts of a model's answered requests, the newest first; those that were cut are left out. Blocks.

    Raises `StoreError`. Cost: unpacks one after the other, 1 ms for 53 KB.
    """
    rows = database.read(
        lambda view: view.rows(
            "SELECT r.id, r.at_ms, r.session, r.input_tokens, r.cache_write_5m_tokens, r.cache_write_1h_tokens, "  # noqa: S608
            "r.cache_read_tokens, r.output_tokens, r.attempt_count "
            "FROM requests r JOIN content c ON c.request_id = r.id "
            f"WHERE r.model = ? AND r.at_ms >= ? AND r.simulated = ? AND {_of_requests()} "
            f"AND {_ONE_STEP.format('r')} AND c.request_cut = 0 AND c.request IS NOT NULL "
            "ORDER BY r.at_ms DESC, r.id DESC LIMIT ?",
            (model, from_ms, int(simulated), most),
        )
    )
    store = ContentStore(database)
    found = []
    for row in rows:
        content = store.find(row[0])
        if content is None or content.request is None:
            continue  # deleted since
        found.append(
            KeptRequest(
                request_id=row[0],
                at_ms=row[1],
                session=row[2],
                body=content.request,
                redacted=content.mode != "full",
                input_tokens=row[3],
                cache_write_5m_tokens=row[4],
                cache_write_1h_tokens=row[5],
                cache_read_tokens=row[6],
                output_tokens=row[7],
                attempts=row[8],
            )
        )
    return found


class BilledPrompt(msgspec.Struct, frozen=True):
    """A prompt that is kept whole, and what its one call was billed for it."""

    request_id: str
    model: str
    at_ms: int
    tokens: int


def billed_prompts(database: Database, *, from_ms: int, most: int) -> list[BilledPrompt]:
    """Real requests since then whose prompts are kept, of all models, the newest first; their prompts are not read.

    Blocks. Raises `StoreError`. Cost: goes by what is kept, not by what is recorded; some us for each.
    """
    rows = database.read(
        lambda view: view.rows(
            "SELECT r.id, r.model, r.at_ms, r.input_tokens + r.cache_write_5m_tokens + r.cache_write_1h_tokens + "  # noqa: S608
            "r.cache_read_tokens FROM (SELECT request_id, at_ms FROM content WHERE at_ms >= ? AND simulated = 0 "
            "ORDER BY at_ms DESC LIMIT ?) c JOIN requests r ON r.id = c.request_id "
            f"WHERE r.simulated = 0 AND r.attempt_count = 1 AND {_of_requests()} ORDER BY c.at_ms DESC, r.id DESC",
            (from_ms, most),
        )
    )
    return [BilledPrompt(*row) for row in rows]


def _of_requests() -> str:
    return (
        _PURPOSES.replace("purpose", "r.purpose")
        .replace("endpoint", "r.endpoint")
        .replace("result", "r.result")
    )
