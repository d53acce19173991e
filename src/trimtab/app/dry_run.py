"""Which route, model, places and effort a request would get under a configuration, and why.

What it is not: a call, or a look at how places do now: of several the first is named, as configured. What a key permits
is not looked up either, nor what was measured of a ladder's rungs: list prices hold, and nothing was judged.
"""

from collections.abc import Iterable

import msgspec

from trimtab.app.choosing import open_router
from trimtab.app.live import today
from trimtab.app.platforms import open_providers, places_of
from trimtab.app.process import run_loop
from trimtab.app.settings import Settings
from trimtab.catalogue import EFFORTS
from trimtab.records import Caller, Surface
from trimtab.routing import VIRTUAL_PREFIX, Ask, Decision, Wanted
from trimtab.routing.cascade import Beginning, Facts, Knowing, begin

NOT_THE_BASELINE = 1.0
"""Drawn for conversations that no control tier answers."""


class Foreseen(msgspec.Struct, frozen=True):
    """What would become of a request."""

    decision: Decision
    """Of the rung on which it would begin, where it has a ladder."""
    beginning: Beginning | None = None


def decided(
    settings: Settings,
    model: str,
    *,
    surface: Surface = "messages",
    caller: Caller,
    tags: Iterable[str] = (),
    effort: str | None = None,
    scenario: str | None = None,
    body_effort: str | None = None,
    thinking: str | None = None,
    asks: Facts | None = None,
) -> Foreseen:
    """The decision for such a request; `effort` and `scenario` are those of its headers, `asks` what a ladder's rules
    go by besides. Opens no connection.

    Raises `ConfigError`, and what the request would be refused with.
    """
    providers = open_providers(settings)

    async def close() -> None:
        for provider in providers.values():
            await provider.aclose()

    try:
        router = open_router(settings, places_of(settings, providers))
        wanted = Wanted(model, surface, caller, tuple(tags))
        route = router.taken(wanted) if router.has_routes else None
        names_tier = model.startswith(VIRTUAL_PREFIX) or (route is not None and route.moves)
        ask = Ask(
            model=model,
            effort=body_effort,
            wanted_effort=effort,
            scenario=scenario,
            mode=settings.normaliser.tiers if names_tier else settings.normaliser.pinned,
            thinking=thinking,
            surface=surface,
            route=route,
        )
        decision = router.decide(ask)
        if decision.ladder is None:
            return Foreseen(decision)
        beginning = _begins(settings, decision, body_effort or effort, asks or Facts())
        return Foreseen(router.decide(msgspec.structs.replace(ask, rung=beginning.rungs[0])), beginning)
    finally:
        run_loop(close())


def _begins(settings: Settings, decision: Decision, effort: str | None, asks: Facts) -> Beginning:
    """Where it begins on its ladder, by list prices."""
    ladder, simulated = decision.ladder, decision.candidates[0].place.simulated
    assert ladder is not None
    facts = msgspec.structs.replace(
        asks,
        effort=next((level for level in EFFORTS if level == effort), None),
        other_effort=None if ladder.rungs[0].effort else decision.plan.arm.effort,
        thinking=None if ladder.rungs[0].thinking else decision.plan.arm.thinking,
        judged=bool(decision.verify) and decision.verify_when == "before",
        task_class=decision.scenario,
    )
    known = Knowing(settings.catalogue, today).of(
        ladder, facts, route=decision.plan.route, simulated=simulated
    )
    return begin(ladder, facts, known, NOT_THE_BASELINE, settings.escalation)
