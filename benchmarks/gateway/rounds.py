"""Servers that differ in one setting and are visited in turn, each held against the first of them.

The first two are the same: how far apart they are is the noise. Ratios are taken within a round, whose visits are
seconds apart, and the median over the rounds is the result. What it is not: a visitor of servers, or a judge.
"""

import argparse
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Found = dict[tuple[str, str], dict[int, tuple[float, float]]]
"""By case and server, and by round: processor microseconds of a request, and a time of the answers in milliseconds."""


@dataclass(frozen=True)
class Line:
    """A server in a case: medians over the rounds."""

    server: str
    cpu_us: float
    ratio: float
    """Of its processor time to that of the first server in the same round."""
    answer_ms: float


def arguments(about: str | None) -> argparse.Namespace:
    """What the command line says: `smoke`, and the number of `rounds`, which is one in a smoke."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="some seconds, figures of no value")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if given.smoke:
        given.rounds = 1
    return given


def compared(found: Found, case: str, servers: Iterable[str]) -> Iterator[Line]:
    """Every server that has a figure in a round in which the first of them has one too."""
    names = list(servers)
    base = found.get((case, names[0]), {})
    for name in names:
        here = found.get((case, name), {})
        ratios = [here[round_][0] / base[round_][0] for round_ in here if round_ in base]
        if ratios:
            cpu_us, answer_ms = (statistics.median(of) for of in zip(*here.values(), strict=True))
            yield Line(name, cpu_us, statistics.median(ratios), answer_ms)
