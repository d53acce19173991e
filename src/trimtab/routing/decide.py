"""The hard rules: a route, a tier by its virtual model, or a pinned model.

A route, where the configuration has one that takes the request, may say which tier or model that is; effort and
thinking are chosen by `effort`. Only a cap replaces what the client sent.

What the caller's key permits is part of the question: it never changes which arm a request gets, except what
`trimtab/auto` means; it refuses, or leaves out platform entries. `x-trimtab-platform` leaves out more of them, and
puts those that it names into its own order; it never brings in one that the key does not permit.
"""

import datetime
import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, Protocol

import msgspec

from trimtab.catalogue import EFFORTS, Arm, Catalogue, Effort, Model, NanoUSD, Tiers
from trimtab.catalogue.effort import EffortSettings, Scenario
from trimtab.catalogue.tiers import TIER_NAMES, TierPolicy
from trimtab.errors import NotFound, PermissionDenied, RequestError, shortened
from trimtab.records import Plan, Surface
from trimtab.routing.cascade import Ladder
from trimtab.routing.effort import Cap, Mode, Named, Sent, SetThinking, choose, least_cap
from trimtab.routing.place import Candidate, Place
from trimtab.routing.routes import AUTO, VIRTUAL_PREFIX, Route, Routes, Taken, Wanted
from trimtab.routing.rules import ANYWHERE, next_day, permitted

PATHS: Mapping[Surface, str] = {"messages": "/v1/messages", "chat": "/v1/chat/completions"}

DEFAULT_EFFORT = EffortSettings()
SAYS_NOTHING = TierPolicy()

KNOWN_MOST = 1024
"""Decisions that are kept, about 1 MB at the most; real traffic asks a few dozen different questions."""


class Ask(msgspec.Struct, frozen=True):
    """What a request says that a decision may depend on."""

    model: str
    effort: str | None = None
    """`output_config.effort` of the body, unchecked: the platform judges it."""
    wanted_effort: str | None = None
    """The `x-trimtab-effort` header."""
    null_effort: bool = False
    """The client wrote an effort of null: nobody names another, but a cap holds."""
    scenario: str | None = None
    """The `x-trimtab-scenario` header."""
    mode: Mode = "observe"
    """The normaliser's. In `strict` a level that the model lacks is refused, else it becomes another."""
    thinking: str | None = None
    """`thinking.type` of the body, `None` when it has none."""
    accepts_effort: bool = True
    """False where no answer is made (token counting)."""
    models: tuple[str, ...] | None = None
    """Catalogue ids that the caller may use, whether it names them or a tier means them; `None` is all."""
    tiers: tuple[str, ...] | None = None
    """Tiers that the caller may name; `None` is all."""
    platforms: tuple[str, ...] | None = None
    """Platform entries that the caller may use; `None` is all."""
    wanted_platforms: tuple[str, ...] | None = None
    """The `x-trimtab-platform` header: the only entries that may serve this request, the first one first."""
    surface: Surface = "messages"
    """Whose API the caller speaks; only platforms that speak it too are asked."""
    default_tier: str | None = None
    """What `trimtab/auto` means for this caller, where it is not the default tier."""
    route: Taken | None = None
    """The route that takes the request, as `TierRouter.taken` says."""
    task_scenario: str = ""
    """That of the request's task, which holds where the header is not there."""
    rung: Arm | None = None
    """The rung of a ladder that is asked for, in place of the model that the request or its route names; what it leaves
    open, and every rule of places, is as without it."""


