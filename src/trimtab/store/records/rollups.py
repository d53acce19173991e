"""Roll-ups: what new records and gaps add to the sums that are kept by the hour and by key.

What it is not: SQL (the engines add the rows that are made here), or the reading of the sums (`usage`).
Invariants: a record and what it adds are committed together, so at any moment each sum is exactly that of the records
and gaps that were ever added; rows come in the order of their keys, so that two writers never wait for each other in a
circle. Step 4 of the schema does the same in SQL for the records that it finds (14 for calls); both must agree.
"""

import math
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from trimtab.records import Outcome
from trimtab.records.billed import plain_count
from trimtab.store.records.backlog import Gap
from trimtab.store.records.endings import ATTEMPT_SUMS, Tried
from trimtab.store.records.rows import (
    BILLED,
    CHECKS,
    HOUR_MS,
    REQUESTS,
    SUM_MAX,
    SUMMED,
    TOKENS,
    Counts,
    Other,
    Recorded,
    Row,
    plain_ms,
    plain_name,
)

ANSWERED = ("ok", "truncated")
"""Results whose times are kept: errors are often quick, and who went away ended the clock himself."""

DROPPED = "dropped"
"""The result under which gaps are rolled up."""

BUCKETS_PER_OCTAVE = 8
"""A bucket's edges are a factor of 2^(1/8) = 1.0905 apart, so a quantile told as the middle of its bucket (by ratio) is
off by at most 4.5 %."""

BUCKET_MOST = 24 * BUCKETS_PER_OCTAVE - 1
"""Times from 2^24 ms (4.6 hours) on share the last bucket, times below 1 ms the first."""

_BUCKETS_PER_E = 11.541560327111707
"""8 / ln 2."""

_LONGEST_MS = 16_000_000

SLOTS = tuple(f"b{n}" for n in range(BUCKETS_PER_OCTAVE))


class RollUp(msgspec.Struct, frozen=True):
    """A table of sums."""

    table: str
    keys: tuple[str, ...]
    sums: tuple[str, ...]
    real: tuple[str, ...] = ()
    """Sums that are not whole numbers."""
    whole_keys: tuple[str, ...] = ("hour_ms", "simulated", "octave")

    @property
    def columns(self) -> tuple[str, ...]:
        """Keys, then sums: the order of rows."""
        return (*self.keys, *self.sums)

    def kind(self, column: str) -> str:
        """The type of a column, in SQLite's words."""
        if column in self.real:
            return "REAL"
        return "INTEGER" if column in self.sums or column in self.whole_keys else "TEXT"

    def upsert(self, least: str) -> str:
        """How a statement that inserts rows goes on where there are some already. `least` is the engine's function."""
        changes = ", ".join(
            f"{column} = {self.table}.{column} + excluded.{column}"
            if column in self.real or column in SLOTS
            else f"{column} = {least}({self.table}.{column} + excluded.{column}, {SUM_MAX})"
            for column in self.sums
        )
        return f" ON CONFLICT ({', '.join(self.keys)}) DO UPDATE SET {changes}"


USAGE_BY_HOUR = RollUp(
    "usage_by_hour",
    ("hour_ms", "simulated", "purpose", "model", "effort", "tier", "platform", "result"),
    (*SUMMED, "total_ms"),
    real=("total_ms",),
)
USAGE_BY_KEY = RollUp(
    "usage_by_key",
    ("hour_ms", "simulated", "purpose", "organisation", "team_id", "key_id", "model"),
    SUMMED,
)
USAGE_BY_TEAM = RollUp(
    "usage_by_team", ("hour_ms", "simulated", "purpose", "organisation", "team_id", "model"), SUMMED
)
LATENCY_BY_HOUR = RollUp(
    "latency_by_hour",
    ("hour_ms", "simulated", "purpose", "model", "tier", "platform", "kind", "octave"),
    SLOTS,
)
LATENCY_BY_MODEL = RollUp(
    "latency_by_model", ("hour_ms", "simulated", "purpose", "model", "kind", "octave"), SLOTS
)
ATTEMPTS_BY_HOUR = RollUp(
    "attempts_by_hour",
    ("hour_ms", "simulated", "purpose", "platform", "account", "model"),
    ATTEMPT_SUMS,
    real=("timed_ms",),
)
KEY_SPEND = RollUp("key_spend", ("key_id", "simulated"), ("spent_nanousd",))
"""Of keys by their ids, and of the accounts of budgets, each in its own unit; see `store.limits`."""


_Key = tuple[str | int, ...]
_Sums = dict[_Key, Sequence[int]]

_TOLD_APART = operator.itemgetter(
    *map(
        REQUESTS.index,
        (
            "simulated",
            "purpose",
            "model",
            "effort",
            "tier",
            "platform",
            "result",
            "key_id",
            "team_id",
            "organisation",
            "endpoint",
        ),
    )
)
"""Of a row of `requests`: the finest key but for the hour, and the endpoint."""

