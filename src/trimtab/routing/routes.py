"""Routes: named rules of which requests they take, and what they do with them.

What it is not: the decision (`decide`), or the rungs of a route's ladder (`ladders`, `cascade`). Pure.
Invariants: the first route of the configuration that takes a request is its route; a request that pins a model keeps
it unless its route names that model among those it takes.
"""

from collections.abc import Callable, Mapping

import msgspec

from trimtab.catalogue import Arm, Catalogue, Effort, Tiers
from trimtab.catalogue.effort import MAX_NAME, EffortSettings, Scenario, ThinkingPolicy, is_plain_name
from trimtab.catalogue.tiers import TIER_NAMES, TierName, check_scenario, resolve_arm
from trimtab.config import fail
from trimtab.errors import ConfigError
from trimtab.records import Caller, Surface
from trimtab.routing.cascade import Ladder
from trimtab.routing.ladders import Around, LadderSettings, Served, VerifyWhen, resolve_ladder

VIRTUAL_PREFIX = "trimtab/"
AUTO = "auto"
ANY = "*"
DEFAULT_EFFORT = EffortSettings()


class RouteMatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request must have, all of it; of each list one. What is left out is not asked."""

    models: tuple[str, ...] | None = None
    """As requests name them: ids, aliases, `trimtab/...`, or a beginning with `*`. A request for one of them is served
    by the route's tier or model, be it pinned."""
    keys: tuple[str, ...] | None = None
    """Ids of keys."""
    teams: tuple[str, ...] | None = None
    users: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    """Of `x-trimtab-tags`."""
    surfaces: tuple[Surface, ...] | None = None


