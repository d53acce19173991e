"""Requests with what was told of them, for tables of effort: read in pages, so that no question holds a view for long.

What it is not: what is made of them (`efforts`). Invariants: real and simulated requests are never in one answer; what
cost nothing because a kept answer was given again, and counting of tokens, is no request here.
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
    """By catalogue id, of the plan."""
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
        yield from page
        before = page[-1].id


def _page(view: Transaction, wanted: EffortsWanted, before: str) -> list[AskedOnce]:
    # Ids begin with the moment of their request (`records.ids`).
    first = f"{max(wanted.from_ms, 0):012x}"
    where = ["id >= ?", "id < ?", "simulated = ?", f"purpose IN ({_PURPOSES})"]
    where += ["endpoint <> 'count_tokens'", "attempt_count > 0"]
    values: list[str | int] = [first, before, int(wanted.simulated)]
    for column in ("task_class", "model"):
        if (value := getattr(wanted, column)) is not None:
            where.append(f"{column} = ?")
            values.append(value)
    if wanted.tasks_only:
        where.append("task <> ''")
    found = view.rows(
        f"SELECT {_COLUMNS} FROM requests WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT {PAGE}",  # noqa: S608
        values,
    )
    told: dict[str, list[ToldOf]] = {}
    if found:
        for request, *word in view.rows(
            "SELECT request_id, source, covers, score, at_ms FROM feedback WHERE request_id >= ? AND request_id <= ?",
            (found[-1][0], found[0][0]),
        ):
            told.setdefault(request, []).append(ToldOf(*word))
    return [_asked(row, tuple(told.get(row[0], ()))) for row in found]


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
