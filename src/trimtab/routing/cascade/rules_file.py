"""Rules as people write them: those that come with Trimtab, and what an operator adds, changes or switches off.

What it is not: their evaluation (`rules`). Invariants: a rule that reads well here is one that can hold; a misspelt
fact or place is an error that names the rule; the same words give the same `version`.
"""

import difflib
import hashlib
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from typing import Any, NoReturn

import msgspec

from trimtab.catalogue import Tiers
from trimtab.catalogue.effort import MAX_NAME, is_plain_name
from trimtab.catalogue.money import NANO
from trimtab.catalogue.reading import read_yaml, to_struct
from trimtab.catalogue.tiers import TIER_NAMES
from trimtab.config import fail
from trimtab.errors import ConfigError, quoted
from trimtab.routing.cascade.rules import (
    OPS,
    REQUEST_FACTS,
    RUNG_FACTS,
    USD,
    Condition,
    Rule,
    Rules,
)

FILE = "rules.yaml"
MOST_RULES = 100
MOST_REASON = 200
"""Characters; reasons stand in every record."""

TEXTS = ("task_class", "model")
"""Facts that are text."""
FACTS = (*REQUEST_FACTS, *RUNG_FACTS)
PLACES = ("+1", "+2", "top", "after_last", "after_chain", "after_disliked", "leave_out")


class RuleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[[escalation.rules]]`. Of a shipped name, what it leaves out is as shipped."""

    name: str
    when: dict[str, str] | None = None
    """A comparison for each fact, as `">= 3"` or `"> extra_usd"`; all must hold."""
    then: str | None = None
    """Where a request begins, or `leave_out`."""
    reason: str | None = None
    source: str | None = None
    """Where its figures come from; for people."""
    off: bool = False


class EscalationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[escalation]`."""

    shipped: bool = True
    """Whether the rules that come with Trimtab hold."""
    rules: tuple[RuleSettings, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`rules.yaml`."""

    version: int
    rules: tuple[RuleSettings, ...]


def shipped() -> tuple[RuleSettings, ...]:
    """The rules that come with Trimtab. Reads a file: 3 ms. Raises `ConfigError`."""
    content = resources.files(__package__).joinpath(FILE).read_bytes()
    return to_struct(read_yaml(content, FILE), _File, FILE).rules


def resolve_rules(settings: EscalationSettings, tiers: Tiers, where: Callable[[str], str]) -> Rules:
    """The rules that hold, checked. `where("rules.vision.when")` is how an error names a place.

    Raises `ConfigError`.
    """
    own: dict[str, RuleSettings] = {}
    for one in settings.rules:
        if not is_plain_name(one.name):
            fail(
                where("rules"),
                one.name,
                f"a rule's name has 1 to {MAX_NAME} of a-z, 0-9, '-' and '_', and begins with none of the last two",
            )
        if one.name in own:
            fail(where("rules"), one.name, "stands there twice; keep one of them")
        own[one.name] = one
    found = {one.name: one for one in shipped()} if settings.shipped else {}
    for name, one in own.items():
        if one.off and name not in found:
            fail(where(f"rules.{name}.off"), name, f"no such rule to switch off; there are {_all(found)}")
        found[name] = _over(found.get(name), one, where)
    rules = tuple(_rule(one, tiers, where) for one in found.values() if not one.off)
    if len(rules) > MOST_RULES:
        raise ConfigError(
            where("rules"), f"has {len(rules)} rules; at most {MOST_RULES} are asked for each request"
        )
    return Rules(
        rules=tuple(rule for rule in rules if not rule.by_rung),
        by_rung=tuple(rule for rule in rules if rule.by_rung),
        version=hashlib.sha256(msgspec.json.encode(rules)).hexdigest()[:12],
    )


def _over(below: RuleSettings | None, one: RuleSettings, where: Callable[[str], str]) -> RuleSettings:
    """The shipped rule with an operator's words above it."""
    if below is None:
        for key in ("when", "then"):
            if getattr(one, key) is None:
                raise ConfigError(where(f"rules.{one.name}.{key}"), "missing; a rule of a new name needs it")
        return one
    named: dict[str, Any] = {
        key: value for key in one.__struct_fields__ if (value := getattr(one, key)) is not None
    }
    return msgspec.structs.replace(below, **named)


def _rule(one: RuleSettings, tiers: Tiers, where: Callable[[str], str]) -> Rule:
    def place(key: str) -> str:
        return where(f"rules.{one.name}.{key}")

    if not one.when:
        raise ConfigError(place("when"), f"is empty; name a fact, one of {', '.join(FACTS)}")
    reason = one.reason or ""
    if len(reason) > MOST_REASON or not reason.isprintable():
        fail(place("reason"), reason, f"must be one line of at most {MOST_REASON} characters")
    rule = Rule(
        one.name,
        tuple(_condition(fact, text, place("when")) for fact, text in one.when.items()),
        one.then or "",
        reason,
        _model(one.then or "", tiers, place("then")),
    )
    if rule.then == "leave_out" and not rule.by_rung:
        _refuse(place("then"), rule.then, f"needs to know which rung: ask for one of {', '.join(RUNG_FACTS)}")
    if rule.then.startswith("after_") and rule.by_rung:
        _refuse(
            place("then"),
            rule.then,
            'is one place for all rungs; with facts of a rung write "+1", "top" or a tier',
        )
    return rule


def _model(then: str, tiers: Tiers, place: str) -> str | None:
    if then in PLACES:
        return None
    arm = tiers.by_name(then)
    if arm is None:
        _refuse(place, then, f"must be one of {', '.join((*PLACES, *TIER_NAMES))}")
    return arm.model


def _condition(fact: str, text: str, place: str) -> Condition:
    """One comparison, as `>= 3`."""
    if fact not in FACTS:
        close = difflib.get_close_matches(fact, FACTS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(FACTS)}"
        _refuse(place, fact, f"no such fact; {hint}")
    place = f"{place}.{fact}"
    op = next((one for one in OPS if text.startswith(one)), None)
    rest = text[len(op) :].strip() if op is not None else ""
    if op is None or not rest:
        _refuse(place, text, f'must be a comparison, as ">= 3": one of {" ".join(OPS)} and a value or a fact')
    if fact in TEXTS:
        if op != "=":
            _refuse(place, text, 'is compared with text; write it as "= coding"')
        return Condition(fact, op, rest)
    if rest in FACTS:
        if rest in TEXTS or _unit(rest) != _unit(fact):
            _refuse(place, text, f"{rest} has another unit than {fact}")
        return Condition(fact, op, 0, rest)
    try:
        value = float(rest)
    except ValueError:
        value = float("nan")
    if not abs(value) <= 10**15:  # so written that nan is refused
        _refuse(place, text, f"{rest!r} is no number and no fact; facts are {', '.join(FACTS)}")
    value = value * NANO if fact.endswith(USD) else value
    return Condition(fact, op, int(value) if value.is_integer() else value)


def _unit(fact: str) -> str:
    unit = fact.rpartition("_")[2]
    return unit if unit in ("usd", "ms", "tokens") else ""


def _refuse(place: str, value: str, problem: str) -> NoReturn:
    raise ConfigError(place, f"{quoted(value, 80)}: {problem}")


def _all(names: Iterable[str] | Mapping[str, object]) -> str:
    return ", ".join(names) or "none"