class RouteSettings(LadderSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One `[routes.NAME]`."""

    match: RouteMatch | None = None
    """`None`: only requests for the model `trimtab/NAME`."""
    tier: TierName | None = None
    model: str | None = None
    """An arm, as `model@effort+adaptive`."""
    effort: Effort | None = None
    most_effort: Effort | None = None
    scenario: str | None = None
    thinking: ThinkingPolicy = "as_sent"


class Route(msgspec.Struct, frozen=True):
    """One route, checked. The one named `auto` takes requests for `trimtab/auto` at its place among the others."""

    name: str
    match: RouteMatch | None = None
    tier: TierName | None = None
    arm: Arm | None = None
    effort: Effort | None = None
    """That of its arm, where it names none itself."""
    most_effort: Effort | None = None
    scenario: str | None = None
    thinking: ThinkingPolicy = "as_sent"
    ladder: Ladder | None = None
    """Its own, or the one that follows from what it verifies."""
    verify: tuple[str, ...] = ()
    verify_when: VerifyWhen = "before"
    names_ladder: bool = False
    """Whether the ladder is its own, so that it says which model serves."""

    @property
    def virtual_model(self) -> str:
        """By which a request names it."""
        return VIRTUAL_PREFIX + self.name

    def moves(self, written: str, known: str | None) -> bool:
        """Whether a request for this model is served by the route's: where it names the route or says no more than
        `trimtab/auto`, or where the route names the model among those that it takes."""
        if self.tier is None and self.arm is None and not self.names_ladder:
            return False
        return written in (self.virtual_model, VIRTUAL_PREFIX + AUTO) or self.takes_model(written, known)

    def climbs(self, written: str, known: str | None) -> bool:
        """Whether a request for this model may go on along the route's ladder: one that pins a model may not."""
        return self.ladder is not None and (
            self.moves(written, known) or written in (self.virtual_model, VIRTUAL_PREFIX + AUTO)
        )

    def takes_model(self, written: str, known: str | None) -> bool:
        """Whether it says that it takes this model: as the request writes it, or by its id in the catalogue."""
        if written == self.virtual_model:
            return True
        models = self.match.models if self.match is not None else None
        return models is not None and any(
            pattern in (written, known) or (pattern.endswith(ANY) and written.startswith(pattern[:-1]))
            for pattern in models
        )


class Taken(msgspec.Struct, frozen=True):
    """Which route takes a request."""

    name: str
    moves: bool
    """Whether the route says which model serves it."""
    climbs: bool = False
    """Whether it may go on along the route's ladder."""


class Wanted(msgspec.Struct, frozen=True):
    """What of a request a route may go by."""

    model: str
    surface: Surface
    caller: Caller
    tags: tuple[str, ...]


class Routes:
    """All routes of one configuration, in its order."""

    def __init__(self, routes: tuple[Route, ...], catalogue: Catalogue) -> None:
        self._routes = routes
        self._catalogue = catalogue
        self._by_name = {route.name: route for route in routes}

    def __len__(self) -> int:
        return len(self._routes)

    def __getitem__(self, name: str) -> Route:
        return self._by_name[name]

    @property
    def virtual_models(self) -> tuple[str, ...]:
        """Names by which requests can ask for a route."""
        return tuple(route.virtual_model for route in self._routes if route.name != AUTO)

    def of(self, wanted: Wanted) -> Taken | None:
        """The route that takes this request; `None` where none does. A request that names a route gets that one.

        Cost: 0.5 us, and 0.1 us a route that is asked.
        """
        written = wanted.model
        model = self._catalogue.find(written)
        known = None if model is None else model.id
        name = written.removeprefix(VIRTUAL_PREFIX)
        if name in self._by_name and name != AUTO and written.startswith(VIRTUAL_PREFIX):
            found: Route | None = self._by_name[name]
        else:
            found = next((route for route in self._routes if _takes(route, wanted, known)), None)
        if found is None:
            return None
        return Taken(found.name, found.moves(written, known), found.climbs(written, known))


def _takes(route: Route, wanted: Wanted, known: str | None) -> bool:
    match = route.match
    if match is None:
        return route.name == AUTO and wanted.model == route.virtual_model
    caller = wanted.caller
    any_model = match.models is None and route.name != AUTO
    return (
        (any_model or route.takes_model(wanted.model, known))
        and (match.keys is None or caller.key in match.keys)
        and (match.teams is None or caller.team in match.teams)
        and (match.users is None or caller.user in match.users)
        and (match.surfaces is None or wanted.surface in match.surfaces)
        and (match.tags is None or any(tag in match.tags for tag in wanted.tags))
    )


def resolve_routes(
    settings: Mapping[str, RouteSettings],
    catalogue: Catalogue,
    scenarios: Mapping[str, Scenario],
    where: Callable[[str], str],
    *,
    tiers: Tiers,
    effort: EffortSettings = DEFAULT_EFFORT,
) -> tuple[Route, ...]:
    """The routes of a configuration, checked. `where("routes.batch")` is how an error names a place. Which verifiers
    there are is for whoever has them to check.

    Raises `ConfigError`.
    """
    virtual = {VIRTUAL_PREFIX + name for name in (AUTO, *TIER_NAMES, *settings)}
    for name, one in settings.items():
        for model in (one.match.models or ()) if one.match is not None else ():
            if model.startswith(VIRTUAL_PREFIX) and not model.endswith(ANY) and model not in virtual:
                fail(
                    where(f"routes.{name}.match.models"),
                    model,
                    f"no such model; there are {', '.join(sorted(virtual))}",
                )
    around = Around(catalogue=catalogue, tiers=tiers, effort=effort, scenarios=scenarios)
    return tuple(_resolved(name, one, around, where) for name, one in settings.items())


def _resolved(name: str, one: RouteSettings, around: Around, where: Callable[[str], str]) -> Route:
    catalogue, place = around.catalogue, where(f"routes.{name}")
    if not is_plain_name(name):
        fail(
            where("routes"),
            name,
            f"a name has 1 to {MAX_NAME} of a-z, 0-9, '-' and '_', and begins with none of the last two",
        )
    if name in TIER_NAMES:
        fail(where("routes"), name, f"{VIRTUAL_PREFIX}{name} is a tier; give the route another name")
    if one.tier is not None and one.model is not None:
        raise ConfigError(
            f"{place}.model", "stands beside tier, and a route goes to one of them; leave one out"
        )
    check_scenario(one.scenario, around.scenarios, f"{place}.scenario")
    if one.match is not None:
        for key in RouteMatch.__struct_fields__:
            values: tuple[str, ...] | None = getattr(one.match, key)
            if values is not None and (not values or "" in values):
                raise ConfigError(
                    f"{place}.match.{key}",
                    "holds nothing, or an empty name, which no request has; leave it out",
                )
    arm = resolve_arm(one.model, catalogue, f"{place}.model") if one.model is not None else None
    thinking: ThinkingPolicy = one.thinking
    if thinking == "as_sent" and arm is not None and arm.thinking is not None:
        thinking = "adaptive"
    effort = one.effort or (arm.effort if arm is not None else None)
    match = one.match
    if match is not None and match.models is not None:
        ids = (model.id for text in match.models if (model := catalogue.find(text)) is not None)
        match = msgspec.structs.replace(match, models=tuple(dict.fromkeys((*match.models, *ids))))
    served = Served(
        tier=one.tier, arm=arm, effort=one.effort, most_effort=one.most_effort, scenario=one.scenario
    )
    return Route(
        name,
        match,
        one.tier,
        arm,
        effort,
        one.most_effort,
        one.scenario,
        thinking,
        ladder=resolve_ladder(one, served, around, lambda key: f"{place}.{key}"),
        verify=one.verify or (),
        verify_when=one.verify_when or "before",
        names_ladder=one.ladder is not None,
    )
