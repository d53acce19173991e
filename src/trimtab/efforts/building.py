"""From requests and what was told of them to a table of effort. Pure.

What it is not: the reading (`store.figures.efforts`). Invariants: requests of one conversation (its task, else its
session) are one cluster, however many they are; an outcome counts for the arm that brought it about and for no other,
so conversations that used several arms say nothing where conversations are what is judged.
"""

from collections.abc import Iterable, Sequence

import msgspec

from trimtab.efforts.table import (
    CONVERSATIONS_MIN,
    Cell,
    ClassTable,
    EffortTable,
    Figure,
    Success,
    Unit,
    arm_order,
    figure,
)
from trimtab.stats.clusters import Mean, mean_of, quantile_of, rate_of
from trimtab.store.figures.efforts import AskedOnce, ToldOf

RECORDS_MAX = 200_000
"""Requests that one table is made of, the newest: some seconds and 100 MiB."""


class _Unit(msgspec.Struct):
    """What is counted: a request, or what a conversation came to."""

    ok: bool
    cost: int
    input: int
    output: int
    thinking: int
    ms: float
    score: float | None


Arm = tuple[str, str]
Units = dict[Arm, dict[str, list[_Unit]]]
"""By arm and conversation."""


class _Class:
    """The requests of one class while they are gathered."""

    def __init__(self) -> None:
        self.requests: Units = {}
        self.words: dict[str, dict[str, ToldOf]] = {}
        """What was told of conversations as wholes: of each source its newest word."""
        self.told_of_requests = 0
        self.several: set[str] = set()
        """Conversations of which some requests went through several arms."""

    def add(self, asked: AskedOnce) -> None:
        conversation = asked.task or asked.session
        own = [word.score for word in asked.told if word.covers == "request"]
        self.told_of_requests += bool(own)
        unit = _Unit(
            ok=asked.ok,
            cost=asked.cost_nanousd,
            input=asked.input_tokens,
            output=asked.output_tokens,
            thinking=asked.thinking_tokens,
            ms=asked.total_ms,
            score=sum(own) / len(own) if own else None,
        )
        arm = (asked.model, asked.effort)
        if asked.several_arms:
            self.several.add(conversation)
        self.requests.setdefault(arm, {}).setdefault(conversation, []).append(unit)
        for word in asked.told:
            if word.covers != "request":
                words = self.words.setdefault(conversation, {})
                if word.source not in words or words[word.source].at_ms < word.at_ms:
                    words[word.source] = word

    def table(self, name: str) -> ClassTable:
        unit: Unit = "conversation" if len(self.words) > self.told_of_requests else "request"
        units, left_out = (self.requests, 0) if unit == "request" else self._conversations()
        cells = [_cell(model, effort, list(found.values())) for (model, effort), found in units.items()]
        return ClassTable(
            task_class=name, unit=unit, cells=tuple(sorted(cells, key=arm_order)), left_out=left_out
        )

    def _conversations(self) -> tuple[Units, int]:
        """Each conversation as one unit, and how many there are that used several arms."""
        arms: dict[str, int] = {}
        for found in self.requests.values():
            for conversation in found:
                arms[conversation] = arms.get(conversation, 0) + 1 + (conversation in self.several)
        units: Units = {}
        for arm, found in self.requests.items():
            whole = {name: [self._together(name, parts)] for name, parts in found.items() if arms[name] == 1}
            if whole:
                units[arm] = whole
        return units, sum(count > 1 for count in arms.values())

    def _together(self, conversation: str, parts: Sequence[_Unit]) -> _Unit:
        words = [word.score for word in self.words.get(conversation, {}).values()]
        return _Unit(
            ok=any(part.ok for part in parts),
            cost=sum(part.cost for part in parts),
            input=sum(part.input for part in parts),
            output=sum(part.output for part in parts),
            thinking=sum(part.thinking for part in parts),
            ms=sum(part.ms for part in parts),
            score=sum(words) / len(words) if words else None,
        )


def build_table(
    requests: Iterable[AskedOnce], *, from_ms: int, to_ms: int, simulated: bool, most: int = RECORDS_MAX
) -> EffortTable:
    """The table of these requests, the newest first; what lies beyond `most` of them is left out, and that is said."""
    classes: dict[str, _Class] = {}
    count, complete = 0, True
    for asked in requests:
        if count == most:
            complete = False
            break
        count += 1
        if asked.ok or asked.told:
            classes.setdefault(asked.task_class, _Class()).add(asked)
    return EffortTable(
        from_ms=from_ms,
        to_ms=to_ms,
        simulated=simulated,
        requests=count,
        complete=complete,
        classes=tuple(classes[name].table(name) for name in sorted(classes)),
    )


def _cell(model: str, effort: str, conversations: Sequence[Sequence[_Unit]]) -> Cell:
    answered = [kept for units in conversations if (kept := [unit for unit in units if unit.ok])]
    told = [kept for units in conversations if (kept := [unit for unit in units if unit.score is not None])]
    cell = Cell(
        model=model,
        effort=effort,
        asked=sum(map(len, answered)),
        conversations=len(answered),
        told=sum(map(len, told)),
        told_conversations=len(told),
        success=_success(told),
    )
    if len(answered) < CONVERSATIONS_MIN:
        return cell
    cost = _mean(answered, "cost")
    timed = [(n, unit.ms) for n, units in enumerate(answered) for unit in units]
    return msgspec.structs.replace(
        cell,
        cost_nanousd=_figure(cost),
        cost_error=cost.error,
        input_tokens=_figure(_mean(answered, "input")),
        output_tokens=_figure(_mean(answered, "output")),
        thinking_tokens=_figure(_mean(answered, "thinking")),
        p50_ms=_quantile(timed, 0.5),
        p95_ms=_quantile(timed, 0.95),
    )


def _success(told: Sequence[Sequence[_Unit]]) -> Success | None:
    if len(told) < CONVERSATIONS_MIN:
        return None
    rate = rate_of([(len(units), sum(unit.score or 0.0 for unit in units)) for units in told])
    interval = rate.interval()
    return Success(rate.value, interval.low, interval.high, rate.effective, sum(map(len, told)), len(told))


def _mean(conversations: Sequence[Sequence[_Unit]], what: str) -> Mean:
    return mean_of([(len(units), float(sum(getattr(u, what) for u in units))) for units in conversations])


def _figure(mean: Mean) -> Figure:
    return figure(mean.value, mean.interval())


def _quantile(timed: Sequence[tuple[int, float]], share: float) -> Figure | None:
    found = quantile_of(timed, share)
    return None if found is None else Figure(found.value, found.low, found.high)
