"""Tiers: the roles that configuration binds to arms, checked against the catalogue.

What it is not: routing. A tier only says which arm a role means.
Invariant: every arm of a resolved `Tiers` names a known model and an effort that the model takes.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from trimtab.catalogue.arm import Arm
from trimtab.catalogue.catalogue import Catalogue
from trimtab.errors import ConfigError

TierName = Literal["default", "escalation", "control", "fast"]

TIER_NAMES: tuple[TierName, ...] = ("default", "escalation", "control", "fast")


class TierSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section `[tiers]` of the configuration: a lineup, and bindings that stand above it."""

    lineup: Literal["classic", "current"] = "classic"
    default: str | None = None
    escalation: str | None = None
    control: str | None = None
    fast: str | None = None


class Tiers(msgspec.Struct, frozen=True):
    """Roles bound to arms."""

    default: Arm
    escalation: Arm
    control: Arm
    """The baseline that the others are compared with."""
    fast: Arm
    """For sub-agents and bulk work."""

    def by_name(self, name: str) -> Arm | None:
        """The arm of a tier; `None` when there is no such tier."""
        arm: Arm | None = getattr(self, name) if name in TIER_NAMES else None
        return arm

    def items(self) -> tuple[tuple[TierName, Arm], ...]:
        """Tiers with their arms, in the order in which people list them."""
        return tuple((name, getattr(self, name)) for name in TIER_NAMES)


def resolve_tiers(settings: TierSettings, catalogue: Catalogue, where: Callable[[str], str]) -> Tiers:
    """Bind every tier. `where("tiers.escalation")` is how an error names the key. Raises `ConfigError`.

    A retired model is allowed (another platform may still serve it); `lifecycle_notes` tells of it.
    """
    lineup = catalogue.lineups[settings.lineup]
    return Tiers(
        **{
            name: resolve_arm(
                getattr(settings, name) or getattr(lineup, name), catalogue, where(f"tiers.{name}")
            )
            if getattr(settings, name) != ""
            else _fail(
                where(f"tiers.{name}"), "", "must name a model; leave the key out to keep the lineup's"
            )
            for name in TIER_NAMES
        }
    )


def resolve_arm(text: str, catalogue: Catalogue, where: str) -> Arm:
    """An arm that the catalogue can serve. Raises `ConfigError` at `where`."""
    try:
        arm = Arm.parse(text)
    except ValueError as problem:
        raise ConfigError(where, f"{text!r}: {problem}") from None
    model = catalogue.find(arm.model)
    if model is None:
        close = catalogue.suggest(arm.model)
        hint = f"; did you mean {close!r}?" if close else "; `trimtab models` lists those there are"
        raise ConfigError(where, f"{text!r}: no such model in the catalogue{hint}")
    if arm.effort is not None and not model.accepts_effort(arm.effort):
        levels = ", ".join(model.effort_levels)
        accepted = f"accepts effort {levels}" if levels else "accepts no effort; leave it out"
        raise ConfigError(where, f"{text!r}: {model.id} {accepted}")
    if arm.thinking is not None and not model.thinking.adaptive:
        raise ConfigError(where, f"{text!r}: {model.id} has no adaptive thinking; leave '+adaptive' out")
    return arm


def _fail(where: str, value: str, problem: str) -> Arm:
    raise ConfigError(where, f"{value!r}: {problem}")