_FIGURES = operator.itemgetter(*map(REQUESTS.index, ("attempt_count", "cost_nanousd", *TOKENS)))
"""Of a row of `requests`: `SUMMED` but for the requests."""

_FIRST_FIGURE = REQUESTS.index("attempt_count")
"""They stand together, in this order."""

_TOTAL_MS = operator.itemgetter(REQUESTS.index("total_ms"))
_FIRST_CONTENT_MS = operator.itemgetter(REQUESTS.index("first_content_ms"))


class Adding:
    """Gathers what the records and gaps that are new in the store add to its roll-ups."""

    def __init__(self) -> None:
        self._alike: defaultdict[tuple[int, _Key, bool], list[Row]] = defaultdict(list)
        """Rows of `requests` by hour and what tells them apart, which is seldom much within one batch; and whether
        their time says something of a model, which that of an answer given again does not."""
        self._of_others: list[tuple[int, _Key, Other]] = []
        """Calls under other arms than the one that answered, each with its hour and what tells its request apart."""
        self._tried = Tried()
        self._gaps: list[tuple[_Key, Counts]] = []
        self._drawn: dict[tuple[str, int], int] = {}
        """On accounts of budgets; and on keys, what is no request of theirs and counts against them."""
        self._leases: dict[tuple[str, int], int] = {}
        self.of_tasks: list[Outcome] = []
        """Records of calls that hold a part of a task's budget."""

    def record(self, outcome: Outcome, made: Recorded, *, own: bool) -> None:
        """Count a record in. Raises one of `rows.NONSENSE`. About 1.2 us."""
        hour = outcome.at_ms // HOUR_MS
        told = _TOLD_APART(made.request)
        if made.others:
            self._of_others += [(hour, told, other) for other in made.others]
        self._alike[hour, told, outcome.cached is None].append(
            made.request if not made.others else _without(made.request, made.others)
        )
        if outcome.endpoint != "count_tokens":
            self._tried.record(hour, made)
        if outcome.task:
            self.of_tasks.append(outcome)
        if outcome.leased:
            self._leased(outcome, made.counts[2], own)
        if outcome.draws:
            simulated, drawn, leases = int(outcome.simulated), self._drawn, self._leases
            for draw in outcome.draws:
                if amount := plain_count(draw.amount):
                    place = draw.account, simulated
                    drawn[place] = drawn.get(place, 0) + amount
                    if own and draw.leased and draw.account:
                        leases[place] = leases.get(place, 0) + amount

    def gap(self, gap: Gap) -> None:
        """Count a gap in."""
        names = ("", "", "", "", DROPPED, gap.key, gap.team, gap.organisation)
        self._gaps.append(((*gap.place, *names), gap.counts))
        self._lower(gap.key, int(gap.simulated), gap.own_nanousd)
        if gap.purpose in CHECKS:
            self._checked(gap.key, int(gap.simulated), gap.own_nanousd)
        for account, amount, own in gap.drawn:
            if amount:
                place = account, int(gap.simulated)
                self._drawn[place] = self._drawn.get(place, 0) + amount
                self._lower(account, int(gap.simulated), own)

    def sums(self) -> Iterator[tuple[RollUp, list[Row]]]:
        """Tables in a fixed order, each with its rows in the order of their keys. Works table by table. Raises one of
        `rows.NONSENSE`. About 1 us for each record."""
        fine, took, slots = self._finest()
        yield USAGE_BY_HOUR, _hourly(fine, took)
        by_key = _folded(fine, _BY_KEY)
        yield USAGE_BY_KEY, _rows(by_key)
        yield USAGE_BY_TEAM, _rows(_folded(by_key, _BY_TEAM))
        yield LATENCY_BY_HOUR, _rows(slots)
        yield LATENCY_BY_MODEL, _rows(_folded(slots, _TIMED_BY_MODEL))
        spent = _spent(by_key)
        for place, amount in self._drawn.items():
            _add(spent, place, (amount,))
        yield KEY_SPEND, _rows(spent)
        yield ATTEMPTS_BY_HOUR, self._tried.rows()

    def leases(self) -> list[tuple[str, int, int]]:
        """Account, simulated, and what this process spent on it that is recorded now."""
        return [(*owner, cost) for owner, cost in sorted(self._leases.items())]

    def _leased(self, outcome: Outcome, nanousd: int, own: bool) -> None:
        """A record whose money came out of its key's limit."""
        checks = outcome.purpose in CHECKS
        if checks or outcome.purpose in BILLED:
            key, simulated = plain_name(outcome.key), int(outcome.simulated)
            if own:
                self._lower(key, simulated, nanousd)
            if checks:
                self._checked(key, simulated, nanousd)

    def _checked(self, key: str, simulated: int, nanousd: int) -> None:
        if key and nanousd:
            place = key, simulated
            self._drawn[place] = self._drawn.get(place, 0) + nanousd

    def _lower(self, key: str, simulated: int, nanousd: int) -> None:
        if key and nanousd:
            owner = key, simulated
            self._leases[owner] = self._leases.get(owner, 0) + nanousd

    def _finest(self) -> tuple[_Sums, dict[_Key, float], Mapping[_Key, Sequence[int]]]:
        """By the finest key: sums, and how long requests took together; and the rows of `latency_by_hour`."""
        fine: _Sums = {}
        took: dict[_Key, float] = {}
        slots: dict[_Key, list[int]] = {}
        for (hour, told, timed), requests in self._alike.items():
            simulated, purpose, model, effort, tier, platform, result, *owner, endpoint = told
            names = map(plain_name, (model, effort, tier, platform))
            key = (hour * HOUR_MS, simulated, purpose, *names, result, *map(plain_name, owner))
            _add(fine, key, [len(requests), *map(sum, zip(*map(_FIGURES, requests), strict=True))])
            total_ms = [*map(plain_ms, map(_TOTAL_MS, requests))]
            took[key] = took.get(key, 0.0) + sum(total_ms)
            if key[7] in ANSWERED and endpoint != "count_tokens" and timed:
                first_ms = [plain_ms(ms) for ms in map(_FIRST_CONTENT_MS, requests) if ms is not None]
                place = (*key[:4], key[5], key[6])
                _time(slots, (*place, "total"), total_ms)
                _time(slots, (*place, "first_content"), first_ms)
        for hour, told, other in self._of_others:
            simulated, purpose, _, _, tier, _, result, *owner, _ = told
            names = map(plain_name, (other.model, other.effort, tier, other.platform))
            key = (hour * HOUR_MS, simulated, purpose, *names, result, *map(plain_name, owner))
            _add(fine, key, other.counts)
        for key, figures in self._gaps:
            _add(fine, key, figures)
        return fine, took, slots


