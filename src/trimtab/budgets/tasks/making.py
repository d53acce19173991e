"""Making a task: its phases and their shares, checked.

What it is not: what happens to it later. Invariant: a task is made whole, or the error says which value is wrong; the
phases of a new task add up to its total.
"""

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from trimtab.budgets.tasks.model import (
    FLOOR_PERCENT,
    LEAST_OUTPUT,
    STRATEGIES,
    Event,
    Phase,
    Strategy,
    Task,
)
from trimtab.catalogue.money import dollars
from trimtab.errors import RequestError, printable, quoted

PHASES = (("analysis", 20), ("tools", 40), ("verification", 30), ("report", 10))
"""The phases of a task that names none, with their shares in percent."""

ALIASES = {"initial_analysis": "analysis", "tool_execution": "tools", "final_report": "report"}
"""Other names of ours for these phases."""

VERIFICATION = "verification"

MAX_PHASES = 32
MAX_NAME_CHARS = 64
MAX_TOKENS = 10**12
MAX_NANOUSD = 10**15
"""A million dollars."""


class NewPhase(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One phase as it is asked for: in tokens or in percent of the total."""

    name: str
    tokens: int | None = None
    percent: int | float | None = None
    guaranteed: bool = False
    """With `prioritize_quality`: no other phase takes anything of it. Where no phase says so, the one that is named
    `verification` is meant."""


def own_name(phase: str) -> str:
    """The phase's name without an alias."""
    return ALIASES.get(phase, phase)


def new_task(
    identity: str,
    total: int,
    *,
    at_ms: int,
    nanousd: int | None = None,
    phases: Sequence[NewPhase] | None = None,
    strategy: str = "prioritize_completion",
    least_output: int = LEAST_OUTPUT,
    floor_percent: int = FLOOR_PERCENT,
) -> tuple[Task, tuple[Event, ...]]:
    """A task that nothing was spent of, and the events that tell of it. Raises `RequestError`.

    Where the phases come to less than the total, the rest is divided among them in the same proportion.
    """
    _whole("total", total, 1, MAX_TOKENS, "tokens")
    _whole("least_output", least_output, 1, 1_000_000, "tokens")
    _whole("floor_percent", floor_percent, 0, 100, "percent")
    if nanousd is not None and not 0 < nanousd <= MAX_NANOUSD:
        raise RequestError(f"usd: {dollars(nanousd)}: must be above 0 and at most {dollars(MAX_NANOUSD)}")
    known = _strategy(strategy)
    asked = [NewPhase(name, percent=share) for name, share in PHASES] if phases is None else list(phases)
    names = _names(asked)
    budgets = _budgets(total, asked, names)
    guaranteed = _guaranteed(asked, names, known)
    made = []
    for n, (name, budget) in enumerate(zip(names, budgets, strict=True)):
        if budget < least_output:
            raise RequestError(
                f"phases.{name}: comes to {budget} tokens of {total:,}, less than one useful answer ({least_output}); "
                "raise total or its share, or leave it out"
            )
        last = n == len(names) - 1
        floor = floor_of(budget, known, least_output, floor_percent, guaranteed=name in guaranteed, last=last)
        made.append(
            Phase(name=name, planned=budget, budget=budget, floor=floor, guaranteed=name in guaranteed)
        )
    task = Task(
        id=identity,
        total=total,
        phases=tuple(made),
        strategy=known,
        nanousd=nanousd,
        least_output=least_output,
        floor_percent=floor_percent,
        first_total=total,
    )
    events = [Event("created", at_ms, phase.name, phase.budget, nanousd=nanousd or 0) for phase in made]
    return task, tuple(events)


def floor_of(
    planned: int, strategy: Strategy, least_output: int, percent: int, *, guaranteed: bool, last: bool
) -> int:
    """What others leave to a phase of this share. With `prioritize_completion` the last one is left whole: a task that
    has nothing to report with is not completed, and then all that it spent was for nothing (docs/benchmarks.md)."""
    if guaranteed or (last and strategy == "prioritize_completion"):
        return planned
    return min(planned, max(least_output, planned * percent // 100))


def _strategy(text: str) -> Strategy:
    for known in STRATEGIES:
        if text == known:
            return known
    raise RequestError(f"strategy: {quoted(text)}: must be {' or '.join(STRATEGIES)}")


def _names(asked: Sequence[NewPhase]) -> list[str]:
    if not 1 <= len(asked) <= MAX_PHASES:
        raise RequestError(f"phases: {len(asked)} of them: must be 1 to {MAX_PHASES}")
    names: list[str] = []
    for one in asked:
        name = own_name(one.name)
        plain = name.replace("_", "a").replace("-", "a")
        if not 1 <= len(name) <= MAX_NAME_CHARS or not (plain.isascii() and plain.isalnum()):
            raise RequestError(
                f"phases: {printable(one.name, 80)!r}: a phase's name has 1 to {MAX_NAME_CHARS} letters, digits, '_' "
                "and '-'"
            )
        if name in names:
            raise RequestError(f"phases.{one.name}: stands twice ({one.name!r} means {name!r}); name it once")
        names.append(name)
    return names


def _budgets(total: int, asked: Sequence[NewPhase], names: Sequence[str]) -> list[int]:
    """Whole tokens that add up to the total, each as near to its share as can be."""
    shares: list[Fraction] = []
    for one, name in zip(asked, names, strict=True):
        if (one.tokens is None) == (one.percent is None):
            raise RequestError(f"phases.{name}: say either tokens or percent")
        if one.tokens is not None:
            _whole(f"phases.{name}.tokens", one.tokens, 1, MAX_TOKENS, "tokens")
            shares.append(Fraction(one.tokens))
        else:
            assert one.percent is not None
            if not 0 < one.percent <= 100:  # a NaN is refused too
                raise RequestError(
                    f"phases.{name}.percent: {quoted(one.percent)}: must be above 0 and at most 100"
                )
            shares.append(Fraction(str(one.percent)) * total / 100)
    together = sum(shares, Fraction(0))
    if together > total:
        raise RequestError(
            f"phases: together {_shown(together)} tokens, above the total of {total:,}; lower them or raise total"
        )
    return divided(total, shares)


def divided(total: int, shares: Sequence[Fraction | int]) -> list[int]:
    """Whole numbers in the proportion of `shares` that add up to `total`; the largest remainders are rounded up."""
    together = sum(shares, Fraction(0))
    exact = [share * total / together for share in shares]
    whole = [int(one) for one in exact]
    order = sorted(range(len(exact)), key=lambda n: (whole[n] - exact[n], n))
    for n in order[: total - sum(whole)]:
        whole[n] += 1
    return whole


def _guaranteed(asked: Sequence[NewPhase], names: Sequence[str], strategy: Strategy) -> set[str]:
    said = {name for one, name in zip(asked, names, strict=True) if one.guaranteed}
    if strategy != "prioritize_quality":
        if said:
            raise RequestError(
                f"phases.{min(said)}.guaranteed: only strategy prioritize_quality guarantees phases"
            )
        return said
    if not said and VERIFICATION in names:
        return {VERIFICATION}
    if not said:
        raise RequestError(
            "strategy: prioritize_quality guarantees the phase that checks: name one 'verification', or say guaranteed "
            f"of one of {', '.join(names)}"
        )
    return said


def _whole(name: str, value: int, least: int, most: int, unit: str) -> None:
    if not least <= value <= most:
        raise RequestError(f"{name}: {quoted(value)}: must be {least:,} to {most:,} {unit}")


def _shown(tokens: Fraction) -> str:
    return f"{-(-tokens.numerator // tokens.denominator):,}"
