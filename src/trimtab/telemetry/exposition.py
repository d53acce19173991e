"""Metrics of several processes as one: taken from each, added up, written out.

Invariants: counters and histograms of the sum are the sums of the parts, also of parts whose process is gone; nothing
is interpreted but the kind of a family.
"""

from collections.abc import Iterable, Iterator

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from trimtab.telemetry import names

_CUMULATIVE = ("counter", "histogram")
"""Kinds whose totals outlive their process."""

_GREATEST = (names.CONFIG_INFO.name, names.KEYS_AGE_SECONDS.name)
"""An information has the value 1, however many say it; an age is that of the oldest."""

_LEAST = (names.STORE_WRITABLE.name,)
"""Holds for the server when it holds for every process."""


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


def added(parts: Iterable[Iterable[Family]]) -> list[Family]:
    """One list of families out of several; samples that are called the same are added up."""
    heads: dict[str, Family] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for part in parts:
        for family in part:
            heads.setdefault(family.name, family)
            mine = values.setdefault(family.name, {})
            for sample in family.samples:
                key = (sample.name, sample.labels)
                old = mine.get(key)
                mine[key] = sample.value if old is None else _two(family.name, old, sample.value)
    return [
        Family(name, head.kind, head.help, tuple(Sample(*key, value) for key, value in values[name].items()))
        for name, head in heads.items()
    ]


def _two(family: str, one: float, other: float) -> float:
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