# The finest key: hour, simulated, purpose, model, effort, tier, platform, result, key, team, organisation.
_BY_HOUR = operator.itemgetter(0, 1, 2, 3, 4, 5, 6, 7)
_BY_KEY = operator.itemgetter(0, 1, 2, 10, 9, 8, 3)
_BY_TEAM = operator.itemgetter(0, 1, 2, 3, 4, 6)
_OWNER = operator.itemgetter(5, 1)
"""The first two from the finest key, the others from the key of `usage_by_key`."""
_TIMED_BY_MODEL = operator.itemgetter(0, 1, 2, 3, 6, 7)
"""From the key of `latency_by_hour`."""


def bucket_of(ms: float) -> int:
    """The bucket of a time: floor(8 log2 ms), within bounds."""
    if ms <= 1:
        return 0
    return BUCKET_MOST if ms >= _LONGEST_MS else math.floor(math.log(ms) * _BUCKETS_PER_E)


def middle_ms(bucket: int) -> float:
    """The time that stands for a bucket: the middle of its edges, by ratio."""
    return float(2 ** ((bucket + 0.5) / BUCKETS_PER_OCTAVE))


def _without(request: Row, others: Sequence[Other]) -> Row:
    """A row of `requests` of which what other arms came to is taken away."""
    less = map(sum, zip(*(other.counts[1:] for other in others), strict=True))
    rest = [max(whole - part, 0) for whole, part in zip(_FIGURES(request), less, strict=True)]
    return (*request[:_FIRST_FIGURE], *rest, *request[_FIRST_FIGURE + len(rest) :])


def _add(sums: _Sums, key: _Key, figures: Sequence[int]) -> None:
    known = sums.get(key)
    sums[key] = figures if known is None else [*map(operator.add, known, figures)]


def _time(slots: dict[_Key, list[int]], key: _Key, times: Sequence[float]) -> None:
    """Count times into the buckets of their octaves."""
    for bucket, answers in Counter(map(bucket_of, times)).items():
        octave, slot = divmod(bucket, BUCKETS_PER_OCTAVE)
        slots.setdefault((*key, octave), [0] * BUCKETS_PER_OCTAVE)[slot] += answers


def _folded(fine: Mapping[_Key, Sequence[int]], part: Callable[[_Key], _Key]) -> _Sums:
    """The sums by some parts of their keys."""
    folded: _Sums = {}
    for key, figures in fine.items():
        _add(folded, part(key), figures)
    return folded


def _hourly(fine: _Sums, took: Mapping[_Key, float]) -> list[Row]:
    together: dict[Row, float] = {}
    for key, ms in took.items():
        together[key[:8]] = together.get(key[:8], 0.0) + ms
    return [(*row, together.get(row[:8], 0.0)) for row in _rows(_folded(fine, _BY_HOUR))]


def _spent(by_key: _Sums) -> _Sums:
    billed = {key: usage[2:3] for key, usage in by_key.items() if key[5] and key[2] in BILLED and usage[2]}
    return _folded(billed, _OWNER)


def _rows(sums: Mapping[_Key, Sequence[int]]) -> list[Row]:
    return [(*key, *(min(figure, SUM_MAX) for figure in usage)) for key, usage in sorted(sums.items())]
