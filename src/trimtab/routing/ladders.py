"""Ladders from the configuration: what a route says of verification and of going on, checked against the catalogue.

What it is not: a decision on a ladder (`cascade`), or which verifiers there are (`verification`). Pure. Invariants: no
arm stands on a ladder twice, and none is cheaper than one below it; where a route names no ladder, a pinned model gets
none.
"""

import datetime
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Literal

import msgspec

from trimtab.catalogue import Arm, Catalogue, Effort, Model, Tiers, token_ratio
from trimtab.catalogue.effort import EffortSettings, Scenario, fitted, is_higher
from trimtab.catalogue.money import NANO, about_dollars
from trimtab.catalogue.tiers import TIER_NAMES, TierName, TierPolicy, resolve_arm
from trimtab.config import fail
from trimtab.errors import ConfigError, quoted
from trimtab.routing.cascade import Fit, Ladder, Mode
from trimtab.routing.cascade.ladder import MOST_STEPS
from trimtab.routing.ranking import USUAL

MOST_RUNGS = 8
"""Steps are three, and a conversation climbs a rung at a time: a longer ladder is a grid."""

MOST_S = 86_400.0
MOST_USD = 10**6
"""Of one request. More is a slip of the pen."""
MOST_USD_DECIMALS = 9

DERIVED_MOST: Effort = "high"
"""Where no ladder is named, the effort that is tried before another model; from there on, one level more."""

VerifyWhen = Literal["before", "after"]
"""`before`: an answer is held back until it is judged. `after`: it goes out as it comes, judged for the record."""


class LadderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a `[routes.NAME]` says of verification and of going on."""

    verify: tuple[str, ...] | None = None
    """Verifiers, by their names or kinds."""
    verify_when: VerifyWhen | None = None
    ladder: tuple[str, ...] | None = None
    """Arms, as `model@effort+adaptive`, or tiers, in the order in which they are tried."""
    mode: Mode | None = None
    steps: int | None = None
    """Attempts of one request, at most."""
    unsure: Literal["escalate", "release"] | None = None
    within_s: float | None = None
    most_usd: Decimal | None = None
    latency_s: float | None = None
    error_cost_usd: Decimal | None = None
    control_share: float | None = None


ESCALATING = ("mode", "steps", "unsure", "within_s", "most_usd", "latency_s", "error_cost_usd")
"""Settings that say something of going on."""


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What a route says of the arm that serves it."""

    tier: TierName | None = None
    arm: Arm | None = None
    effort: Effort | None = None
    """The route's own."""
    most_effort: Effort | None = None
    scenario: str | None = None


class Around(msgspec.Struct, frozen=True):
    """What a ladder is checked against."""

    catalogue: Catalogue
    tiers: Tiers
    effort: EffortSettings
    scenarios: Mapping[str, Scenario]


class _Rung(msgspec.Struct, frozen=True):
    arm: Arm
    model: Model
    tier: TierName | None


def resolve_ladder(
    one: LadderSettings, served: Served, around: Around, where: Callable[[str], str]
) -> Ladder | None:
    """The ladder of a route; `None` where nothing can be escalated and there is no baseline. `where("ladder")` is how
    an error names a key. Raises `ConfigError`."""
    _check(one, where)
    judged_after = one.verify_when == "after"
    if one.ladder is not None:
        for key in ("tier", "effort"):
            if getattr(served, key) is not None:
                _beside(where(key))
        if served.arm is not None:
            _beside(where("model"))
        rungs = _named(one.ladder, served, around, where("ladder"))
        if judged_after and len(rungs) > 1:
            raise ConfigError(
                where("verify_when"),
                f"'after' lets an answer go out before it is judged, so none of the {len(rungs)} rungs of its ladder "
                'would be reached from another; name one rung, or write "before"',
            )
    elif one.verify and not judged_after:
        rungs = _derived(served, around, one.steps or MOST_STEPS)
    else:
        useless = next((key for key in ESCALATING if getattr(one, key) is not None), None)
        if useless is not None:
            raise ConfigError(
                where(useless),
                'has no effect with verify_when = "after", which escalates nothing; leave it out'
                if judged_after
                else "has no effect without verify or ladder: nothing is escalated; add one, or leave it out",
            )
        if not one.control_share:
            return None
        rungs = _derived(served, around, 1)
    return _ladder(one, tuple(rungs), around)


def auto_ladder(around: Around) -> Ladder:
    """The ladder of requests for `trimtab/auto` that no route takes and that name verifiers themselves: the one that a
    route would have that says no more than what it verifies."""
    return _ladder(LadderSettings(), tuple(_derived(Served(), around, MOST_STEPS)), around)


def _beside(place: str) -> None:
    raise ConfigError(
        place, "stands beside ladder, whose rungs say which model and effort serve; leave one out"
    )


