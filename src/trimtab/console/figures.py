"""The console's questions, answered from the store.

What it is not: a place that a request waits for, the login, or the drawing of pages.
Invariants: every method blocks and is to be called in a thread (`Asking` keeps few of them busy); every method takes a
scope and tells nothing outside of it; real and simulated traffic are never added.
"""

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from trimtab.catalogue import Arm
from trimtab.console.answers import (
    Freshness,
    GivenAgain,
    Group,
    Live,
    LiveMinute,
    Overview,
    Relative,
    RequestPage,
    RequestRow,
    Series,
    Story,
    Sums,
    TokenSeries,
)
from trimtab.console.questions import (
    BILLED,
    DAY_MS,
    EVERYTHING,
    HOUR_MS,
    LIMIT,
    MINUTE_MS,
    TOP,
    Dimension,
    Filter,
    Scope,
    Window,
)
from trimtab.console.remembered import Remembered
from trimtab.console.timing import bars
from trimtab.errors import RequestError, shortened
from trimtab.records import Outcome, Purpose, Says, Verdict, billed_tokens, overall
from trimtab.routing import VIRTUAL_PREFIX
from trimtab.store import Database, Row, Store, TokenCounts
from trimtab.store.answers import AnswerStore
from trimtab.store.figures import (
    ALL,
    Coverage,
    Relatives,
    Tally,
    Wanted,
    Wish,
    Within,
    arm_text,
    config_text,
    key_names,
    list_requests,
    live_figures,
    quantiles,
    read_figures,
    relatives,
)
from trimtab.store.figures.platforms import (
    PlatformFigures,
    is_the_only_organisation,
    platform_figures,
)

BUCKETS_MS = (MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 4 * HOUR_MS, DAY_MS)
"""An hour has 60 bars, a day 96, a week 42, a month 30."""

POINTS_MOST = 100

MINUTES_KEPT_MS = 3 * HOUR_MS
QUARTERS_KEPT_MS = 3 * DAY_MS
HOURS_KEPT_MS = 40 * DAY_MS
"""How far back there are bars of a minute, a quarter of an hour and an hour; see `store.figures.spans.LEVELS`."""

NAMES_KEPT_S = 30.0
LIVE_KEPT_S = 1.0
OVERVIEW_KEPT_S = 2.0
LONG_OVERVIEW_KEPT_S = 5.0
"""For so long an answer is given again to all who ask the same, so that many open pages cost as much as one."""

PLATFORMS_KEPT_S = 2.0
LONG_PLATFORMS_KEPT_S = 10.0
"""The same for what platforms did: a month of them takes some 50 ms, and moves little in that time."""

LIVE_ROWS = 30
LIVE_BUCKET_MS = 5_000
LIVE_RECORDS_MOST = 20_000
"""At more than 330 requests/s the last minute is shown from a shorter stretch."""

ADAPTIVE = "+adaptive"

NONE = "(none)"
OTHERS = "(others)"

T = TypeVar("T")


