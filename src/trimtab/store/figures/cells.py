"""Adding up records, in the engine: the one place where figures come from rows.

What it is not: for spans of any length; who calls bounds the number of records first. Invariants: what counts as
an error, an answer and a time is said here once, in the words of `records.rollups`; as there, money and tokens count
where they were spent, and a request where it was answered.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from trimtab.store.database import Row, Transaction, Value
from trimtab.store.figures.tally import Tally
from trimtab.store.records.rollups import ANSWERED, BUCKET_MOST, DROPPED
from trimtab.store.records.rows import SUMMED, TOKENS

ERRORS = ("error", "truncated", "unknown")

_SANE_MOST = 2**44
"""17,592 USD, or as many tokens, in one request: more is nonsense from a platform, and 64-bit sums must hold."""

_LISTED_ERRORS = ", ".join(f"'{result}'" for result in ERRORS)
_LISTED_ANSWERED = ", ".join(f"'{result}'" for result in ANSWERED)

NAMED = {
    "model": "coalesce(model, '')",
    "effort": "coalesce(effort, '')",
    "tier": "coalesce(tier, '')",
    "platform": "coalesce(platform, '')",
}


def _bucket(column: str) -> str:
    """As `rollups.bucket_of`, for answers. One given again has a model and no platform: its time says nothing."""
    return (
        f"CASE WHEN result IN ({_LISTED_ANSWERED}) AND endpoint <> 'count_tokens' "
        f"AND (platform IS NOT NULL OR model IS NULL) AND {column} IS NOT NULL THEN "
        f"CASE WHEN {column} <= 1 OR {column} >= 1e12 THEN 0 WHEN {column} >= 16000000 THEN {BUCKET_MOST} "
        f"ELSE CAST(floor(ln({column}) * 11.541560327111707) AS INTEGER) END END"
    )


_TOTAL, _FIRST = _bucket("total_ms"), _bucket("first_content_ms")


class Cell:
    """Requests that are alike in some columns."""

    __slots__ = ("counts", "first", "names", "total")

    def __init__(self, names: Row, counts: list[int], total: str | None, first: str | None) -> None:
        self.names = names
        self.counts = counts
        self.total = _counted(total)
        self.first = _counted(first)

    def into(self, tally: Tally) -> None:
        """Add it."""
        tally.add(self.counts, self.total, self.first)


def cells(
    view: Transaction,
    from_ms: int,
    to_ms: int,
    by: Sequence[str],
    *,
    width_ms: int | None = None,
    where: str = "",
    values: Sequence[Value] = (),
) -> Iterator[Cell]:
    """Records and gaps that arrived in [from, to), added up by some columns, and by spans of `width_ms` before them.

    About 2 us a record, in the engine.
    """
    least = view.words.least
    span = [] if width_ms is None else [f"at_ms - at_ms % {width_ms}"]
    columns = [*span, *(NAMED.get(column, column) for column in by)]
    sums = ", ".join(
        f"CAST(sum({least}({column}, {_SANE_MOST})) AS BIGINT)" for column in ("cost_nanousd", *TOKENS)
    )
    groups = f" GROUP BY {', '.join(str(n + 1) for n in range(len(columns)))}" if columns else ""
    head = ", ".join([*columns, ""]) if columns else ""
    found = view.rows(
        f"SELECT {head}count(*), sum(CASE WHEN result IN ({_LISTED_ERRORS}) THEN 1 ELSE 0 END), {sums}, "  # noqa: S608
        f"string_agg(CAST({_TOTAL} AS TEXT), ','), string_agg(CAST({_FIRST} AS TEXT), ',') "
        f"FROM requests WHERE at_ms >= ? AND at_ms < ? {where}{groups}",
        (from_ms, to_ms, *values),
    )
    width = len(columns)
    for row in found:
        if row[width]:
            yield Cell(row[:width], [*row[width : width + 9]], row[-2], row[-1])
    if not MOVED.isdisjoint(by):
        yield from _moved(view, from_ms, to_ms, by, width_ms, where, values)
    yield from _gaps(view, from_ms, to_ms, by, width_ms, where, values)


MOVED = frozenset({"model", "effort", "platform"})
"""Columns that tell the calls of one request apart, in a cascade."""

_PLACED = "r.at_ms, r.simulated, r.purpose, r.organisation, r.team_id, r.key_id, r.tier, r.result"


def _moved(
    view: Transaction,
    from_ms: int,
    to_ms: int,
    by: Sequence[str],
    width_ms: int | None,
    where: str,
    values: Sequence[Value],
) -> Iterator[Cell]:
    """Money and tokens of calls under another arm than the one that answered: away from where their request counts, and
    to where they were spent."""
    least = view.words.least
    figures = [f"{least}(a.{column}, {_SANE_MOST})" for column in ("cost_nanousd", *TOKENS)]
    names = [f"f{n}" for n in range(len(figures))]
    called = ", ".join(f"{figure} AS {name}" for figure, name in zip(figures, names, strict=True))
    away = ", ".join(f"-{figure}" for figure in figures)
    joined = (
        "FROM judged_attempts j JOIN requests r ON r.id = j.request_id "
        "JOIN attempts a ON a.request_id = j.request_id AND a.n = j.n WHERE j.at_ms >= ? AND j.at_ms < ? "
        "AND (j.model <> coalesce(r.model, '') OR j.effort <> coalesce(r.effort, ''))"
    )
    span = [] if width_ms is None else [f"at_ms - at_ms % {width_ms}"]
    columns = [*span, *(NAMED.get(column, column) for column in by)]
    found = view.rows(
        f"WITH moved AS (SELECT {_PLACED}, j.model, j.effort, a.platform, {called} {joined} UNION ALL "  # noqa: S608 (our own names)
        f"SELECT {_PLACED}, r.model, r.effort, r.platform, {away} {joined}) "
        f"SELECT {', '.join(columns)}, {', '.join(f'CAST(sum({name}) AS BIGINT)' for name in names)} "
        f"FROM moved WHERE true {where} GROUP BY {', '.join(str(n + 1) for n in range(len(columns)))}",
        (from_ms, to_ms, from_ms, to_ms, *values),
    )
    width = len(columns)
    for row in found:
        yield Cell(row[:width], [0, 0, *row[width:]], None, None)


def _gaps(
    view: Transaction,
    from_ms: int,
    to_ms: int,
    by: Sequence[str],
    width_ms: int | None,
    where: str,
    values: Sequence[Value],
) -> Iterator[Cell]:
    """Records of which only totals were kept: they count where they end, with result `dropped` and without times."""
    names = {"model": "''", "effort": "''", "tier": "''", "platform": "''", "result": f"'{DROPPED}'"}
    span = [] if width_ms is None else [f"to_ms - to_ms % {width_ms} AS span_ms"]
    chosen = [*span, *(f"{names[column]} AS {column}" if column in names else column for column in by)]
    head = ", ".join([*chosen, ""]) if chosen else ""
    sums = [column for column in SUMMED if column != "attempts"]
    found = view.rows(
        f"SELECT {head}{', '.join(sums)} FROM record_gaps WHERE to_ms >= ? AND to_ms < ? {where}",  # noqa: S608
        (from_ms, to_ms, *values),
    )
    width = len(chosen)
    for row in found:
        requests, *rest = (min(int(figure), _SANE_MOST * 2**10) for figure in row[width:])
        yield Cell(row[:width], [requests, 0, *rest], None, None)


def _counted(text: str | None) -> dict[int, int]:
    return Counter(map(int, text.split(","))) if text else {}


def records_in(view: Transaction, from_ms: int, to_ms: int, most: int) -> int:
    """How many records arrived in [from, to); at most `most + 1`."""
    row = view.row(
        "SELECT count(*) FROM (SELECT 1 FROM requests WHERE at_ms >= ? AND at_ms < ? LIMIT ?) AS counted",
        (from_ms, to_ms, most + 1),
    )
    return int(row[0]) if row else 0
