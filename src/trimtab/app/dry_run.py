"""Which route, model, places and effort a request would get under a configuration, and why.

What it is not: a call, or a look at how places do now: of several the first is named, as configured. What a key permits
is not looked up either.
"""

from collections.abc import Iterable

from trimtab.app.choosing import open_router
from trimtab.app.platforms import open_providers, places_of
from trimtab.app.process import run_loop
from trimtab.app.settings import Settings
from trimtab.records import Caller, Surface
from trimtab.routing import VIRTUAL_PREFIX, Ask, Decision, Wanted


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
) -> Decision:
    """The decision for such a request; `effort` and `scenario` are those of its headers. Opens no connection.

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
        return router.decide(
            Ask(
                model=model,
                effort=body_effort,
                wanted_effort=effort,
                scenario=scenario,
                mode=settings.normaliser.tiers if names_tier else settings.normaliser.pinned,
                thinking=thinking,
                surface=surface,
                route=route,
            )
        )
    finally:
        run_loop(close())
