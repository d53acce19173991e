"""Metrics of several processes as one: taken from each, added up, written out.

Invariants: counters and histograms of the sum are the sums of the parts, also of parts whose process is gone; nothing
is interpreted but the kind of a family.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

import trimtab.telemetry.names as names

_Key = tuple[str, tuple[tuple[str, str], ...]]

_CUMULATIVE = ("counter", "histogram")
"""Kinds whose totals outlive their process."""

_GREATEST = (names.CONFIG_INFO.name, names.KEYS_AGE_SECONDS.name)
"""An information has the value 1, however many say it; an age is that of the oldest."""

_LEAST = (names.STORE_WRITABLE.name, names.RATE_LIMIT_LEFT.name)
"""Holds for the server when it holds for every process; of a limit that all share the least is what is left."""


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One line of an exposition."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


class Family(msgspec.Struct, frozen=True, array_like=True):
    """One metric with all its samples."""

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...]

    @property
    def cumulative(self) -> bool:
        """Whether its totals count on after its process has ended."""
        return self.kind in _CUMULATIVE


def families(registry: CollectorRegistry) -> list[Family]:
    """What the registry holds now."""
    return [
        Family(
            metric.name,
            metric.type,
            metric.documentation,
            tuple(Sample(s.name, tuple(s.labels.items()), float(s.value)) for s in metric.samples),
        )
        for metric in registry.collect()
    ]


class Sum:
    """Families of several processes, added up sample by sample.

    Counters are added exactly and rounded once, when they are read: were they rounded on the way, a sum could fall by
    its last digit when a process dies or the order changes, and a counter that falls means a restart to Prometheus.
    """

    def __init__(self, parts: Iterable[Iterable[Family]] = ()) -> None:
        self._heads: dict[str, Family] = {}
        self._values: dict[str, dict[_Key, Fraction | float]] = {}
        for part in parts:
            self.add(part)

    def copy(self) -> "Sum":
        """One that can be added to by itself."""
        other = Sum()
        other._heads = dict(self._heads)
        other._values = {name: dict(values) for name, values in self._values.items()}
        return other

    def add(self, part: Iterable[Family]) -> None:
        """Take in what one process measured."""
        for family in part:
            self._heads.setdefault(family.name, family)
            mine = self._values.setdefault(family.name, {})
            for sample in family.samples:
                key = (sample.name, sample.labels)
                value = Fraction(sample.value) if family.cumulative else sample.value
                mine[key] = _two(family.name, mine[key], value) if key in mine else value

    def families(self) -> list[Family]:
        """The sums, in the order in which their families came."""
        return [
            Family(
                name,
                head.kind,
                head.help,
                tuple(Sample(*key, float(value)) for key, value in self._values[name].items()),
            )
            for name, head in self._heads.items()
        ]


def _two(family: str, one: Fraction | float, other: Fraction | float) -> Fraction | float:
    if family in _GREATEST:
        return max(one, other)
    if family in _LEAST:
        return min(one, other)
    return one + other


def totals(part: Iterable[Family]) -> list[Family]:
    """What stays of a process that is gone: its counters and histograms."""
    return [family for family in part if family.cumulative]


def exposition(part: Iterable[Family]) -> bytes:
    """The Prometheus text format 0.0.4."""
    return generate_latest(_Given(part))


class _Given(Collector):
    def __init__(self, part: Iterable[Family]) -> None:
        self._part = part

    def collect(self) -> Iterator[Metric]:
        for family in self._part:
            metric = Metric(family.name, family.help, family.kind)
            for sample in family.samples:
                metric.add_sample(sample.name, dict(sample.labels), sample.value)
            yield metric
