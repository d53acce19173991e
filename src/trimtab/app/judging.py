"""Builds what answers are judged with."""

from collections.abc import Callable

from trimtab.app.settings import Settings
from trimtab.catalogue import Arm, Catalogue, Tiers
from trimtab.catalogue.tiers import resolve_arm
from trimtab.engine.cascade import Afterwards, Climbing, Judges
from trimtab.records import RequestId
from trimtab.routing import Decision
from trimtab.routing.cascade import Estimate, Facts, Failure, Known, Ladder
from trimtab.sandbox import Sandbox


def open_judges(settings: Settings, afterwards: Afterwards, new_id: Callable[[], RequestId]) -> Judges:
    """For one version of the configuration. Raises nothing: all of it was checked."""
    sandbox = Sandbox(settings.sandbox)
    return Judges(
        verifiers=settings.verifiers,
        settings=settings.verification,
        deciding=Climbing(settings.escalation, _Plain),
        arm_of=lambda text: arm_of(text, settings.tiers, settings.catalogue),
        run=sandbox.run,
        new_id=new_id,
        afterwards=afterwards,
    )


def arm_of(text: str, tiers: Tiers, catalogue: Catalogue) -> Arm:
    """A tier by its name, or an arm as it is written. Raises `ConfigError`."""
    return tiers.by_name(text) or resolve_arm(text, catalogue, "arm")


class _Plain(Known):
    def __init__(self, facts: Facts, ladder: Ladder, decision: Decision, *, simulated: bool) -> None:
        self._ladder = ladder

    def estimate(self, arm: Arm) -> Estimate:
        return Estimate(cost_nanousd=1_000_000 * (1 + self._ladder.rungs.index(arm)))

    def failure(self, arm: Arm) -> Failure:
        return Failure()

    def prefers_model(self, arm: Arm) -> bool:
        return False
