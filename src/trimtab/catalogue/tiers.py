"""Tiers: the roles that configuration binds to arms, checked against the catalogue.

What it is not: routing. A tier only says which arm a role means.
Invariant: every arm of a resolved `Tiers` names a known model, and thinking only where the model can think.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from trimtab.catalogue.arm import Arm, Effort
from trimtab.catalogue.catalogue import Catalogue
from trimtab.catalogue.effort import Scenario, ThinkingPolicy
from trimtab.config import fail
from trimtab.errors import ConfigError, quoted

TierName = Literal["default", "escalation", "control", "fast"]

TIER_NAMES: tuple[TierName, ...] = ("default", "escalation", "control", "fast")


class TierBinding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tier with the places that may serve it, as `{ arm = "...", platforms = ["..."] }`."""

    arm: str
    platforms: tuple[str, ...] | None = None
    """Platform entries, the first one first; `None`: all that serve the model, as configured."""
    data_regions: tuple[str, ...] | None = None
    """Only entries that declare one of these; `None`: any."""
    scenario: str | None = None
    """The kind of work that the tier is for; its effort and thinking hold where the arm names none."""
    most_effort: Effort | None = None
    thinking: ThinkingPolicy = "as_sent"


class TierSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section `[tiers]` of the configuration: a lineup, and bindings that stand above it."""

    lineup: Literal["classic", "current"] = "classic"
    default: str | TierBinding | None = None
    escalation: str | TierBinding | None = None
    control: str | TierBinding | None = None
    fast: str | TierBinding | None = None


class TierPlaces(msgspec.Struct, frozen=True):
    """Where requests to a tier may go, as configured."""

    platforms: tuple[str, ...] | None = None
    data_regions: tuple[str, ...] | None = None


class TierPolicy(msgspec.Struct, frozen=True):
    """What a tier says of effort and thinking beside its arm."""

    scenario: str | None = None
    most_effort: Effort | None = None
    thinking: ThinkingPolicy = "as_sent"


class Tiers(msgspec.Struct, frozen=True):
    """Roles bound to arms."""

    default: Arm
    escalation: Arm
    control: Arm
    """The baseline that the others are compared with."""
    fast: Arm
    """For sub-agents and bulk work."""
    places: dict[str, TierPlaces] = {}
    """By the name of the tier, of those that are bound to some places only."""
    policies: dict[str, TierPolicy] = {}
    """By the name of the tier, of those that say more of effort and thinking than their arms."""

    def by_name(self, name: str) -> Arm | None:
        """The arm of a tier; `None` when there is no such tier."""
        arm: Arm | None = getattr(self, name) if name in TIER_NAMES else None
        return arm

    def items(self) -> tuple[tuple[TierName, Arm], ...]:
        """Tiers with their arms, in the order in which people list them."""
        return tuple((name, getattr(self, name)) for name in TIER_NAMES)


def resolve_tiers(settings: TierSettings, catalogue: Catalogue, where: Callable[[str], str]) -> Tiers:
    """Bind every tier. `where("tiers.escalation")` is how an error names the key. Raises `ConfigError`.

    A retired model is allowed (another platform may still serve it); `lifecycle_notes` tells of it. An effort may be
    one that the model lacks: it is then another, or said otherwise.
    """
    lineup = catalogue.lineups[settings.lineup]
    arms: dict[TierName, Arm] = {}
    places: dict[str, TierPlaces] = {}
    policies: dict[str, TierPolicy] = {}
    for name in TIER_NAMES:
        bound: str | TierBinding | None = getattr(settings, name)
        place = where(f"tiers.{name}")
        if isinstance(bound, TierBinding):
            place += ".arm"
            places[name] = _places(bound, where, name)
            policy = TierPolicy(bound.scenario, bound.most_effort, bound.thinking)
            if policy != TierPolicy():
                policies[name] = policy
            bound = bound.arm
        if bound == "":
            raise ConfigError(place, "'': must name a model; leave the key out to keep the lineup's")
        arms[name] = resolve_arm(bound or getattr(lineup, name), catalogue, place)
    return Tiers(**arms, places=places, policies=policies)


def check_scenario(name: str | None, scenarios: Mapping[str, Scenario], where: str) -> None:
    """Raises `ConfigError` for a scenario that there is not."""
    if name is not None and name not in scenarios:
        fail(where, name, f"no such scenario; there are {', '.join(scenarios)}")


def _places(bound: TierBinding, where: Callable[[str], str], tier: TierName) -> TierPlaces:
    for key in ("platforms", "data_regions"):
        names: tuple[str, ...] | None = getattr(bound, key)
        place = where(f"tiers.{tier}.{key}")
        if names is not None and not names:
            raise ConfigError(
                place, "is empty, which leaves no platform at all; name one, or leave the key out"
            )
        if names is not None and len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ConfigError(place, f"{quoted(twice)} stands there twice; name it once")
    return TierPlaces(bound.platforms, bound.data_regions)


def resolve_arm(text: str, catalogue: Catalogue, where: str) -> Arm:
    """An arm that the catalogue can serve. Raises `ConfigError` at `where`."""
    try:
        arm = Arm.parse(text)
    except ValueError as problem:
        raise ConfigError(where, f"{quoted(text)}: {problem}") from None
    model = catalogue.find(arm.model)
    if model is None:
        close = catalogue.suggest(arm.model)
        hint = f"; did you mean {close!r}?" if close else "; `trimtab models` lists those there are"
        raise ConfigError(where, f"{quoted(text)}: no such model in the catalogue{hint}")
    if arm.thinking is not None and not model.thinking.supported:
        raise ConfigError(where, f"{quoted(text)}: {model.id} does not think; leave '+adaptive' out")
    return arm
