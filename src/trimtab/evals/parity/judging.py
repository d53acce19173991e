"""From what was observed on two platforms to a judgement: same, different, or inconclusive.

What it is not: asking. Pure. Two kinds of facts:

- *Certain* ones follow from the request and the platform: status, adaptations, model, input tokens, order of events,
  and what a case calls fixed. One answer shows them; they differ where no value of one side was seen on the other.
- *Free* ones a model may decide anew each time: whether it thinks, calls a tool, how it ends. They differ where the
  95 % intervals of a value's rate on both sides do not meet, which takes 4 answers on each.

Invariant: `different` names what differs and both values; what is neither shown equal nor shown different is
`inconclusive` and says why.
"""

import statistics
from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from trimtab.evals.parity.cases import Case, Free
from trimtab.evals.parity.facts import Observed
from trimtab.stats import wilson

Outcome = Literal["same", "different", "inconclusive"]

TOKENS_RUNS = 5
"""On each side, before lengths count as different: that all of one side lie above all of the other then has a chance of
2 / C(10, 5) = 0.8 % at most."""

TOKENS_FACTOR, TOKENS_APART = 2.0, 16
FEW_FACTOR, FEW_APART = 4.0, 100
"""Two answers of one model to one question differ in length, the more the freer the question and the more it thinks:
within this factor, or this many tokens, lengths count as the same; with fewer than `TOKENS_RUNS` answers, which do not
show the spread, within the second pair. A convention, not a measurement."""

RATES_APART = 0.5
"""Rates of a free fact that are so far apart are not called the same, even where the intervals meet."""


class Difference(msgspec.Struct, frozen=True):
    """One fact that differs."""

    fact: str
    first: str
    second: str


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one case with one model."""

    case: str
    model: str
    outcome: Outcome
    differences: tuple[Difference, ...] = ()
    doubts: tuple[str, ...] = ()
    """Why it is inconclusive; beside differences, what else could not be told."""
    notes: tuple[str, ...] = ()
    """What a reader should know of an outcome: refusals in the platforms' words, answers that were not counted."""
    runs: tuple[int, int] = (0, 0)
    """Answers that count, on each side."""
    requests: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    """Ids of their records, for looking closer."""
    same_text: bool | None = None
    """Whether one text came on both sides; informs only. `None` where a side has none."""


def judge(
    case: Case, model: str, first: Sequence[Observed], second: Sequence[Observed], names: tuple[str, str]
) -> Judged:
    """Compare the runs of a case. Pure."""
    clear = tuple([run for run in runs if not run.unclear] for runs in (first, second))
    notes: list[str] = []
    doubts: list[str] = []
    for name, runs, kept in zip(names, (first, second), clear, strict=True):
        lost = [run.unclear for run in runs if run.unclear]
        for reason in dict.fromkeys(lost):
            text = f"{name}: {reason}" + (f" ({lost.count(reason)} of {len(runs)})" if len(runs) > 1 else "")
            (notes if kept else doubts).append(text)
    here, there = clear
    differences: tuple[Difference, ...] = ()
    if here and there:
        judging = _Judging(case, here, there, names)
        differences = tuple(judging.facts())
        doubts += judging.doubts
        says = [next((run.says for run in runs if run.says), "") for runs in clear]
        if all(says) and not differences:
            notes += () if case.refused else (f"both refuse it: {says[0]}",)
        else:
            notes += [f"{name} says: {text}" for name, text in zip(names, says, strict=True) if text]
    texts = [{run.text for run in runs if run.text} for runs in clear]
    return Judged(
        case=case.name,
        model=model,
        outcome="different" if differences else "inconclusive" if doubts else "same",
        differences=differences,
        doubts=tuple(doubts),
        notes=tuple(notes),
        runs=(len(here), len(there)),
        requests=_ids(first, second),
        same_text=bool(texts[0] & texts[1]) if all(texts) else None,
    )


def _ids(first: Sequence[Observed], second: Sequence[Observed]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (
        tuple(run.request for run in first if run.request),
        tuple(run.request for run in second if run.request),
    )


class _Judging:
    """One case, both sides of which have answers that count."""

    def __init__(
        self, case: Case, first: Sequence[Observed], second: Sequence[Observed], names: tuple[str, str]
    ) -> None:
        self._fixed = frozenset(case.fixed)
        self._sides = (first, second)
        self._names = names
        self.doubts: list[str] = []

    def facts(self) -> list[Difference]:
        """What differs; doubts are added to `doubts`."""
        found = []
        order = dict.fromkeys(name for runs in self._sides for run in runs for name in run.facts)
        for name in order:
            values = [[run.facts[name] for run in runs if name in run.facts] for runs in self._sides]
            if not all(values):
                continue  # the status, or the blocks, say why one side has none
            if self._differs(name, *values):
                found.append(Difference(name, *map(_shown, values)))
        if self._tokens_differ():
            found.append(Difference("output tokens", *(_range(self._tokens(runs)) for runs in self._sides)))
        return found

    def _differs(self, name: str, first: list[str], second: list[str]) -> bool:
        plain = name.rpartition(": ")[2]
        if plain not in get_args(Free) or plain in self._fixed:
            if not set(first) & set(second):
                return True
            if len({*first, *second}) > 1:
                self.doubts.append(f"{name}: not steady; {self._both(first, second)}")
            return False
        apart = 0.0
        for value in {*first, *second}:
            counts = first.count(value), second.count(value)
            if not wilson(counts[0], len(first)).meets(wilson(counts[1], len(second))):
                return True
            apart = max(apart, abs(counts[0] / len(first) - counts[1] / len(second)))
        if apart > RATES_APART:
            self.doubts.append(
                f"{name}: {self._both(first, second)}; the model may choose here, so more answers are needed "
                "(--repeat 4 or more)"
            )
        return False

    def _both(self, first: list[str], second: list[str]) -> str:
        return f"{self._names[0]} {_shown(first)}, {self._names[1]} {_shown(second)}"

    def _tokens(self, runs: Sequence[Observed]) -> list[int]:
        return [run.output_tokens for run in runs if run.output_tokens is not None]

    def _tokens_differ(self) -> bool:
        first, second = map(self._tokens, self._sides)
        if not first or not second:
            return False
        low, high = sorted((statistics.median(first), statistics.median(second)))
        enough = min(len(first), len(second)) >= TOKENS_RUNS
        factor, distance = (TOKENS_FACTOR, TOKENS_APART) if enough else (FEW_FACTOR, FEW_APART)
        if high - low <= distance or high <= factor * low:
            return False
        if enough and (min(second) > max(first) or min(first) > max(second)):
            return True
        self.doubts.append(
            f"output tokens: {self._names[0]} {_range(first)}, {self._names[1]} {_range(second)}; the spread is too "
            f"large to tell (--repeat {TOKENS_RUNS} or more)"
        )
        return False


def _shown(values: Sequence[str]) -> str:
    """The values seen, the most frequent first, with how often where there is more than one."""
    counts = {value: list(values).count(value) for value in values}
    if len(counts) == 1:
        return values[0]
    ordered = sorted(counts, key=lambda value: -counts[value])
    return " | ".join(f"{value} ({counts[value]} of {len(values)})" for value in ordered)


def _range(tokens: Sequence[int]) -> str:
    return f"{min(tokens):,}" if min(tokens) == max(tokens) else f"{min(tokens):,} to {max(tokens):,}"