class Figures:
    """One for each serving process; safe to use from any thread."""

    def __init__(
        self, database: Database, store: Store, *, clock_ms: Callable[[], int], monotonic: Callable[[], float]
    ) -> None:
        self._database = database
        self._store = store
        self._clock_ms = clock_ms
        self._lives: Remembered[Live] = Remembered(monotonic, LIVE_KEPT_S)
        self._overviews: Remembered[Overview] = Remembered(monotonic, OVERVIEW_KEPT_S)
        self._again: Remembered[GivenAgain | None] = Remembered(monotonic, LONG_OVERVIEW_KEPT_S)
        self._platforms: Remembered[tuple[PlatformFigures, ...]] = Remembered(monotonic, PLATFORMS_KEPT_S)
        self._monotonic = monotonic
        self._names: dict[str, tuple[float, str, str]] = {}
        self._naming = threading.Lock()

    def overview(
        self,
        window: Window,
        by: Dimension | None = None,
        *,
        top: int = TOP,
        scope: Scope = EVERYTHING,
    ) -> Overview:
        """Figures over time, split by one dimension; up to some seconds old, which `freshness.now_ms` tells.

        Blocks. Raises `StoreError`, `RequestError`.
        """
        now_ms = self._clock_ms()
        if scope.key is not None and by not in (None, "purpose"):
            raise RequestError(f"by: {by!r}: one key's requests are told apart by purpose only")
        asked = self._in_buckets(window, now_ms)
        kept_s = OVERVIEW_KEPT_S if bucket_ms(asked, now_ms) == MINUTE_MS else LONG_OVERVIEW_KEPT_S
        return self._overviews.get(
            (asked, by, top, scope), lambda: self._overview(asked, by, top, scope), kept_s
        )

    def given_again(self, window: Window, *, scope: Scope = EVERYTHING) -> GivenAgain | None:
        """How often earlier answers were asked for, up to some seconds old; `None`: never.

        Blocks. Raises `StoreError`.
        """
        asked = self._in_buckets(window, self._clock_ms())
        return self._again.get((asked, scope), lambda: self._given_again(asked, scope), LONG_OVERVIEW_KEPT_S)

    def _given_again(self, window: Window, scope: Scope) -> GivenAgain | None:
        found = AnswerStore(self._database).asked(
            window.from_ms,
            until_ms=window.to_ms,
            simulated=window.simulated,
            key=scope.key,
            organisation=scope.organisation,
        )
        if not found.hits and not found.misses:
            return None
        first_ms = window.from_ms - window.from_ms % HOUR_MS
        return GivenAgain(first_ms, found.hits, found.misses, found.saved_nanousd)

    def _in_buckets(self, window: Window, now_ms: int) -> Window:
        """Whole buckets."""
        bucket = bucket_ms(window, now_ms)
        end = min(window.to_ms, now_ms + 1)
        end = max(-(-end // bucket) * bucket, bucket)
        if window.name is not None:
            begin = end - -(-(window.to_ms - window.from_ms) // bucket) * bucket
        else:
            begin = min(window.from_ms // bucket * bucket, end - bucket)
        return msgspec.structs.replace(window, from_ms=begin, to_ms=end)

    def _overview(self, window: Window, by: Dimension | None, top: int, scope: Scope) -> Overview:
        now_ms = self._clock_ms()
        bucket = bucket_ms(window, now_ms)
        found = read_figures(
            self._database,
            Wish(
                window.from_ms,
                window.to_ms,
                bucket,
                by or ALL,
                window.simulated,
                window.purposes,
                scope.organisation,
                scope.team,
                scope.key,
                top,
            ),
        )
        starts = tuple(range(window.from_ms, window.to_ms, bucket))
        return Overview(
            window=window,
            bucket_ms=bucket,
            starts_ms=starts,
            whole=_group("", "", None, found.whole, starts),
            by=by,
            groups=self._groups(by, found, starts),
            before=None if found.before is None else sums(found.before),
            other_side=found.other_side,
            freshness=self.freshness(found.missing),
            filter=Filter(simulated=window.simulated, purposes=window.purposes),
            hint=_hint(window.simulated) if found.other_side and not found.whole else None,
        )

    def _groups(self, by: Dimension | None, found: Coverage, starts: Sequence[int]) -> tuple[Group, ...]:
        names = self._key_names([name for name, _ in found.groups]) if by == "key" else {}
        groups = []
        for name, buckets in found.groups:
            label, organisation = name or NONE, None
            if by == "key" and name in names:
                label, organisation = names[name]
            elif by == "team" and name:
                organisation, name = msgspec.json.decode(name, type=tuple[str, str])
                label = name
            groups.append(_group(name, label, organisation, buckets, starts))
        if found.others is not None:
            groups.append(_group("", OTHERS, None, found.others, starts, other=True))
        return tuple(groups)

    def requests(
        self, wanted: Filter, cursor: str | None = None, limit: int = LIMIT, *, scope: Scope = EVERYTHING
    ) -> RequestPage:
        """A page of the list, the newest first; `cursor` is the `next` of the page before.

        Blocks. Raises `StoreError`, `RequestError` for a cursor that is none.
        """
        below = None if cursor is None else _read_cursor(cursor)
        chosen = _wanted(wanted, scope)
        if chosen is None:
            return self.no_requests(wanted)
        found = list_requests(self._database, chosen, below, limit)
        hint = None
        if not found.rows and found.more is None and below is None:
            other = msgspec.structs.replace(chosen, simulated=not chosen.simulated)
            if list_requests(self._database, other, None, 1).rows:
                hint = _hint(wanted.simulated)
        return RequestPage(
            wanted,
            self._rows(found.rows),
            None if found.more is None else f"{found.more[0]}-{found.more[1]}",
            found.searched_to_ms,
            self.freshness(),
            hint,
        )

    def no_requests(self, wanted: Filter) -> RequestPage:
        """An empty page, where nothing was looked for."""
        return RequestPage(wanted, (), None, None, self.freshness())

    def story(self, request_id: str, *, scope: Scope = EVERYTHING) -> Story | None:
        """One request; `None` where there is no such record in this scope. Blocks. Raises `StoreError`."""
        detail = self._store.find(request_id)
        if detail is None:
            return None
        record = msgspec.json.decode(detail, type=Outcome)
        if not _within(record, scope):
            return None
        beside = relatives(
            self._database,
            record.id,
            record.at_ms,
            record.session,
            record.parent,
            record.config_version,
            Within(scope.organisation, scope.team, scope.key),
        )
        return self._story(record, beside)

    def _story(self, record: Outcome, beside: Relatives) -> Story:
        by_attempt = tuple(TokenCounts(*billed_tokens(attempt.usage)) for attempt in record.attempts)
        names = self._key_names([record.key]) if record.key else {}
        return Story(
            record=record,
            tokens=TokenCounts(
                *(sum(kinds) for kinds in zip(*map(msgspec.structs.astuple, by_attempt), strict=True))
            ),
            attempt_tokens=by_attempt,
            bars=bars(record.total_ms, record.attempts),
            key_name=names.get(record.key, ("", ""))[0],
            config_at_ms=beside.config_at_ms,
            parent=_relative(beside.parent),
            children=tuple(_related(row) for row in beside.children),
            previous=_relative(beside.previous),
            following=_relative(beside.following),
            freshness=self.freshness(),
        )

    def platforms(self, from_ms: int, to_ms: int, *, simulated: bool) -> tuple[PlatformFigures, ...]:
        """What each platform entry did in these hours, for everybody; at most some seconds old.

        Blocks. Raises `StoreError`.
        """
        return self._platforms.get(
            (from_ms, to_ms, simulated),
            lambda: platform_figures(self._database, from_ms, to_ms, simulated=simulated),
            PLATFORMS_KEPT_S if to_ms - from_ms <= 2 * HOUR_MS else LONG_PLATFORMS_KEPT_S,
        )

    def is_everything(self, scope: Scope) -> bool:
        """Whether who may see this scope may see everybody's figures. Blocks. Raises `StoreError`."""
        if scope.team is not None or scope.key is not None:
            return False
        return scope.organisation is None or is_the_only_organisation(self._database, scope.organisation)

    def config(self, version: str) -> str | None:
        """What a configuration version said, secrets as references; `None`: not kept. Blocks. Raises `StoreError`."""
        found = config_text(self._database, version)
        return None if found is None else found.decode(errors="replace")

    def live(
        self, *, simulated: bool = False, purposes: tuple[Purpose, ...] = BILLED, scope: Scope = EVERYTHING
    ) -> Live:
        """The last minute and the newest requests; at most a second old, asked of the store once for all who look.

        Blocks. Raises `StoreError`.
        """
        return self._lives.get((simulated, purposes, scope), lambda: self._live(simulated, purposes, scope))

    def _live(self, simulated: bool, purposes: tuple[Purpose, ...], scope: Scope) -> Live:
        to_ms = (self._clock_ms() // LIVE_BUCKET_MS + 1) * LIVE_BUCKET_MS
        from_ms = to_ms - MINUTE_MS
        within = Within(scope.organisation, scope.team, scope.key)
        found, since_ms = live_figures(
            self._database, from_ms, LIVE_BUCKET_MS, simulated, purposes, within, LIVE_RECORDS_MOST
        )
        wanted = _wanted(Filter(simulated=simulated, purposes=purposes), scope)
        rows = (
            () if wanted is None else self._rows(list_requests(self._database, wanted, None, LIVE_ROWS).rows)
        )
        starts = tuple(range(from_ms, to_ms, LIVE_BUCKET_MS))
        group = _group("", "", None, found, starts)
        state = hashlib.sha256(msgspec.json.encode([group.sums, [row.id for row in rows]])).hexdigest()[:16]
        return Live(
            state,
            LiveMinute(LIVE_BUCKET_MS, starts, group.sums, group.series),
            rows,
            self.freshness(None if since_ms == from_ms else (from_ms, since_ms)),
        )

    def freshness(self, missing: tuple[int, int] | None = None) -> Freshness:
        """How far figures go that are read now. Does not block."""
        return Freshness(self._clock_ms(), self._store.status().queued, *(missing or (None, None)))

    def _rows(self, found: Sequence[Row]) -> tuple[RequestRow, ...]:
        names = self._key_names([row[21] for row in found])
        return tuple(_row(row, names) for row in found)

    def _key_names(self, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Names and organisations of keys, remembered for a while."""
        now = self._monotonic()
        with self._naming:
            known = {
                key: self._names[key][1:]
                for key in ids
                if key in self._names and self._names[key][0] > now - NAMES_KEPT_S
            }
        wanted = sorted({key for key in ids if key and key not in known})
        if wanted:
            found = key_names(self._database, wanted)
            with self._naming:
                if len(self._names) > 10_000:
                    self._names.clear()
                for key in wanted:
                    name, organisation = found.get(key, ("", ""))
                    self._names[key] = (now, name, organisation)
            known.update({key: found.get(key, ("", "")) for key in wanted})
        return {key: named for key, named in known.items() if named[0]}


def bucket_ms(window: Window, now_ms: int) -> int:
    """How wide a bar is: as fine as is kept for this window, and not more bars than can be told apart."""
    least = MINUTE_MS
    for kept_ms, coarser in (
        (MINUTES_KEPT_MS, 15 * MINUTE_MS),
        (QUARTERS_KEPT_MS, HOUR_MS),
        (HOURS_KEPT_MS, DAY_MS),
    ):
        if window.from_ms < now_ms - kept_ms + HOUR_MS / 2:
            least = coarser
    span = window.to_ms - window.from_ms
    return next((width for width in BUCKETS_MS if width >= least and span <= POINTS_MOST * width), DAY_MS)


def sums(tally: Tally) -> Sums:
    """As figures."""
    requests, errors, cost, *kinds = tally.counts
    return Sums(
        requests,
        errors,
        cost,
        TokenCounts(*kinds),
        *quantiles(tally.total),
        *quantiles(tally.first),
    )


def _group(
    name: str,
    label: str,
    organisation: str | None,
    buckets: dict[int, Tally],
    starts: Sequence[int],
    *,
    other: bool = False,
) -> Group:
    whole, nothing = Tally(), Tally()
    for tally in buckets.values():
        whole.add_tally(tally)
    found = [buckets.get(start, nothing) for start in starts]
    counts = [tuple(column) for column in zip(*(tally.counts for tally in found), strict=True)]
    series = Series(
        counts[0],
        counts[1],
        counts[2],
        TokenSeries(*counts[3:]),
        *zip(*(quantiles(tally.total) for tally in found), strict=True),
        *zip(*(quantiles(tally.first) for tally in found), strict=True),
    )
    return Group(name, label, organisation, other, sums(whole), series)


def _wanted(wanted: Filter, scope: Scope) -> Wanted | None:
    """With the scope; `None` where the two have nothing in common."""
    owner: dict[str, str | None] = {}
    for name in ("organisation", "team", "key"):
        allowed, asked = getattr(scope, name), getattr(wanted, name)
        if allowed is not None and asked is not None and allowed != asked:
            return None
        owner[name] = asked if allowed is None else allowed
    named, adaptive = wanted.arm or "", False
    if named.endswith(ADAPTIVE):
        named, adaptive = named.removesuffix(ADAPTIVE), True
    arm, at, effort = named.partition("@")
    # Of a model and an arm both must fit; two that differ fit nothing.
    models = {name for name in (wanted.model, arm) if name}
    if len(models) > 1:
        return None
    model = models.pop() if models else None if wanted.arm is None else ""
    asked_for = model if model is not None and model.startswith(VIRTUAL_PREFIX) else None
    results: tuple[str, ...] | None = None
    if wanted.result is not None:
        results = ("error", "truncated", "unknown") if wanted.result == "failed" else (wanted.result,)
    return Wanted(
        simulated=wanted.simulated,
        from_ms=wanted.from_ms,
        to_ms=wanted.to_ms,
        purposes=wanted.purposes,
        model=model if asked_for is None else None,
        requested_model=asked_for,
        effort=effort if at else None,
        adaptive=adaptive,
        tags=wanted.tags,
        tier=wanted.tier,
        platform=wanted.platform,
        session=wanted.session,
        results=results,
        status=wanted.status,
        error=wanted.error,
        slower_ms=wanted.slower_ms,
        verdict=wanted.verdict,
        escalated=None if wanted.escalated is None else wanted.escalated == "true",
        cost_nanousd=wanted.cost_nanousd,
        **owner,
    )


def _hint(simulated: bool) -> str:
    """Where nothing fits on one side of real and simulated, but something on the other."""
    shown, other, ask = ("simulated", "real", "false") if simulated else ("real", "simulated", "true")
    return f"no {shown} request fits, but there are {other} ones: simulated={ask} shows them"


def _within(record: Outcome, scope: Scope) -> bool:
    return all(
        allowed is None or allowed == owner
        for allowed, owner in (
            (scope.organisation, record.organisation),
            (scope.team, record.team),
            (scope.key, record.key),
        )
    )


def _read_cursor(text: str) -> tuple[int, str]:
    at_ms, dash, request_id = text.partition("-")
    if not dash or not at_ms.isascii() or not at_ms.isdigit() or len(at_ms) > 16 or len(request_id) > 64:
        raise RequestError(f"cursor: {shortened(text, 80)!r}: must be the `next` of an answer")
    return int(at_ms), request_id


def _row(row: Row, names: dict[str, tuple[str, str]]) -> RequestRow:
    """In the order of `listing.COLUMNS`."""
    before, model, effort, between, stream, simulated, counted, key, after, detail = (
        row[:5],
        row[5],
        row[6],
        row[7:13],
        row[13],
        row[14],
        row[15:21],
        row[21],
        row[22:25],
        row[25],
    )
    values = (
        *before,
        arm_text(model, effort),
        *between,
        bool(stream),
        bool(simulated),
        *counted,
        key,
        names.get(key, ("", ""))[0],
        *after,
        *_tried(detail),
    )
    return RequestRow(*values)


class _Made(msgspec.Struct, frozen=True):
    step: int = 0
    arm: Arm | None = None
    verdicts: tuple[Verdict, ...] = ()


class _Planned(msgspec.Struct, frozen=True):
    arm: Arm


class _Tried(msgspec.Struct, frozen=True):
    """What of a record says how it was checked: about 3 us to read."""

    plan: _Planned | None = None
    attempts: tuple[_Made, ...] = ()
    answered: int | None = None
    checks_nanousd: int = 0


_TRIED: msgspec.json.Decoder[_Tried] = msgspec.json.Decoder(_Tried)


def _tried(detail: str) -> tuple[str, int, Says | None, int]:
    """The arm of the first step, where that of a later one answered; steps, what the verifiers said of that answer, and
    what checks cost. Nothing of a record that cannot be read: a list of others is worth more than it."""
    try:
        record = _TRIED.decode(detail)
    except msgspec.DecodeError:
        return "", 0, None, 0
    if not record.attempts:
        return "", 0, None, record.checks_nanousd
    given = record.attempts[-1 if record.answered is None else record.answered]
    steps = len({attempt.step for attempt in record.attempts})
    says = overall(given.verdicts) if given.verdicts else None
    first = record.attempts[0].arm or (record.plan.arm if record.plan is not None else None)
    return str(first) if given.step and first is not None else "", steps, says, record.checks_nanousd


def _related(row: Row) -> Relative:
    """In the order of `listing.RELATIVE`."""
    request_id, at_ms, purpose, model, effort, result, cost_nanousd = row
    return Relative(request_id, at_ms, purpose, arm_text(model, effort), result, cost_nanousd)


def _relative(row: Row | None) -> Relative | None:
    return None if row is None else _related(row)
