"""Working out the figures of finished spans, in the background, for whoever looks at them later.

What it is not: in anybody's way: it reads on a view of its own, adds up in the engine, and writes some rows at a time.
Invariants: a span is written whole or not at all; records that come late (long streams, calls recovered after a crash)
are found by counting, and their spans worked out anew; nothing is worked out anew from records of which retention may
have deleted some.
"""

import functools
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from trimtab.store.database import Database, Transaction, Value
from trimtab.store.figures.cells import Cell, cells
from trimtab.store.figures.spans import DAY_MS, HOUR_MS, LEVELS, MINUTE_MS, Level
from trimtab.store.figures.tally import Tally, decode, encode
from trimtab.store.housekeeping.chores import renew
from trimtab.store.housekeeping.retention import Retention

CHORE = "figures"

LEASE_MS = 60_000

LAG_MS = 10_000
"""A span is worked out so long after its end: a record is written 0.1 s after its request has ended, and most requests
end within seconds. What comes later is counted in when it is found."""

LOOK_BACK_HOURS = 7 * 24
"""How far back each round compares hours with the roll-ups, which are exact: journals of machines that were away
may bring records days late. Some milliseconds."""

CATCH_UP_MS = 400 * DAY_MS
"""How far back figures are worked out after an upgrade."""

ROWS_AT_ONCE = 200
"""Rows in one transaction: some milliseconds."""

SPANS_AT_ONCE = 5
"""Old spans that are dropped in one."""

REST = 3
"""After a span that was worked out from records, a rest of so many times as long."""

Place = tuple[str, str, int, str]
"""scope, dimension, simulated, purpose."""

Figures = dict[Place, dict[str, Tally]]

CELL = (
    "simulated",
    "purpose",
    "organisation",
    "team_id",
    "key_id",
    "model",
    "effort",
    "tier",
    "platform",
    "result",
)

ALL = "all"
"""The dimension that tells nothing apart; its one name is ''."""


def scope_text(organisation: str | None = None, team: str | None = None) -> str:
    """How a scope, or a team, is written in the tables."""
    if organisation is None:
        return ""
    return msgspec.json.encode([organisation] if team is None else [organisation, team]).decode()


def arm_text(model: str, effort: str) -> str:
    """As people write it."""
    return f"{model}@{effort}" if effort else model


def fold_what_is_due(
    database: Database,
    retention: Retention,
    *,
    holder: str,
    rest: Callable[[float], bool],
    monotonic: Callable[[], float] = time.monotonic,
) -> bool:
    """Work out all spans that have ended and are not there yet, the newest first, and drop those kept long enough.

    Blocks, for long after an upgrade; the caller holds the chore. Whether it came to the end. Raises `StoreError`.
    """
    now_ms = database.read(lambda view: view.now_ms())
    _drop_old(database, now_ms, retention.rollups_before(now_ms) or 0)
    # The hour in which retention may be at work, or soon will be, is left alone.
    whole_ms = (retention.records_before(now_ms) or -HOUR_MS) + HOUR_MS
    _forget_what_changed(database, now_ms, whole_ms)
    for level in LEVELS:
        for from_ms in database.read(functools.partial(_missing, level, now_ms, whole_ms)):
            began = monotonic()
            found = database.read(functools.partial(_worked_out, level, from_ms))
            if not _keep(database, holder, level.width_ms, from_ms, found):
                return False
            if rest(REST * (monotonic() - began)):
                return False
    return True


