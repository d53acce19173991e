"""Rules of where a request begins: which facts each asks for, and where it then begins. Data, and its evaluation.

What it is not: the reading of files (`rules_file`), or what is known of an arm. Pure. Invariants: a rule asks for facts
of a closed list only; a fact that is not known makes no condition true; rules begin higher, never lower.
"""

from collections.abc import Callable, Mapping
from operator import attrgetter
from types import MappingProxyType
from typing import Literal, Protocol

import msgspec

from trimtab.catalogue.money import about_dollars
from trimtab.routing.cascade.ladder import Facts

Op = Literal[">=", "<=", ">", "<", "="]
OPS: tuple[Op, ...] = (">=", "<=", ">", "<", "=")
"""The longer first, as they are read."""

Value = int | float | str | None

REQUEST_FACTS: Mapping[str, Callable[[Facts], Value]] = {
    "max_tokens": attrgetter("max_tokens"),
    "input_tokens": attrgetter("input_tokens"),
    "images": attrgetter("images"),
    "tools": attrgetter("tools"),
    "chain": attrgetter("chain"),
    "tool_errors": attrgetter("tool_errors"),
    "code_tokens": attrgetter("code_tokens"),
    "cached_tokens": attrgetter("cached_tokens"),
    "repeated": attrgetter("repeated"),
    "disliked": attrgetter("disliked"),
    "task_class": attrgetter("task_class"),
}
"""Of the request and its conversation."""

RUNG_FACTS = ("model", "error_cost_usd", "risk_usd", "extra_usd", "latency_ms", "usual_ms")
"""Asked again at each rung. `model`: its model. `risk_usd`: the share of its answers that fail, times
`error_cost_usd`. `extra_usd`: what it costs more to begin at the rung after it. Those in `_usd` are compared in
nano-dollars."""

USD = "_usd"


class OfRung(Protocol):
    """Facts of a rung."""

    def get(self, name: str, /) -> Value:
        """One of `RUNG_FACTS`; `None` where it is not known."""
        ...


NO_RUNG: OfRung = MappingProxyType[str, Value]({})


class Condition(msgspec.Struct, frozen=True):
    """A comparison of a fact with a value, or with another fact."""

    fact: str
    op: Op
    value: int | float | str = 0
    other: str | None = None


class Rule(msgspec.Struct, frozen=True):
    """One rule. All of its conditions must hold."""

    name: str
    when: tuple[Condition, ...]
    then: str
    """Where a request begins: `+1`, `+2` (rungs above the first; of a rule that is asked at each rung, above that one);
    `top`; a tier's name, for the first rung of its model; `after_last`, `after_chain`, `after_disliked`: the rung after
    the one that gave the conversation's last answer, that answered when this chain of tools began, or whose answer was
    disliked. `leave_out`: the rung of which the rule holds is not called."""
    reason: str = ""
    model: str | None = None
    """Of the tier that `then` names."""

    @property
    def by_rung(self) -> bool:
        """Whether it is asked again at each rung."""
        return any(one.fact in RUNG_FACTS or one.other in RUNG_FACTS for one in self.when)


class Rules(msgspec.Struct, frozen=True):
    """All that hold, in the order in which they are asked."""

    rules: tuple[Rule, ...] = ()
    by_rung: tuple[Rule, ...] = ()
    """Those that are asked at each rung."""
    version: str = ""
    """A digest of what they say."""


def holds(rule: Rule, facts: Facts, of_rung: OfRung = NO_RUNG) -> bool:
    """Whether all conditions of a rule hold."""
    return all(_holds(one, facts, of_rung) for one in rule.when)


def because(rule: Rule, facts: Facts, of_rung: OfRung = NO_RUNG) -> str:
    """Why a rule holds, with the values it goes by."""
    values = ", ".join(_shown(one, facts, of_rung) for one in rule.when)
    return f"rule {rule.name}: {rule.reason or values}{f' ({values})' if rule.reason else ''}"


def _value(name: str, facts: Facts, of_rung: OfRung) -> Value:
    found = REQUEST_FACTS.get(name)
    return found(facts) if found is not None else of_rung.get(name)


def _holds(one: Condition, facts: Facts, of_rung: OfRung) -> bool:
    left = _value(one.fact, facts, of_rung)
    right = one.value if one.other is None else _value(one.other, facts, of_rung)
    if left is None or right is None:
        return False
    if isinstance(left, str) or isinstance(right, str):
        return one.op == "=" and left == right
    if one.op == ">":
        return left > right
    if one.op == ">=":
        return left >= right
    if one.op == "<":
        return left < right
    return left <= right if one.op == "<=" else left == right


def _shown(one: Condition, facts: Facts, of_rung: OfRung) -> str:
    left = figure(one.fact, _value(one.fact, facts, of_rung))
    if one.other is None:
        return f"{one.fact} {left} {one.op} {figure(one.fact, one.value)}"
    return f"{one.fact} {left} {one.op} {one.other} {figure(one.other, _value(one.other, facts, of_rung))}"


def figure(name: str, value: Value) -> str:
    """A fact's value for people."""
    if isinstance(value, str) or value is None:
        return str(value)
    return about_dollars(value) if name.endswith(USD) else f"{value:,.10g}"