class Decision(msgspec.Struct, frozen=True):
    """A plan, and what it does to the body."""

    plan: Plan
    """Names the first of the candidates; which one is called first may depend on how they do."""
    model: Model
    candidates: tuple[Candidate, ...]
    """The places that may serve it, in the operator's order or the caller's; at least one."""
    set_effort: Effort | None = None
    set_adaptive: bool = False
    in_order: bool = False
    """Whether the caller named the order of the candidates, so that no preference changes it."""
    replaces_effort: bool = False
    """`set_effort` takes the place of the client's."""
    said_effort: Effort | None = None
    """To be said otherwise, for the model has no levels."""
    most_effort: Effort | None = None
    """The cap, where there is one; it bounds a thinking budget, too."""
    set_thinking: SetThinking | None = None
    """Where it is more than `set_adaptive`."""
    scenario: str = ""
    """The kind of work: that of the header, the task, the route or the tier."""
    rewrites: bool = False
    """Whether the body must be read to carry it out, in whatever mode."""
    ladder: Ladder | None = None
    """The rungs of its route, where it has several."""
    verify: tuple[str, ...] = ()
    """The checks of its route, by name."""
    verify_when: Literal["before", "after"] = "before"
    """Whether they judge an answer before it goes out, or for the record."""


class Costs(Protocol):
    """What requests cost before."""

    changes: int
    """Another number whenever the figures are others."""

    def cost(self, model: str, effort: str | None, task_class: str, simulated: bool) -> NanoUSD | None:
        """The mean of such requests, real or simulated; `None` where nothing is known. Never waits."""
        ...


