"""Asks another arm the same request, and compares what the two answer.

What it is not: the way in which answers are made comparable (`canonical`), or the decision whether an opinion is worth
its price. Invariants: an answer that could not be compared buys no opinion; what cannot be compared is unsure, never
taken for an agreement; a probability is said only where the operator names one that was measured.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec

from trimtab.config import decoded, fail
from trimtab.messages.exchange import Answered, ToolCall
from trimtab.records import Fact
from trimtab.verification.canonical import Canonical, Kind, Reading, agree, canonical
from trimtab.verification.readings import folded
from trimtab.verification.seam import Case, Finding, Spends

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]

MAX_DEPTH = 60
"""Of arguments that are compared; none that tools take is deeper."""

ENDED = ("end", "stop_sequence", "tool_use")
"""Stops of answers that are whole."""


class SecondOpinionOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of a `[verifiers.NAME]` of kind `second_opinion`."""

    arm: str = "fast"
    """`model@effort`, of any vendor, or a tier. The cheapest voice that is not this arm's own is the best buy."""
    compare: Kind | Literal["whole_text"] = "auto"
    labels: tuple[str, ...] = ()
    letters: str = "ABCDEFGHIJ"
    fields: tuple[str, ...] = ()
    day_first: bool | None = None
    tool_order: Literal["matters", "ignored"] = "matters"
    same_arm: Literal["unsure", "counts"] = "unsure"
    """What an agreement of an arm with itself is."""
    confidence_agree: Probability | None = None
    """How often answers are right with which the other arm agrees, as measured."""
    confidence_disagree: Probability | None = None


class Compared(msgspec.Struct, frozen=True):
    """What two answers come to."""

    same: bool | None
    """`None`: they cannot be compared."""
    one: str = ""
    other: str = ""
    why: str = ""
    """Where they cannot be compared."""


def second_opinion(options: Mapping[str, Any], where: Callable[[str], str]) -> "SecondOpinion":
    """The verifier of these options. Raises `ConfigError`."""
    read = decoded(dict(options), SecondOpinionOptions, where)
    if not read.arm.strip():
        fail(where("arm"), read.arm, "must be a tier or an arm, as 'claude-haiku-4-5@low'")
    if read.labels and read.compare not in ("label", "auto"):
        fail(where("labels"), list(read.labels), f"means nothing to compare = {read.compare!r}")
    if read.fields and read.compare != "json":
        fail(where("fields"), list(read.fields), "needs compare = 'json'")
    return SecondOpinion(read)


