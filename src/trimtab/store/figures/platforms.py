"""What each platform entry did for each model, call by call: how often it answered, what that cost, how fast it was.

What it is not: how it does at this moment, which each serving process knows for itself (`routing.standing`).
Invariants: whole hours only, all purposes together, for what a platform did does not depend on who asked; real and
simulated calls are never added; nothing here belongs to one organisation, so it is not for those who may see only one.
"""

from collections.abc import Mapping
from typing import get_args

import msgspec

from trimtab.records import Purpose, call_ending
from trimtab.store.database import Database, Row, Transaction
from trimtab.store.records.endings import ATTEMPT_SUMS
from trimtab.store.records.rows import HOUR_MS
from trimtab.store.records.usage import Span, times

DAY_MS = 24 * HOUR_MS

LATELY_MS = 7 * DAY_MS

LAST_ERRORS = 100
"""Of each entry's newest failed calls so many are looked at for the last error of each model: some milliseconds."""

_SUMS = ", ".join(
    "sum(timed_ms)" if column == "timed_ms" else f"CAST(sum({column}) AS BIGINT)" for column in ATTEMPT_SUMS
)


class Calls(msgspec.Struct, frozen=True):
    """Sums over calls. Of the endings each call has one; see `records.CallEnding`."""

    attempts: int = 0
    answered: int = 0
    refused: int = 0
    limited: int = 0
    failed: int = 0
    cancelled: int = 0
    cost_nanousd: int = 0
    """Of all of them, estimates of cut calls included."""
    input_tokens: int = 0
    """Of all kinds, those read from the cache included."""
    output_tokens: int = 0
    timed_tokens: int = 0
    """Output tokens of answered calls."""
    timed_ms: float = 0.0
    """How long these took to come: after the first content, or since the call where an answer came whole."""

    @property
    def decided(self) -> int:
        """Calls whose ending says something of the platform: neither the request's fault nor the client's doing."""
        return self.answered + self.limited + self.failed

    @property
    def price_nanousd(self) -> int | None:
        """What an answered task cost there, calls that came to nothing included; `None` where none was answered."""
        return round(self.cost_nanousd / self.answered) if self.answered else None

    @property
    def tokens_per_s(self) -> float | None:
        """Output tokens a second of answers that were coming; `None` where none was timed."""
        return 1000 * self.timed_tokens / self.timed_ms if self.timed_ms > 0 else None


class CallError(msgspec.Struct, frozen=True):
    """A call that failed or was limited."""

    request: str
    at_ms: int
    """When its request arrived."""
    account: str
    status: int | None
    """`None`: nothing came back."""
    error: str


class PlatformFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One entry and model, of a stretch of time."""

    platform: str
    """The entry's name."""
    model: str
    """By catalogue id; '' where the plan named none."""
    calls: Calls
    accounts: Mapping[str, Calls]
    """The same by key of the entry's pool; empty where it has no pool."""
    first_p50_ms: float | None
    """From sending to the first content of those answered last for their request; streams only. Off by 4.5 %."""
    first_p95_ms: float | None
    last_error: CallError | None


class SpendingWanted(msgspec.Struct, frozen=True):
    """Which spending of an entry is meant."""

    from_ms: int
    """Unix milliseconds; the hour that it lies in counts whole."""
    simulated: bool = False


class Spending(msgspec.Struct, frozen=True):
    """What was spent at one entry."""

    nanousd: int
    """Since the moment that was asked for."""
    lately_nanousd: int
    """In the last seven days."""
    lately_days: float
    """How many days those are: fewer where the entry's first call since then is younger; never less than a day."""


def platform_figures(
    database: Database, from_ms: int, to_ms: int, *, simulated: bool
) -> tuple[PlatformFigures, ...]:
    """Every entry and model that was called in these hours, by name. Blocks: some ms a month. Raises `StoreError`."""
    found, errors = database.read(
        lambda view: (_sums(view, from_ms, to_ms, simulated), _errors(view, from_ms, to_ms, simulated))
    )
    span = Span(from_ms, to_ms, simulated, get_args(Purpose))
    first = {one.names: one for one in times(database, span, ("platform", "model"), "first_content")}
    by_model: dict[tuple[str, str], dict[str, Calls]] = {}
    for platform, account, model, *sums in found:
        by_model.setdefault((platform, model), {})[account] = Calls(*sums)
    figures = []
    for (platform, model), accounts in sorted(by_model.items()):
        timed = first.get((platform, model))
        figures.append(
            PlatformFigures(
                platform=platform,
                model=model,
                calls=together(*accounts.values()),
                accounts=accounts if set(accounts) != {""} else {},
                first_p50_ms=None if timed is None else timed.p50_ms,
                first_p95_ms=None if timed is None else timed.p95_ms,
                last_error=errors.get((platform, model)),
            )
        )
    return tuple(figures)


