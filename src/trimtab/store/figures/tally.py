"""Sums and times of some requests, as they are added up and kept.

What it is not: SQL. Invariant: adding and taking away are exact, so what is left of a whole after some parts are taken
from it is the sum of the other parts, times included.
"""

import operator
from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from trimtab.store.records.rollups import BUCKET_MOST, middle_ms

COUNTS = 9
"""requests, errors, cost_nanousd, then tokens in the order of `rows.TOKENS`."""

Kept = tuple[str, int, msgspec.Raw]
"""A name with its requests and its whole tally, as it is stored. Of many names only a few tallies are looked into."""

_Whole = tuple[list[int], list[int], list[int]]
"""Counts, and times as buckets and numbers in turn."""


class Tally:
    """Mutable; belongs to one thread."""

    __slots__ = ("counts", "first", "total")

    def __init__(self) -> None:
        self.counts = [0] * COUNTS
        self.total: defaultdict[int, int] = defaultdict(int)
        """How many answers took a time of this bucket (`rollups.bucket_of`) from arrival to end."""
        self.first: defaultdict[int, int] = defaultdict(int)
        """The same from sending to the first content."""

    def copy(self) -> "Tally":
        """Another one like it."""
        other = Tally()
        other.counts, other.total, other.first = self.counts, self.total.copy(), self.first.copy()
        return other

    def add(self, counts: Iterable[int], total: Mapping[int, int], first: Mapping[int, int]) -> None:
        """Add figures and times."""
        self.counts = list(map(operator.add, self.counts, counts))
        for own, more in ((self.total, total), (self.first, first)):
            for bucket, count in more.items():
                own[bucket] += count

    def add_tally(self, other: "Tally") -> None:
        """Add another."""
        self.add(other.counts, other.total, other.first)

    def take_away(self, other: "Tally") -> None:
        """Take away a part of it."""
        self.counts = list(map(operator.sub, self.counts, other.counts))
        for own, less in ((self.total, other.total), (self.first, other.first)):
            for bucket, count in less.items():
                own[bucket] -= count

    def add_kept(self, kept: Kept) -> None:
        """Add one that was stored."""
        counts, total, first = _WHOLE.decode(kept[2])
        self.counts = list(map(operator.add, self.counts, counts))
        for own, more in ((self.total, total), (self.first, first)):
            pairs = iter(more)
            if not own:
                own.update(zip(pairs, pairs, strict=True))
                continue
            for bucket, count in zip(pairs, pairs, strict=True):
                own[bucket] += count

    def stored(self, name: str) -> tuple[str, int, _Whole]:
        """As it is stored."""
        return name, self.counts[0], (self.counts, _flat(self.total), _flat(self.first))


def encode(named: Iterable[tuple[str, Tally]]) -> str:
    """What the column `content` holds."""
    return msgspec.json.encode([tally.stored(name) for name, tally in named]).decode()


def decode(content: str) -> list[Kept]:
    """What the column `content` says."""
    return _KEPT.decode(content)


_KEPT: msgspec.json.Decoder[list[Kept]] = msgspec.json.Decoder(list[Kept])
_WHOLE: msgspec.json.Decoder[_Whole] = msgspec.json.Decoder(_Whole)


def quantiles(times: Mapping[int, int]) -> tuple[float | None, float | None]:
    """The times that 50 and 95 percent of the answers did not take longer than, within 4.5 %; `None`: no answers."""
    requests = sum(times.values())
    if not requests:
        return None, None
    half, most = -(-requests // 2), -(-requests * 95 // 100)
    passed, p50 = 0, None
    for bucket in sorted(times):
        passed += times[bucket]
        if p50 is None and passed >= half:
            p50 = _MIDDLES[bucket]
        if passed >= most:
            return p50, _MIDDLES[bucket]
    raise AssertionError("a rank lies within the requests")


_MIDDLES = [round(middle_ms(bucket), 1) for bucket in range(BUCKET_MOST + 1)]


def _flat(times: Mapping[int, int]) -> list[int]:
    return [figure for pair in sorted(times.items()) if pair[1] for figure in pair]