class TierRouter:
    """Decides by tier or pinned model. A new configuration makes a new router, so the same question has the same
    answer, and the last answers are kept."""

    def __init__(
        self,
        catalogue: Catalogue,
        tiers: Tiers,
        places: tuple[Place, ...],
        data_regions: tuple[str, ...] | None = None,
        today: Callable[[], datetime.date] = lambda: datetime.date.max,
        *,
        effort: EffortSettings = DEFAULT_EFFORT,
        scenarios: Mapping[str, Scenario] | None = None,
        routes: tuple[Route, ...] = (),
        costs: Costs | None = None,
    ) -> None:
        """`data_regions`: the only ones that data may go to. `today` is the day in UTC; without it every place counts
        as online. `scenarios`: those of the catalogue, unless others are given. Without `costs` a plan expects none."""
        self._known: dict[Ask, Decision] = {}
        self._catalogue = catalogue
        self._tiers = tiers
        self._places = places
        self._data_regions = data_regions
        self._today = today
        self._effort = effort
        self._scenarios = catalogue.scenarios if scenarios is None else scenarios
        self._routes = Routes(routes, catalogue)
        self._costs = costs
        self._costs_as_of = 0
        self.has_routes = bool(routes)
        """Whether `taken` needs to be asked."""
        self._next_day = next_day(places, today())
        """When a place comes online next, and decisions change."""
        self.virtual_models = (
            tuple(VIRTUAL_PREFIX + name for name in (AUTO, *TIER_NAMES)) + self._routes.virtual_models
        )

    def taken(self, wanted: Wanted) -> Taken | None:
        """The route that takes a request, for its `Ask`. Pure."""
        return self._routes.of(wanted)

    def decide(self, ask: Ask) -> Decision:
        """The plan for a request.

        Raises `NotFound` (model), `PermissionDenied` (the caller's key) or `RequestError` (effort, platform header).
        """
        if self._next_day is not None and self._today() >= self._next_day:
            self._known.clear()
            self._next_day = next_day(self._places, self._today())
        if self._costs is not None and self._costs.changes != self._costs_as_of:
            self._known.clear()
            self._costs_as_of = self._costs.changes
        known = self._known.get(ask)
        if known is None:
            known = self._decide(ask)
            if len(self._known) >= KNOWN_MOST:
                self._known.clear()
            self._known[ask] = known
        return known

    def _decide(self, ask: Ask) -> Decision:
        tier, arm, reason = self._arm(ask)
        route = self._routes[ask.route.name] if ask.route is not None else None
        ladder = route.ladder if route is not None and ask.route is not None and ask.route.climbs else None
        if ask.rung is not None:
            tier = self._tier_of(ask, ladder, tier)
            reason = f"{reason}; {_named_rung(ask.rung, ladder)}"
            arm = _on_rung(ask.rung, arm)
        model = self._catalogue.find(arm.model)
        if model is None:
            raise self._unknown(arm.model)
        if ask.models is not None and model.id not in ask.models:
            meant = f"tier {tier} is {model.id!r}" if tier is not None else repr(model.id)
            raise PermissionDenied(
                f"model: {meant}, which this key may not use; it may use {_all(ask.models)}"
            )
        reasons = [reason]
        candidates = self._permitted(ask, model, arm.model, tier, reasons)
        scenario, named, cap = self._effort_of(ask, tier, arm)
        if scenario and scenario not in self._scenarios:
            reasons.append(f"scenario {scenario} of the task names no effort: it is not configured")
        chosen = choose(
            Sent(ask.surface, ask.mode, ask.effort, ask.null_effort, ask.accepts_effort, ask.thinking),
            model,
            named,
            cap,
            self._effort,
        )
        effort = chosen.effort or chosen.said or (ask.effort if ask.effort in EFFORTS else None)
        adaptive = chosen.thinking in ("adaptive", "summarized") or ask.thinking == "adaptive"
        plan = Plan(
            arm=Arm(model.id, effort, "adaptive" if adaptive else None),
            platform=candidates[0].place.name,
            tier=tier,
            reasons=(*reasons, *chosen.reasons),
            expected_cost_nanousd=self._costs.cost(model.id, effort, scenario, candidates[0].place.simulated)
            if self._costs is not None and ask.accepts_effort
            else None,
            route=ask.route.name if ask.route is not None else "",
            changes=chosen.changes,
        )
        plain = chosen.thinking is None or chosen.thinking == "adaptive"
        return Decision(
            plan,
            model,
            candidates,
            set_effort=chosen.effort,
            set_adaptive=chosen.thinking == "adaptive",
            in_order=ask.wanted_platforms is not None,
            replaces_effort=chosen.replaces,
            said_effort=chosen.said,
            most_effort=cap.effort if cap is not None else None,
            set_thinking=None if plain else chosen.thinking,
            scenario=scenario,
            ladder=ladder,
            verify=route.verify if route is not None else (),
            verify_when=route.verify_when if route is not None else "before",
            rewrites=chosen.replaces
            or chosen.said is not None
            or not plain
            or (cap is not None and ask.thinking == "enabled"),
        )

    def _permitted(
        self, ask: Ask, model: Model, written: str, tier: str | None, reasons: list[str]
    ) -> tuple[Candidate, ...]:
        """The places that may serve it, the first one first; adds to the reasons. Raises `RequestError`."""
        left = permitted(
            self._candidates(model, written, ask),
            model.id,
            ANYWHERE if tier is None else self._tiers.places.get(tier, ANYWHERE),
            self._data_regions,
            self._today(),
            keep_order=ask.wanted_platforms is not None,
        )
        if left.left_out is not None:
            reasons.append(left.left_out)
        if ask.wanted_platforms is not None:
            only = "one of platforms" if len(ask.wanted_platforms) > 1 else "platform"
            reasons.append(f"{only} {_all(ask.wanted_platforms)}, from the x-trimtab-platform header")
        return left.candidates

    def _first_rung(self, ask: Ask) -> Arm | None:
        """That of the ladder along which a request may go; where it begins is decided later, and may be higher."""
        route = self._routes[ask.route.name] if ask.route is not None and ask.route.climbs else None
        return None if route is None or route.ladder is None else route.ladder.rungs[0]

    def _tier_of(self, ask: Ask, ladder: Ladder | None, tier: str | None) -> str | None:
        """The tier whose rules of places and efforts hold for a rung: the one that it is, else that of the request.
        Raises `PermissionDenied` where the caller may not name it."""
        if ladder is None or ask.rung not in ladder.rungs or not ladder.tiers:
            return tier
        of_rung = ladder.tiers[ladder.rungs.index(ask.rung)]
        if of_rung is None:
            return tier
        self._tier(of_rung, ask)
        return of_rung

    def _effort_of(self, ask: Ask, tier: str | None, arm: Arm) -> tuple[str, tuple[Named, ...], Cap | None]:
        """The scenario, who names efforts and thinking in the order in which they win, and the cap.

        Raises `RequestError` for headers that say nothing known.
        """
        named: list[Named] = []
        if (wanted := ask.wanted_effort) is not None:
            level = next((known for known in EFFORTS if known == wanted), None)
            if level is None:
                raise RequestError(
                    f"x-trimtab-effort: {shortened(wanted, 80)!r} is no effort; it is one of {', '.join(EFFORTS)}"
                )
            named.append(Named("the x-trimtab-effort header", level, key="x-trimtab-effort"))
        rung = ask.rung or self._first_rung(ask)
        if rung is not None and (rung.effort is not None or rung.thinking is not None):
            named.append(Named(f"rung {rung}", rung.effort, rung.thinking or "as_sent"))
        scenario = ask.scenario or ""
        if ask.scenario is not None:
            found = self._scenarios.get(ask.scenario)
            if found is None:
                raise RequestError(
                    f"x-trimtab-scenario: {shortened(ask.scenario, 80)!r} is no scenario here; there are "
                    f"{_all(tuple(self._scenarios))}"
                )
            who = f"scenario {ask.scenario} of the x-trimtab-scenario header"
            named.append(Named(who, found.effort, found.thinking, "x-trimtab-scenario"))
        elif ask.task_scenario:
            scenario = ask.task_scenario
            if scenario in self._scenarios:
                named.append(self._of_scenario(scenario, "the task"))
        caps = [Cap(self._effort.most, "effort.most") if self._effort.most is not None else None]
        route = self._routes[ask.route.name] if ask.route is not None else None
        if route is not None:
            who = f"route {route.name}"
            named.append(Named(who, route.effort, route.thinking))
            if not scenario and route.scenario is not None:
                scenario = route.scenario
                named.append(self._of_scenario(scenario, who))
            caps.append(Cap(route.most_effort, who) if route.most_effort is not None else None)
        if tier is not None:
            who = f"tier {tier}"
            policy = self._tiers.policies.get(tier, SAYS_NOTHING)
            thinking = policy.thinking
            if thinking == "as_sent" and arm.thinking is not None:
                thinking = "adaptive"
            named.append(Named(who, arm.effort, thinking))
            if not scenario and policy.scenario is not None:
                scenario = policy.scenario
                named.append(self._of_scenario(scenario, who))
            caps.append(Cap(policy.most_effort, who) if policy.most_effort is not None else None)
        return scenario, tuple(named), least_cap(caps)

    def _of_scenario(self, name: str, who: str) -> Named:
        found = self._scenarios[name]
        return Named(f"scenario {name} of {who}", found.effort, found.thinking)

    def _arm(self, ask: Ask) -> tuple[str | None, Arm, str]:
        name = ask.model
        route = self._routes[ask.route.name] if ask.route is not None else None
        if route is not None and ask.route is not None and ask.route.moves:
            if route.arm is not None:
                return None, route.arm, f"route {route.name} serves this request by {route.arm.model}"
            if route.names_ladder and route.ladder is not None:
                tier, arm = route.ladder.tiers[0], route.ladder.rungs[0]
                if tier is not None:
                    self._tier(tier, ask)
                return tier, arm, f"route {route.name} serves this request by its ladder, from {arm} on"
            assert route.tier is not None
            reason = f"route {route.name} serves this request by tier {route.tier}"
            return route.tier, self._tier(route.tier, ask), reason
        if not name.startswith(VIRTUAL_PREFIX):
            return None, Arm(name), "the request pins this model" + _beside(route)
        tier = name[len(VIRTUAL_PREFIX) :]
        if tier == AUTO or (route is not None and name == route.virtual_model):
            tier = ask.default_tier or "default"
            reason = f"{name} is the default tier" + (f" of this key, {tier}" if ask.default_tier else "")
        else:
            reason = f"the request names tier {tier}"
        return tier, self._tier(tier, ask), reason + _beside(route)

    def _tier(self, tier: str, ask: Ask) -> Arm:
        arm = self._tiers.by_name(tier)
        if arm is None:
            raise self._unknown(VIRTUAL_PREFIX + tier)
        if ask.tiers is not None and tier not in ask.tiers:
            raise PermissionDenied(
                f"model: {ask.model!r} is tier {tier}, which this key may not name; it may name {_all(ask.tiers)}"
            )
        return arm

    def _usable(self, ask: Ask) -> list[Place]:
        """The places that the caller may use for this request, the preferred ones first."""
        permitted, wanted = ask.platforms, ask.wanted_platforms
        allowed = [place for place in self._places if permitted is None or place.name in permitted]
        if wanted is None:
            return allowed
        for name in wanted:
            if all(place.name != name for place in allowed):
                shown, names = f"x-trimtab-platform: {shortened(name, 80)!r}", _names(allowed)
                if any(place.name == name for place in self._places):
                    raise PermissionDenied(
                        f"{shown}: this key may not use this platform; it may use {_all(names)}"
                    )
                raise RequestError(f"{shown} is not a configured platform; there are {_all(names)}")
        return [place for name in wanted for place in allowed if place.name == name]

    def _candidates(self, model: Model, written: str, ask: Ask) -> tuple[Candidate, ...]:
        permitted, surface = ask.platforms, ask.surface
        allowed = self._usable(ask)
        found = tuple(
            # An alias that the client wrote is the platform's own name too: leave its bytes alone.
            Candidate(place, written if platform_id == model.id else platform_id)
            for place in allowed
            if _speaks(place) == surface and (platform_id := place.ids.get(model.id)) is not None
        )
        if found:
            return found
        other = next((place.name for place in allowed if model.id in place.ids), None)
        if other is not None:
            raise NotFound(
                f"model: {model.id!r} is served by platform {other!r}, which speaks another API; requests are not "
                f"translated, so POST it to {PATHS['messages' if surface == 'chat' else 'chat']}"
            )
        if ask.wanted_platforms is not None:
            serving = _names(
                place
                for place in self._usable(msgspec.structs.replace(ask, wanted_platforms=None))
                if model.id in place.ids and _speaks(place) == surface
            )
            raise NotFound(
                f"x-trimtab-platform: {model.id!r} is not served by {_all(ask.wanted_platforms)}; "
                f"platforms that serve it: {_all(serving)}"
            )
        if permitted is not None:
            raise PermissionDenied(
                f"model: {model.id!r} is served by no platform that this key may use ({_all(permitted)})"
            )
        served = ", ".join(_names(allowed))
        raise NotFound(f"model: {model.id!r} is not served by any configured platform ({served})")

    def _unknown(self, name: str) -> NotFound:
        shown = shortened(name, 80)
        plain, at, _ = name.partition("@")
        if at and (plain.startswith(VIRTUAL_PREFIX) or self._catalogue.find(plain) is not None):
            hint = "effort goes in output_config.effort or the x-trimtab-effort header"
        elif VIRTUAL_PREFIX + name in self.virtual_models:
            hint = f"did you mean {VIRTUAL_PREFIX + name!r}?"
        elif name.strip("/") == VIRTUAL_PREFIX.strip("/"):
            hint = f"did you mean {VIRTUAL_PREFIX + AUTO!r}?"
        else:
            known = [*self.virtual_models, *(model.id for model in self._catalogue.models)]
            close = difflib.get_close_matches(name[:80], known, n=1, cutoff=0.75)
            hint = f"did you mean {close[0]!r}?" if close else "GET /v1/models lists what is served"
        return NotFound(f"model: {shown!r} is not known here; {hint}")


def _named_rung(rung: Arm, ladder: Ladder | None) -> str:
    """What is called, in words: the control tier stands on few ladders."""
    if ladder is not None and all(rung.model != one.model for one in ladder.rungs):
        return f"this is {rung}, which is not on it"
    return f"this is its rung {rung}"


def _on_rung(rung: Arm, arm: Arm) -> Arm:
    """The rung, with what it leaves open as the arm has it that it takes the place of."""
    if rung.model != arm.model:
        return rung
    return Arm(rung.model, rung.effort or arm.effort, rung.thinking or arm.thinking)


def _beside(route: Route | None) -> str:
    return f"; route {route.name} holds for it" if route is not None else ""


def _speaks(place: Place) -> Surface:
    return "chat" if place.platform == "openai" else "messages"


def _names(places: Iterable[Place]) -> tuple[str, ...]:
    """Of entries, each once: the keys of a pool are places of their own."""
    return tuple(dict.fromkeys(place.name for place in places))


def _all(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
