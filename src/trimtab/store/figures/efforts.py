"""Requests with what was told of them, for tables of effort: read in pages, so that no question holds a view for long.

What it is not: what is made of them (`efforts`). Invariants: real and simulated requests are never in one answer; what
cost nothing because a kept answer was given again, and counting of tokens, is no request here. A request that went
through several steps of a cascade is one of its first step: of the arm, money, tokens and time of that. What was told
is of the answer that was given, so it says nothing of the first step where a later one answered; and later steps, which
see the requests on which the first one failed, are in no table.
"""

from collections.abc import Iterator

import msgspec

from trimtab.store.database import Database, Row, Transaction
from trimtab.store.feedback import Covers
from trimtab.store.records.rows import BILLED

PAGE = 5_000
"""Records in one read: some 20 ms."""


class ToldOf(msgspec.Struct, frozen=True):
    """One word on a request."""

    source: str
    covers: Covers
    score: float
    at_ms: int


class AskedOnce(msgspec.Struct, frozen=True, kw_only=True):
    """One request, as far as tables go."""

    id: str
    at_ms: int
    route: str
    task_class: str
    model: str
    """By catalogue id, of the arm that was called first."""
    effort: str
    """Empty where none was set: then the model's default."""
    task: str
    phase: str
    session: str
    ok: bool
    """Whether there was a whole answer."""
    cost_nanousd: int
    input_tokens: int
    """Of all kinds, those read from the cache included."""
    output_tokens: int
    """Thinking included."""
    thinking_tokens: int
    total_ms: float
    told: tuple[ToldOf, ...]
    several_arms: bool = False
    """Whether others were called after it: a word on the whole conversation is none on this arm."""


class EffortsWanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests."""

    from_ms: int
    to_ms: int
    simulated: bool
    task_class: str | None = None
    model: str | None = None
    tasks_only: bool = False


_COLUMNS = (
    "id, at_ms, route, task_class, coalesce(model, ''), coalesce(effort, ''), task, phase, session, result, "
    "cost_nanousd, input_tokens + cache_write_5m_tokens + cache_write_1h_tokens + cache_read_tokens, output_tokens, "
    "thinking_tokens, total_ms"
)
_PURPOSES = ", ".join(f"'{purpose}'" for purpose in BILLED)


def requests_for_efforts(database: Database, wanted: EffortsWanted) -> Iterator[AskedOnce]:
    """The newest first, until whoever asks has enough. Blocks for each page; about 10 us a request.

    Raises `StoreError`.
    """
    before = f"{max(wanted.to_ms, 0):012x}"
    while page := database.read(lambda view, last=before: _page(view, wanted, last)):  # type: ignore[misc]
        for asked in page:
            if wanted.model is None or asked.model == wanted.model:
                yield asked
        before = page[-1].id


def _page(view: Transaction, wanted: EffortsWanted, before: str) -> list[AskedOnce]:
    # Ids begin with the moment of their request (`records.ids`).
    first = f"{max(wanted.from_ms, 0):012x}"
    where = ["id >= ?", "id < ?", "simulated = ?", f"purpose IN ({_PURPOSES})"]
    where += ["endpoint <> 'count_tokens'", "attempt_count > 0"]
    values: list[str | int] = [first, before, int(wanted.simulated)]
    if wanted.task_class is not None:
        where.append("task_class = ?")
        values.append(wanted.task_class)
    if wanted.model is not None:
        where.append("(model = ? OR id IN (SELECT request_id FROM judged_attempts WHERE step > 0))")
        values.append(wanted.model)
    if wanted.tasks_only:
        where.append("task <> ''")
    found = view.rows(
        f"SELECT {_COLUMNS} FROM requests WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT {PAGE}",  # noqa: S608
        values,
    )
    told: dict[str, list[ToldOf]] = {}
    first_steps: dict[str, Row] = {}
    if found:
        ends = found[-1][0], found[0][0]
        first_steps = {row[0]: row for row in view.rows(_FIRST_STEPS, (*ends, *ends))}
        for request, *word in view.rows(
            "SELECT request_id, source, covers, score, at_ms FROM feedback WHERE request_id >= ? AND request_id <= ?",
            ends,
        ):
            told.setdefault(request, []).append(ToldOf(*word))
    asked = [_asked(row, tuple(told.get(row[0], ()))) for row in found]
    if first_steps:
        asked = [_of_first_step(one, first_steps[one.id]) if one.id in first_steps else one for one in asked]
    return asked


_FIRST_STEPS = (
    "SELECT j.request_id, max(CASE WHEN j.n = f.last THEN j.model END), max(CASE WHEN j.n = f.last THEN j.effort END), "
    "max(CASE WHEN j.n = f.last THEN j.result END), max(j.released), CAST(sum(a.cost_nanousd) AS BIGINT), "
    "CAST(sum(a.input_tokens + a.cache_write_5m_tokens + a.cache_write_1h_tokens + a.cache_read_tokens) AS BIGINT), "
    "CAST(sum(a.output_tokens) AS BIGINT), CAST(sum(a.thinking_tokens) AS BIGINT), sum(a.total_ms) "
    "FROM (SELECT request_id, max(CASE WHEN step = 0 THEN n END) AS last FROM judged_attempts "
    "WHERE request_id >= ? AND request_id <= ? GROUP BY request_id HAVING max(step) > 0) AS f "
    "JOIN judged_attempts j ON j.request_id = f.request_id AND j.step = 0 "
    "JOIN attempts a ON a.request_id = j.request_id AND a.n = j.n "
    "WHERE j.request_id >= ? AND j.request_id <= ? GROUP BY j.request_id"
)
"""Of cascades of several steps, and all calls of the first one."""


def _of_first_step(asked: AskedOnce, row: Row) -> AskedOnce:
    _, model, effort, result, released, cost, taken, output, thinking, ms = row
    return msgspec.structs.replace(
        asked,
        model=model,
        effort=effort,
        ok=result == "ok",
        cost_nanousd=cost,
        input_tokens=taken,
        output_tokens=output,
        thinking_tokens=thinking,
        total_ms=ms,
        told=asked.told if released else tuple(word for word in asked.told if word.covers != "request"),
        several_arms=True,
    )


def _asked(row: Row, told: tuple[ToldOf, ...]) -> AskedOnce:
    return AskedOnce(
        id=row[0],
        at_ms=row[1],
        route=row[2],
        task_class=row[3],
        model=row[4],
        effort=row[5],
        task=row[6],
        phase=row[7],
        session=row[8],
        ok=row[9] == "ok",
        cost_nanousd=row[10],
        input_tokens=row[11],
        output_tokens=row[12],
        thinking_tokens=row[13],
        total_ms=row[14],
        told=told,
    )