def _missing(level: Level, now_ms: int, whole_ms: int, view: Transaction) -> list[int]:
    """Spans that have ended and are not there, the newest first; only those of which all records are there."""
    width = level.width_ms
    end = (now_ms - LAG_MS) // width * width
    row = view.row("SELECT min(at_ms) FROM requests")
    first = row[0] if row is not None and row[0] is not None else end
    least = -(-max(whole_ms, now_ms - (level.kept_ms or CATCH_UP_MS)) // width) * width
    begin = max(first - first % width, least)
    rows = view.rows("SELECT from_ms FROM figure_spans WHERE width_ms = ? AND from_ms >= ?", (width, begin))
    there = {row[0] for row in rows}
    return [at for at in range(end - width, begin - 1, -width) if at not in there]


def _worked_out(level: Level, from_ms: int, view: Transaction) -> tuple[int, Figures]:
    """The figures of one span, and how many requests they count."""
    at = LEVELS.index(level)
    if at > 0:
        below = LEVELS[at - 1]
        from_parts = _from_parts(view, level, below, from_ms)
        if from_parts is not None:
            return from_parts
        if level.width_ms > HOUR_MS:
            # A day of a busy server is too much for one statement.
            parts = [_worked_out(below, part, view) for part in _parts(level, below, from_ms)]
            return sum(requests for requests, _ in parts), _joined(figures for _, figures in parts)
    requests, figures = _from_records(view, from_ms, from_ms + level.width_ms)
    if level.width_ms == HOUR_MS:
        # What it will be compared with: were some records gone for whatever reason, it would never be the same.
        requests = max(requests, _exact_of(view, from_ms))
    return requests, figures


def _parts(level: Level, below: Level, from_ms: int) -> Sequence[int]:
    return range(from_ms, from_ms + level.width_ms, below.width_ms)


def _from_parts(view: Transaction, level: Level, below: Level, from_ms: int) -> tuple[int, Figures] | None:
    """Put together from the next finer spans, if all of them are there."""
    to_ms = from_ms + level.width_ms
    counted = view.row(
        "SELECT count(*), coalesce(sum(requests), 0) FROM figure_spans "
        "WHERE width_ms = ? AND from_ms >= ? AND from_ms < ?",
        (below.width_ms, from_ms, to_ms),
    )
    if counted is None or counted[0] != len(_parts(level, below, from_ms)):
        return None
    figures: Figures = {}
    for scope, dimension, simulated, purpose, content in view.rows(
        "SELECT scope, dimension, simulated, purpose, content FROM figures "
        "WHERE width_ms = ? AND from_ms >= ? AND from_ms < ?",
        (below.width_ms, from_ms, to_ms),
    ):
        named = figures.setdefault((scope, dimension, simulated, purpose), {})
        for kept in decode(content):
            named.setdefault(kept[0], Tally()).add_kept(kept)
    return int(counted[1]), figures


def _from_records(view: Transaction, from_ms: int, to_ms: int) -> tuple[int, Figures]:
    figures: Figures = {}
    requests = 0
    for cell in cells(view, from_ms, to_ms, CELL):
        requests += cell.counts[0]
        _spread(figures, cell)
    return requests, _widened(figures)


def _spread(figures: Figures, cell: Cell) -> None:
    """Into every dimension of the narrowest scope that is kept."""
    simulated, purpose, organisation, team, key, model, effort, tier, platform, result = cell.names
    scope = scope_text(organisation or None, (team or None) if organisation else None)
    for dimension, name in (
        (ALL, ""),
        ("arm", arm_text(model, effort)),
        ("tier", tier),
        ("platform", platform),
        ("key", key),
        ("result", result),
    ):
        named = figures.setdefault((scope, dimension, simulated, purpose), {})
        tally = named.get(name)
        if tally is None:
            tally = named[name] = Tally()
        cell.into(tally)


def _widened(narrow: Figures) -> Figures:
    """With teams in their organisations, and organisations in the whole."""
    figures: Figures = {}
    for (scope, dimension, simulated, purpose), named in narrow.items():
        names = msgspec.json.decode(scope) if scope else []
        organisation = names[0] if names else ""
        wider = [scope, *([scope_text(organisation)] if len(names) == 2 else []), *([""] if names else [])]
        places: list[tuple[str, str, str | None]] = [(one, dimension, None) for one in wider]
        if dimension == ALL:
            team = scope if len(names) == 2 else ""
            places += [("", "organisation", organisation), ("", "team", team)]
            if names:
                places.append((scope_text(organisation), "team", team))
        for place, kind, renamed in places:
            target = figures.setdefault((place, kind, simulated, purpose), {})
            for name, tally in named.items():
                target.setdefault(name if renamed is None else renamed, Tally()).add_tally(tally)
    return figures


def _joined(parts: Iterable[Figures]) -> Figures:
    joined: Figures = {}
    for part in parts:
        for place, named in part.items():
            target = joined.setdefault(place, {})
            for name, tally in named.items():
                target.setdefault(name, Tally()).add_tally(tally)
    return joined


def _keep(database: Database, holder: str, width_ms: int, from_ms: int, found: tuple[int, Figures]) -> bool:
    """Put a span in the place of what was there. False: another process has this work now.

    In small transactions, since requests may wait for slices of limits: a span is there for readers from the last one.
    """
    requests, figures = found
    rows = [
        (width_ms, from_ms, *place, encode(sorted(named.items()))) for place, named in sorted(figures.items())
    ]

    def held(work: Callable[[Transaction], None]) -> bool:
        """In a transaction of its own, if the chore is still ours."""

        def whole(transaction: Transaction) -> bool:
            if not renew(transaction, CHORE, holder, lease_ms=LEASE_MS):
                return False
            work(transaction)
            return True

        return database.write(whole, durable=False)

    def finish(transaction: Transaction) -> None:
        transaction.change(
            "INSERT INTO figure_spans (width_ms, from_ms, requests) VALUES (?, ?, ?)",
            (width_ms, from_ms, requests),
        )

    return (
        held(functools.partial(_forget, width_ms=width_ms, from_ms=from_ms, to_ms=from_ms + width_ms))
        and all(
            held(functools.partial(_insert, rows=rows[at : at + ROWS_AT_ONCE]))
            for at in range(0, len(rows), ROWS_AT_ONCE)
        )
        and held(finish)
    )


def _insert(transaction: Transaction, rows: Sequence[tuple[Value, ...]]) -> None:
    transaction.change_many(
        "INSERT INTO figures (width_ms, from_ms, scope, dimension, simulated, purpose, content) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def _forget(transaction: Transaction, width_ms: int, from_ms: int, to_ms: int) -> None:
    for table in ("figures", "figure_spans"):
        transaction.change(
            f"DELETE FROM {table} WHERE width_ms = ? AND from_ms >= ? AND from_ms < ?",  # noqa: S608 (our own names)
            (width_ms, from_ms, to_ms),
        )


def _drop_old(database: Database, now_ms: int, before_ms: int) -> None:
    """Spans that were kept long enough, a few at a time."""
    for level in LEVELS:
        before = before_ms if level.kept_ms is None else max(before_ms, now_ms - level.kept_ms)
        width = level.width_ms
        while True:
            rows = database.read(
                lambda view, width=width, before=before: view.rows(  # type: ignore[misc]
                    "SELECT from_ms FROM figure_spans WHERE width_ms = ? AND from_ms < ? ORDER BY from_ms LIMIT ?",
                    (width, before, SPANS_AT_ONCE),
                )
            )
            if not rows:
                break
            database.write(
                functools.partial(_forget, width_ms=width, from_ms=rows[0][0], to_ms=rows[-1][0] + 1),
                durable=False,
            )


def _forget_what_changed(database: Database, now_ms: int, whole_ms: int) -> None:
    """Spans to which records came late; they are missing then, and worked out anew."""
    changed = database.read(functools.partial(_changed, now_ms, whole_ms))
    for from_ms, to_ms in changed:

        def forget(transaction: Transaction, from_ms: int = from_ms, to_ms: int = to_ms) -> None:
            for level in LEVELS:
                width = level.width_ms
                _forget(transaction, width, from_ms - from_ms % width, to_ms)

        database.write(forget, durable=False)


def _changed(now_ms: int, whole_ms: int, view: Transaction) -> list[tuple[int, int]]:
    """Spans that count fewer requests than there are now: hours, and minutes of hours that are not worked out yet."""
    since = max(now_ms // HOUR_MS * HOUR_MS - LOOK_BACK_HOURS * HOUR_MS, whole_ms)
    hours, minutes = _noted(view, HOUR_MS, since), _noted(view, MINUTE_MS, now_ms - 2 * HOUR_MS)
    found = []
    for hour, requests in _exact(view, since).items():
        if hour in hours:
            if requests > hours[hour]:
                found.append((hour, hour + HOUR_MS))
            continue
        noted = {at: minutes[at] for at in range(hour, hour + HOUR_MS, MINUTE_MS) if at in minutes}
        if not noted:
            continue
        fresh = sum(_counted(view, max(noted) + MINUTE_MS, hour + HOUR_MS).values())
        if requests > sum(noted.values()) + fresh:
            found += [
                (at, at + MINUTE_MS)
                for at, there in _counted(view, hour, hour + HOUR_MS).items()
                if at in noted and there > noted[at]
            ]
    return found


def _exact(view: Transaction, since_ms: int) -> dict[int, int]:
    """Requests by the hour, as the roll-ups have them."""
    rows = view.rows(
        "SELECT hour_ms, CAST(sum(requests) AS BIGINT) FROM usage_by_team WHERE hour_ms >= ? GROUP BY hour_ms",
        (since_ms,),
    )
    return {row[0]: row[1] for row in rows}


def _exact_of(view: Transaction, hour_ms: int) -> int:
    row = view.row(
        "SELECT CAST(coalesce(sum(requests), 0) AS BIGINT) FROM usage_by_team WHERE hour_ms = ?", (hour_ms,)
    )
    return int(row[0]) if row is not None else 0


def _noted(view: Transaction, width_ms: int, since_ms: int) -> dict[int, int]:
    rows = view.rows(
        "SELECT from_ms, requests FROM figure_spans WHERE width_ms = ? AND from_ms >= ?", (width_ms, since_ms)
    )
    return {row[0]: row[1] for row in rows}


def _counted(view: Transaction, from_ms: int, to_ms: int) -> dict[int, int]:
    """Requests by the minute, counted."""
    found: dict[int, int] = {}
    for at, requests in [
        *view.rows(
            f"SELECT at_ms - at_ms % {MINUTE_MS}, count(*) FROM requests WHERE at_ms >= ? AND at_ms < ? GROUP BY 1",  # noqa: S608
            (from_ms, to_ms),
        ),
        *view.rows(
            f"SELECT to_ms - to_ms % {MINUTE_MS}, CAST(sum(requests) AS BIGINT) FROM record_gaps "  # noqa: S608
            "WHERE to_ms >= ? AND to_ms < ? GROUP BY 1",
            (from_ms, to_ms),
        ),
    ]:
        found[at] = found.get(at, 0) + int(requests)
    return found
