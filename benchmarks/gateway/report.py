"""Visits as a table, and held against the bars.

Ratios are taken within a round, where two targets were visited within seconds of each other, and the median over the
rounds is the result.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cases import Case, Visit


@dataclass(frozen=True)
class Bar:
    """`value` of a case: how many times `of`'s figure `target`'s may be (or must be, `at_least`)."""

    case: str
    words: str
    limit: float
    of: str = "nginx"
    target: str = "trimtab"
    at_least: bool = False
    added: bool = False
    """The difference counts, not the ratio."""


BARS = (
    Bar("short", "CPU ≤ 10 × nginx", 10),
    Bar("long", "CPU ≤ 10 × nginx", 10),
    Bar("short", "LiteLLM ≥ 100 × Trimtab", 100, of="trimtab", target="litellm", at_least=True),
    Bar("long", "LiteLLM ≥ 80 × Trimtab", 80, of="trimtab", target="litellm", at_least=True),
    Bar("streams-8", "CPU ≤ 2.4 × nginx", 2.4),
    Bar("streams-100", "CPU ≤ 2.4 × nginx", 2.4),
    Bar("short", "CPU ≤ 1.05 × an earlier version's", 1.05, of="trimtab-before"),
    Bar("long", "CPU ≤ 1.05 × an earlier version's", 1.05, of="trimtab-before"),
    Bar("streams-8", "CPU ≤ 1.05 × an earlier version's", 1.05, of="trimtab-before"),
    Bar("short", "a budget ≤ 1.15 × a key without", 1.15, of="trimtab-free", target="trimtab-budget"),
    Bar("long", "a budget ≤ 1.15 × a key without", 1.15, of="trimtab-free", target="trimtab-budget"),
    Bar("short", "three limits ≤ 1.15 × a key without", 1.15, of="trimtab-free", target="trimtab"),
    Bar(
        "short",
        "limits and budgets ≤ 1.15 × a key without",
        1.15,
        of="trimtab-free",
        target="trimtab-budgets",
    ),
    Bar(
        "long", "limits and budgets ≤ 1.15 × a key without", 1.15, of="trimtab-free", target="trimtab-budgets"
    ),
    Bar("added", "added p50 ≤ 1 ms", 1.0, of="direct", added=True),
    Bar("first-byte", "first byte ≤ direct + 1 ms", 1.0, of="direct", added=True),
)


class Results:
    """All visits of a run."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []

    def of(self, case: str, target: str) -> dict[int, float]:
        """Figures by round."""
        return {
            visit.round: visit.figure
            for visit in self.visits
            if visit.case == case and visit.target == target and visit.figure is not None
        }

    def compared(self, bar: Bar) -> list[float]:
        """The ratio or difference of each round in which both have a figure."""
        theirs = self.of(bar.case, bar.of)
        return [
            value - theirs[round_] if bar.added else value / theirs[round_]
            for round_, value in self.of(bar.case, bar.target).items()
            if round_ in theirs
        ]


def table(results: Results, case: Case, targets: Sequence[str]) -> str:
    """One case: a line for each target."""
    base = "nginx" if case.figure == "cpu" else "direct"
    unit = "µs" if case.figure == "cpu" else "ms"
    head = f"{case.title} ({unit})"
    second = "x nginx" if case.figure == "cpu" else "+ direct"
    lines = [f"{head:<44}{'median':>10}{'best':>10}{'worst':>10}{second:>10}{'answers':>9}{'refused':>9}"]
    for target in targets:
        found = list(results.of(case.name, target).values())
        if not found:
            faults = [v.fault for v in results.visits if v.case == case.name and v.target == target]
            if faults:
                lines.append(f"  {target:<42}  no figure: {faults[0][:110]}")
            continue
        compared = results.compared(Bar(case.name, "", 0, of=base, target=target, added=case.figure != "cpu"))
        seen = [v.seen for v in results.visits if (v.case, v.target) == (case.name, target)]
        answers, refused = sum(one.completed for one in seen), sum(one.refused for one in seen)
        ratio = f"{statistics.median(compared):10.2f}" if compared else " " * 10
        figures = "".join(f"{value:10.2f}" for value in (statistics.median(found), min(found), max(found)))
        lines.append(f"  {target:<42}{figures}{ratio}{answers:>9}{refused:>9}")
    return "\n".join(lines)


def judged(results: Results, cases: Sequence[Case]) -> list[tuple[str, float, bool]]:
    """Each bar that this run can judge: words, what was measured, whether it is met."""
    titles = {case.name: case.title for case in cases}
    found = []
    for bar in BARS:
        compared = results.compared(bar)
        if not compared:
            continue
        value = statistics.median(compared)
        met = value >= bar.limit if bar.at_least else value <= bar.limit
        found.append((f"{titles[bar.case]}: {bar.words}", value, met))
    return found