def together(*parts: Calls) -> Calls:
    """The sum."""
    return Calls(*map(sum, zip(*map(msgspec.structs.astuple, parts), strict=True))) if parts else Calls()


def spending(database: Database, wanted: Mapping[str, SpendingWanted], now_ms: int) -> dict[str, Spending]:
    """What was spent at some entries, by name; dropped records are not in it. Blocks: 50 ms for ten entries' year.

    Raises `StoreError`.
    """
    return database.read(lambda view: {name: _spent(view, name, one, now_ms) for name, one in wanted.items()})


def _spent(view: Transaction, name: str, wanted: SpendingWanted, now_ms: int) -> Spending:
    since_ms = wanted.from_ms - wanted.from_ms % HOUR_MS
    lately_ms = now_ms - LATELY_MS
    lately_ms -= lately_ms % HOUR_MS
    row = view.row(
        "SELECT CAST(coalesce(sum(CASE WHEN hour_ms >= ? THEN cost_nanousd ELSE 0 END), 0) AS BIGINT), "
        "CAST(coalesce(sum(CASE WHEN hour_ms >= ? THEN cost_nanousd ELSE 0 END), 0) AS BIGINT), min(hour_ms) "
        "FROM attempts_by_hour WHERE hour_ms >= ? AND simulated = ? AND platform = ?",
        (since_ms, lately_ms, min(since_ms, lately_ms), int(wanted.simulated), name),
    )
    assert row is not None
    whole, lately, first_ms = row
    began_ms = lately_ms if first_ms is None else max(first_ms, lately_ms)
    return Spending(whole, lately, min(max((now_ms - began_ms) / DAY_MS, 1.0), LATELY_MS / DAY_MS))


def _sums(view: Transaction, from_ms: int, to_ms: int, simulated: bool) -> list[Row]:
    return view.rows(
        f"SELECT platform, account, model, {_SUMS} FROM attempts_by_hour "  # noqa: S608 (our own names)
        "WHERE hour_ms >= ? AND hour_ms < ? AND simulated = ? GROUP BY platform, account, model "
        "ORDER BY platform, account, model",
        (from_ms - from_ms % HOUR_MS, to_ms, int(simulated)),
    )


def _errors(view: Transaction, from_ms: int, to_ms: int, simulated: bool) -> dict[tuple[str, str], CallError]:
    """The newest of each entry and model, among the newest failed calls of each entry."""
    found: dict[tuple[str, str], CallError] = {}
    # Ids begin with the moment of their request (`records.ids`).
    first = f"{max(from_ms - from_ms % HOUR_MS, 0):012x}"
    last = f"{max(to_ms, 0):012x}"
    platforms = view.rows(
        "SELECT DISTINCT platform FROM attempts_by_hour WHERE hour_ms >= ? AND hour_ms < ? AND simulated = ? "
        "AND limited + failed > 0",
        (from_ms - from_ms % HOUR_MS, to_ms, int(simulated)),
    )
    for (platform,) in platforms:
        for request, account, status, error, at_ms, model in view.rows(
            "SELECT a.request_id, a.account, a.status, a.error, r.at_ms, coalesce(j.model, r.model, '') FROM ("
            "SELECT request_id, account, status, error, n FROM attempts "
            "WHERE platform = ? AND error IS NOT NULL AND request_id >= ? AND request_id < ? "
            "ORDER BY request_id DESC LIMIT ?) AS a JOIN requests r ON r.id = a.request_id "
            "LEFT JOIN judged_attempts j ON j.request_id = a.request_id AND j.n = a.n "
            "WHERE r.simulated = ? AND r.endpoint <> 'count_tokens' ORDER BY a.request_id DESC, a.n DESC",
            (platform, first, last, LAST_ERRORS, int(simulated)),
        ):
            if call_ending("error", status, error) != "refused":  # which says nothing of the platform
                found.setdefault((platform, model), CallError(request, at_ms, account, status, error))
    return found


def is_the_only_organisation(database: Database, name: str) -> bool:
    """Whether nobody else's requests can be in figures of the whole. Blocks. Raises `StoreError`."""
    return database.read(lambda view: view.rows("SELECT name FROM organisations LIMIT 2")) == [(name,)]
