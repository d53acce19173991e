"""Roll-ups: what new records and gaps add to the sums that are kept by the hour and by key.

What it is not: SQL (the engines add the rows that are made here), or the reading of the sums (`usage`).
Invariants: a record and what it adds are committed together, so at any moment each sum is exactly that of the records
and gaps that were ever added; rows come in the order of their keys, so that two writers never wait for each other in a
circle. Step 4 of the schema does the same in SQL for the records that it finds; both must agree.
"""

import math
from collections.abc import Iterable, Sequence

import msgspec

from trimtab.records import Outcome
from trimtab.store.backlog import Entry, Gap
from trimtab.store.rows import BILLED, HOUR_MS, SUM_MAX, SUMMED, Counts, Row, add, counts, plain_name

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
        """Keys, then sums: the order of `Added` rows."""
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
KEY_SPEND = RollUp("key_spend", ("key_id", "simulated"), ("spent_nanousd",))


class Added(msgspec.Struct, frozen=True):
    """What one commit adds."""

    sums: tuple[tuple[RollUp, list[Row]], ...]
    """Tables in a fixed order, each with its rows in the order of their keys."""
    leases: list[tuple[str, int, int]]
    """key_id, simulated, nano-dollars that this process spent and now has recorded."""


_Key = tuple[str | int, ...]
_Sums = dict[_Key, Counts]


def rolled_up(entries: Iterable[Entry], gaps: Sequence[Gap]) -> Added:
    """What records and gaps that are new in the store add to its roll-ups.

    Raises one of `rows.NONSENSE` for a record that makes no sense. About 6 us a record.
    """
    fine: _Sums = {}
    times: dict[_Key, float] = {}
    slots: dict[_Key, list[int]] = {}
    leases: dict[_Key, int] = {}
    for entry in entries:
        outcome = entry.outcome
        key, usage = _place(outcome), counts(outcome)
        known = fine.get(key)
        fine[key] = usage if known is None else add(known, usage)
        times[key] = times.get(key, 0.0) + _plain_ms(outcome.total_ms)
        if outcome.result in ANSWERED and outcome.endpoint != "count_tokens":
            _time(slots, key, outcome)
        if entry.own and outcome.purpose in BILLED and usage[2]:
            owner = (key[8], key[1])
            leases[owner] = leases.get(owner, 0) + usage[2]
    for gap in gaps:
        key = (*gap.place, "", "", "", "", DROPPED, gap.key, gap.team, gap.organisation)
        known = fine.get(key)
        fine[key] = gap.counts if known is None else add(known, gap.counts)
        owner = (gap.key, int(gap.simulated))
        leases[owner] = leases.get(owner, 0) + gap.own_nanousd
    return Added(
        (
            (USAGE_BY_HOUR, _hourly(fine, times)),
            (USAGE_BY_KEY, _rows(_folded(fine, (0, 1, 2, 10, 9, 8, 3)))),
            (USAGE_BY_TEAM, _rows(_folded(fine, (0, 1, 2, 10, 9, 3)))),
            (LATENCY_BY_HOUR, [(*key, *found) for key, found in sorted(slots.items())]),
            (KEY_SPEND, _spent(fine)),
        ),
        [(str(key), int(flag), cost) for (key, flag), cost in sorted(leases.items()) if key and cost],
    )


def bucket_of(ms: float) -> int:
    """The bucket of a time: floor(8 log2 ms), within bounds."""
    if ms <= 1:
        return 0
    return BUCKET_MOST if ms >= _LONGEST_MS else math.floor(math.log(ms) * _BUCKETS_PER_E)


def middle_ms(bucket: int) -> float:
    """The time that stands for a bucket: the middle of its edges, by ratio."""
    return float(2 ** ((bucket + 0.5) / BUCKETS_PER_OCTAVE))


def _place(outcome: Outcome) -> _Key:
    """The finest key: hour, simulated, purpose, model, effort, tier, platform, result, key, team, organisation."""
    plan, attempts = outcome.plan, outcome.attempts
    platform = attempts[-1].platform if attempts else plan.platform if plan is not None else ""
    return (
        outcome.at_ms - outcome.at_ms % HOUR_MS,
        int(outcome.simulated),
        outcome.purpose,
        plain_name(plan.arm.model) if plan is not None else "",
        plain_name(plan.arm.effort) if plan is not None else "",
        plain_name(plan.tier) if plan is not None else "",
        plain_name(platform),
        outcome.result,
        plain_name(outcome.key),
        plain_name(outcome.team),
        plain_name(outcome.organisation),
    )


def _time(slots: dict[_Key, list[int]], key: _Key, outcome: Outcome) -> None:
    first = outcome.attempts[-1].first_content_ms if outcome.attempts else None
    for kind, ms in (("total", outcome.total_ms), ("first_content", first)):
        if ms is None:
            continue
        octave, slot = divmod(bucket_of(_plain_ms(ms)), BUCKETS_PER_OCTAVE)
        place = (*key[:4], key[5], key[6], kind, octave)
        found = slots.get(place)
        if found is None:
            found = slots[place] = [0] * BUCKETS_PER_OCTAVE
        found[slot] += 1


def _plain_ms(ms: float) -> float:
    """Nonsense (not a number, negative, beyond years) must not spoil a sum for good."""
    return ms if 0 <= ms < 1e12 else 0.0


def _hourly(fine: _Sums, times: dict[_Key, float]) -> list[Row]:
    by_hour: _Sums = {}
    took: dict[_Key, float] = {}
    for key, usage in fine.items():
        place = key[:8]
        known = by_hour.get(place)
        by_hour[place] = usage if known is None else add(known, usage)
        took[place] = took.get(place, 0.0) + times.get(key, 0.0)
    return [(*key, *by_hour[key], took[key]) for key in sorted(by_hour)]


def _folded(fine: _Sums, places: tuple[int, ...]) -> _Sums:
    """The sums by some parts of the finest key."""
    folded: _Sums = {}
    for key, usage in fine.items():
        place = tuple(key[n] for n in places)
        known = folded.get(place)
        folded[place] = usage if known is None else add(known, usage)
    return folded


def _spent(fine: _Sums) -> list[Row]:
    billed = {key: usage for key, usage in fine.items() if key[8] and key[2] in BILLED}
    return [(*key, usage[2]) for key, usage in sorted(_folded(billed, (8, 1)).items()) if usage[2]]


def _rows(sums: _Sums) -> list[Row]:
    return [(*key, *usage) for key, usage in sorted(sums.items())]