class SecondOpinion:
    """See `second_opinion`."""

    spends: Spends = "money"

    def __init__(self, options: SecondOpinionOptions) -> None:
        self._options = options
        self._reading = Reading(
            labels=options.labels,
            letters=options.letters,
            fields=options.fields,
            day_first=options.day_first,
        )

    async def check(self, case: Case) -> Finding:
        """Compare with another arm's answer. Costs one call of that arm; nothing where there is nothing to compare."""
        options = self._options
        if options.same_arm == "unsure" and options.arm == case.arm:
            return Finding("unsure", f"{case.arm} would be asked for an opinion on its own answer")
        if case.answer.stop == "refusal":
            return Finding("unsure", "the answer is a refusal")
        why = self._incomparable(case.answer)
        if why:
            return Finding("unsure", why)
        heard = await case.means.ask(options.arm)
        evidence: dict[str, Fact] = {"other_arm": heard.arm, "compare": options.compare}
        if heard.simulated:
            evidence["simulated"] = True
        if options.same_arm == "unsure" and heard.arm == case.arm:
            return Finding("unsure", f"the other opinion is {heard.arm}'s own too", evidence)
        if not heard.answers:
            return Finding("unsure", f"{heard.arm} gave no answer", evidence)
        compared = [self.compared(case.answer, other) for other in heard.answers]
        first = compared[0]
        evidence.update(answer=first.one, other_answer=first.other)
        said = {one.same for one in compared}
        if said == {True}:
            reason = f"{heard.arm} gives the same answer"
            return Finding("accept", reason, evidence, options.confidence_agree)
        if said == {False}:
            reason = f"{heard.arm} gives another answer"
            return Finding("escalate", reason, evidence, options.confidence_disagree)
        why = next((one.why for one in compared if one.same is None), f"the answers of {heard.arm} differ")
        return Finding("unsure", why, evidence)

    def compared(self, one: Answered, other: Answered) -> Compared:
        """Whether two answers say the same. Symmetric."""
        for answer in (one, other):
            if answer.stop == "refusal":
                return Compared(None, why="one of the two refuses")
            if answer.stop not in ENDED or not answer.complete:
                return Compared(None, why="one of the two answers is not whole")
        if one.tool_calls or other.tool_calls:
            return self._calls(one.tool_calls, other.tool_calls)
        if self._options.compare == "whole_text":
            first, second = folded(one.text), folded(other.text)
            if not first or not second:
                return Compared(None, first, second, "one of the two is empty")
            return Compared(first == second, first, second)
        agreement = agree(one.text, other.text, self._options.compare, self._reading)
        first, second = _shown(agreement.one), _shown(agreement.other)
        if agreement.same is None:
            return Compared(None, first, second, "one of the two has no final answer that can be compared")
        unmarked = not _stands_out(agreement.one) and not _stands_out(agreement.other)
        if self._options.compare == "auto" and unmarked:
            return Compared(None, first, second, "neither of the two says which is its final answer")
        return Compared(agreement.same, first, second)

    def _incomparable(self, answer: Answered) -> str:
        """Why no opinion on this one can be compared with it; empty where it can."""
        if answer.tool_calls:
            return (
                "" if _keys(answer.tool_calls) is not None else "the arguments of a tool call cannot be read"
            )
        if answer.stop not in ENDED or not answer.complete:
            return "the answer is not whole"
        if self._options.compare == "whole_text":
            return "" if folded(answer.text) else "the answer is empty"
        if canonical(answer.text, self._options.compare, self._reading) is None:
            return "the answer has no final answer that can be compared"
        return ""

    def _calls(self, one: tuple[ToolCall, ...], other: tuple[ToolCall, ...]) -> Compared:
        first, second = _keys(one), _keys(other)
        if first is None or second is None:
            return Compared(None, _names(one), _names(other), "the arguments of a tool call cannot be read")
        shown = (_called(one, first), _called(other, second))
        if first == second:
            return Compared(True, *shown)
        if sorted(first) == sorted(second):
            if self._options.tool_order == "ignored":
                return Compared(True, *shown)
            return Compared(None, *shown, "the two call the same tools in another order")
        return Compared(False, *shown)


def _shown(read: Canonical | None) -> str:
    return "" if read is None else f"{read.value} {read.unit}".strip()


def _stands_out(read: Canonical | None) -> bool:
    return read is not None and read.found != "last line"


def _names(calls: tuple[ToolCall, ...]) -> str:
    return ", ".join(call.name for call in calls) or "no tool"


def _called(calls: tuple[ToolCall, ...], keys: list[tuple[str, bytes]]) -> str:
    return " ".join(f"{name}({key.decode()})" for name, key in keys) or _names(calls)


def _keys(calls: tuple[ToolCall, ...]) -> list[tuple[str, bytes]] | None:
    """Names and arguments in one way: members by name, `1.0` as `1`; `None` where they cannot be read."""
    found = []
    for call in calls:
        if not call.readable:
            return None
        try:
            written = msgspec.json.encode(_plain(call.input, MAX_DEPTH), order="deterministic")
        except (ValueError, msgspec.MsgspecError):
            return None
        found.append((call.name, written))
    return found


def _plain(value: Any, depth: int) -> Any:
    if not depth:
        raise ValueError("nested too deep")
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(one, depth - 1) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one, depth - 1) for one in value]
    return value