def _check(one: LadderSettings, where: Callable[[str], str]) -> None:
    """Each figure by itself."""
    if one.verify is not None:
        if not one.verify:
            raise ConfigError(where("verify"), "is empty; name a verifier, or leave the key out")
        _no_twice(one.verify, where("verify"))
    elif one.verify_when is not None:
        raise ConfigError(
            where("verify_when"), "has no effect without verify; name a verifier, or leave it out"
        )
    if one.steps is not None and not 1 <= one.steps <= MOST_STEPS:
        fail(where("steps"), one.steps, f"must be from 1 to {MOST_STEPS}")
    for key in ("within_s", "latency_s"):
        seconds: float | None = getattr(one, key)
        if seconds is not None and not 0 < seconds <= MOST_S:  # so written that nan is refused
            fail(where(key), seconds, f"must be greater than 0 and at most {MOST_S:,.0f} seconds")
    for key in ("most_usd", "error_cost_usd"):
        _nanousd(getattr(one, key), where(key))
    if one.control_share is not None and not 0 <= one.control_share < 1:
        fail(where("control_share"), one.control_share, "must be at least 0 and less than 1, as 0.02 for 2 %")


def _nanousd(usd: Decimal | None, place: str) -> int | None:
    if usd is None:
        return None
    exponent = usd.as_tuple().exponent
    if not usd.is_finite() or not 0 < usd <= MOST_USD or -int(exponent) > MOST_USD_DECIMALS:
        raise ConfigError(
            place,
            f"{quoted(usd, 40)}: must be an amount of US dollars above 0 and at most {MOST_USD:,}, such as 2 or 0.25, "
            "to the ninth place",
        )
    return int(usd * NANO)


def _no_twice(names: tuple[str, ...], place: str) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        fail(place, twice, "stands there twice; name it once")


def _ladder(one: LadderSettings, rungs: tuple[_Rung, ...], around: Around) -> Ladder:
    share = one.control_share or 0.0
    control = around.tiers.control
    found = around.catalogue.find(control.model)
    return Ladder(
        rungs=tuple(rung.arm for rung in rungs),
        tiers=tuple(rung.tier for rung in rungs),
        fits=tuple(
            Fit(rung.model.limits.max_output, rung.model.limits.context, rung.model.vision != "none")
            for rung in rungs
        ),
        mode=one.mode or "quality",
        steps=min(one.steps or MOST_STEPS, len(rungs)),
        unsure=one.unsure or "escalate",
        within_s=one.within_s,
        most_nanousd=_nanousd(one.most_usd, ""),
        latency_s=one.latency_s,
        error_cost_nanousd=_nanousd(one.error_cost_usd, ""),
        control_share=share,
        control=msgspec.structs.replace(control, model=found.id) if share and found is not None else None,
    )


def _named(texts: tuple[str, ...], served: Served, around: Around, place: str) -> list[_Rung]:
    """The rungs that a configuration names, checked."""
    if not texts:
        raise ConfigError(place, 'is empty; name an arm, as "claude-sonnet-4-6@medium", or leave the key out')
    if len(texts) > MOST_RUNGS:
        raise ConfigError(place, f"has {len(texts)} rungs; at most {MOST_RUNGS} are read, name fewer")
    rungs: list[_Rung] = []
    works_at: dict[tuple[str, Effort | None, str | None], str] = {}
    for text in texts:
        tier = next((name for name in TIER_NAMES if name == text), None)
        named = around.tiers.by_name(tier) if tier is not None else resolve_arm(text, around.catalogue, place)
        assert named is not None
        rung = _rung(named, around.catalogue, tier)
        most = served.most_effort
        if most is not None and rung.arm.effort is not None and is_higher(rung.arm.effort, most):
            fail(place, text, f"is above most_effort, {most}; leave the rung out, or allow more")
        effort = _works_at(rung, around)
        key = (rung.model.id, effort, rung.arm.thinking)
        if key in works_at:
            same = works_at[key]
            why = "stands there twice" if same == text else f"comes to the same as {same!r}"
            fail(
                place,
                text,
                f"{why}: {rung.model.id} at effort {effort or 'as the client sends it'}; name it once",
            )
        works_at[key] = text
        if rungs:
            _check_rises(rungs[-1], rung, text, around, place)
        rungs.append(rung)
    return rungs


def _rung(arm: Arm, catalogue: Catalogue, tier: TierName | None) -> _Rung:
    model = catalogue.find(arm.model)
    assert model is not None  # checked by `resolve_arm` and `resolve_tiers`
    return _Rung(msgspec.structs.replace(arm, model=model.id), model, tier)


