"""What a parity check found, as data: for a terminal, a file or another program.

What it is not: words and layout, which the command has. Invariant: figures that inform only (time, cost, lengths,
texts) never decide an outcome.
"""

import statistics
from collections.abc import Sequence

import msgspec

from trimtab.evals.parity.facts import Observed
from trimtab.evals.parity.gathering import Everywhere, Runs, gathered
from trimtab.evals.parity.judging import Judged
from trimtab.stats import Interval, median_interval, wilson


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """One figure over all cases where both sides have it: the second platform's by the first's, case by case."""

    what: str
    unit: str
    cases: int
    first: float
    """The median over the cases."""
    second: float
    median: float
    """Of the ratios."""
    interval: Interval | None
    """95 %, for the median of the ratios; `None` with fewer than 6 cases."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a parity check found."""

    first: str
    second: str
    models: tuple[str, ...]
    repeat: int
    run: str
    """Stands in the session of each of its requests: parity-RUN-..."""
    simulated: tuple[str, ...]
    """Which of the two said that no real model answered."""
    same: int
    different: int
    inconclusive: int
    same_rate: Interval
    """95 %, of the cases that could be judged, as if they were drawn from the user's own traffic."""
    everywhere: tuple[Everywhere, ...]
    """What differs in every case, and so in none of those below."""
    judged: tuple[Judged, ...]
    ratios: tuple[Ratio, ...]
    only_first: tuple[str, ...] = ()
    """Headers and usage fields that answers of the first platform have, and none of the second's."""
    only_second: tuple[str, ...] = ()
    same_texts: tuple[int, int] = (0, 0)
    """Cases in which one text came on both sides, of those with a text."""
    cost_nanousd: int = 0
    """Of all requests together, as far as it is known."""


def told_of(
    names: tuple[str, str],
    models: tuple[str, ...],
    repeat: int,
    run: str,
    found: Sequence[tuple[Judged, Runs]],
) -> Report:
    """The report on all cases. Pure."""
    found, everywhere = gathered(found)
    judged = tuple(one for one, _ in found)
    count = {
        outcome: sum(one.outcome == outcome for one in judged)
        for outcome in ("same", "different", "inconclusive")
    }
    sides = [[run for _, runs in found for run in runs[side]] for side in (0, 1)]
    first, second = map(_carried, sides)
    texts = [one.same_text for one in judged if one.same_text is not None]
    return Report(
        first=names[0],
        second=names[1],
        models=models,
        repeat=repeat,
        run=run,
        simulated=tuple(
            name for name, runs in zip(names, sides, strict=True) if any(one.simulated for one in runs)
        ),
        **count,
        same_rate=wilson(count["same"], count["same"] + count["different"]),
        everywhere=everywhere,
        judged=judged,
        ratios=tuple(filter(None, (
            _ratio("time to first byte", "ms", [_medians(runs, "first_byte_ms") for _, runs in found]),
            _ratio("output tokens", "tokens", [_medians(runs, "output_tokens") for _, runs in found]),
            _ratio("cost", "nano-USD", [_medians(runs, "cost_nanousd") for _, runs in found]),
        ))),
        only_first=tuple(sorted(first - second)) if second else (),
        only_second=tuple(sorted(second - first)) if first else (),
        same_texts=(sum(texts), len(texts)),
        cost_nanousd=sum(one.cost_nanousd or 0 for runs in sides for one in runs),
    )  # fmt: skip


def _carried(runs: Sequence[Observed]) -> set[str]:
    return {f"header {name}" for run in runs for name in run.headers} | {
        f"usage.{name}" for run in runs for name in run.usage_fields
    }


def _medians(runs: Runs, figure: str) -> tuple[float, float] | None:
    found = []
    for side in runs:
        values = [value for run in side if not run.unclear and (value := getattr(run, figure)) is not None]
        if not values:
            return None
        found.append(float(statistics.median(values)))
    return found[0], found[1]


def _ratio(what: str, unit: str, pairs: Sequence[tuple[float, float] | None]) -> Ratio | None:
    whole = [pair for pair in pairs if pair is not None and pair[0] > 0 and pair[1] > 0]
    if not whole:
        return None
    ratios = [second / first for first, second in whole]
    return Ratio(
        what=what,
        unit=unit,
        cases=len(whole),
        first=statistics.median(first for first, _ in whole),
        second=statistics.median(second for _, second in whole),
        median=statistics.median(ratios),
        interval=median_interval(ratios),
    )