def _works_at(rung: _Rung, around: Around) -> Effort | None:
    """The level that the rung's model works at when nobody else names one."""
    wanted = rung.arm.effort or rung.model.default_effort
    levels = rung.model.effort_levels
    return fitted(wanted, levels, around.effort.clamp) if wanted is not None and levels else wanted


def _check_rises(below: _Rung, rung: _Rung, text: str, around: Around, place: str) -> None:
    if below.model.id == rung.model.id:
        before, effort = _works_at(below, around), _works_at(rung, around)
        if before is not None and effort is not None and is_higher(before, effort):
            fail(
                place,
                text,
                f"is after {str(below.arm)!r}, which is more effort; a ladder goes up, change their order",
            )
        return
    was, now = _usual_cost(below.model, below.model, around), _usual_cost(rung.model, below.model, around)
    if now < was:
        fail(
            place,
            text,
            f"is after {str(below.arm)!r}, which is dearer: a usual turn comes to {about_dollars(now)} there against "
            f"{about_dollars(was)} by list price; a ladder begins with the cheapest, change their order",
        )


def _usual_cost(model: Model, counted_by: Model, around: Around) -> int:
    """What a usual turn costs by list price, counted in as many tokens as the model makes of it; nano-dollars."""
    row = around.catalogue.price_row(model, datetime.date.max)
    ratio = Decimal(str(token_ratio(counted_by.tokenizer, model.tokenizer, "english_docs")))
    parts = (
        (USUAL.input_tokens, row.input),
        (USUAL.cache_creation_input_tokens, row.cache_write_5m),
        (USUAL.cache_read_input_tokens, row.cache_read),
        (USUAL.output_tokens, row.output),
    )
    million = sum((tokens or 0) * rate for tokens, rate in parts)
    return int(million * ratio * NANO / 10**6)


def _derived(served: Served, around: Around, steps: int) -> list[_Rung]:
    """A ladder from the arm that serves a route: more effort of the same model first, then the escalation tier, which
    its steps reach."""
    tier: TierName | None = served.tier
    if served.arm is None and tier is None:
        tier = "default"
    arm = served.arm if tier is None else around.tiers.by_name(tier)
    assert arm is not None
    first = _rung(
        arm if served.effort is None else msgspec.structs.replace(arm, effort=served.effort),
        around.catalogue,
        tier,
    )
    above = _above(first, served, around)
    rungs = [first, *_more_effort(first, served, around)[: max(0, steps - (2 if above is not None else 1))]]
    return [*rungs, above] if above is not None and steps > 1 else rungs


def _above(first: _Rung, served: Served, around: Around) -> _Rung | None:
    """The escalation tier, where it is another model that is not cheaper. What the route says of effort is for where it
    begins: this rung works at no less than its model's own."""
    above = _rung(around.tiers.escalation, around.catalogue, "escalation")
    if above.model.id == first.model.id:
        return None
    if _usual_cost(above.model, first.model, around) < _usual_cost(first.model, first.model, around):
        return None
    levels, own = above.model.effort_levels, above.model.default_effort
    begins = served.effort or (around.scenarios[served.scenario].effort if served.scenario else None)
    if above.arm.effort is not None or own is None or begins is None:
        return above
    level = fitted(begins if is_higher(begins, own) else own, levels, around.effort.clamp)
    return msgspec.structs.replace(above, arm=msgspec.structs.replace(above.arm, effort=level))


def _more_effort(first: _Rung, served: Served, around: Around) -> list[_Rung]:
    """The same model with more effort: at `DERIVED_MOST`, and one level above it where that is where it begins."""
    begins = _begins_at(first, served, around)
    if begins is None:
        return []
    caps = [served.most_effort, around.effort.most]
    if first.tier is not None:
        caps.append(around.tiers.policies.get(first.tier, TierPolicy()).most_effort)
    found = []
    for level in first.model.effort_levels:
        more = is_higher(level, begins) and level != "max"
        enough = level == DERIVED_MOST or is_higher(level, DERIVED_MOST)
        if more and enough and not any(cap is not None and is_higher(level, cap) for cap in caps):
            found.append(msgspec.structs.replace(first, arm=msgspec.structs.replace(first.arm, effort=level)))
    return found


def _begins_at(first: _Rung, served: Served, around: Around) -> Effort | None:
    """The level that the first rung works at: its own, its scenario's, its tier's scenario's, else the model's."""
    if first.arm.effort is None:
        policy = (
            around.tiers.policies.get(first.tier, TierPolicy()) if first.tier is not None else TierPolicy()
        )
        for name in (served.scenario, policy.scenario):
            if name is not None and name in around.scenarios:
                levels = first.model.effort_levels
                return fitted(around.scenarios[name].effort, levels, around.effort.clamp) if levels else None
    return _works_at(first, around) if first.model.effort_levels else None
