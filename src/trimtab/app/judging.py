"""Builds what answers are judged with."""

from collections.abc import Callable

from trimtab.app.live import today
from trimtab.app.settings import Settings
from trimtab.budgets.expected import Expectations
from trimtab.catalogue import Arm, Catalogue, NanoUSD, Tiers
from trimtab.catalogue.tiers import resolve_arm
from trimtab.engine.cascade import Afterwards, Climbing, Judges, Memory
from trimtab.records import RequestId
from trimtab.routing.cascade import Knowing, Measured, NothingMeasured
from trimtab.sandbox import Sandbox


def open_judges(
    settings: Settings,
    memory: Memory,
    afterwards: Afterwards,
    measured: Measured,
    new_id: Callable[[], RequestId],
) -> Judges:
    """For one version of the configuration. Raises nothing: all of it was checked."""
    knowing = Knowing(settings.catalogue, today, measured)
    return Judges(
        verifiers=settings.verifiers,
        settings=settings.verification,
        deciding=Climbing(settings.escalation, knowing, memory),
        arm_of=lambda text: arm_of(text, settings.tiers, settings.catalogue),
        run=Sandbox(settings.sandbox).run,
        new_id=new_id,
        afterwards=afterwards,
    )


def arm_of(text: str, tiers: Tiers, catalogue: Catalogue) -> Arm:
    """A tier by its name, or an arm as it is written. Raises `ConfigError`."""
    return tiers.by_name(text) or resolve_arm(text, catalogue, "arm")


class MeasuredCosts(NothingMeasured):
    """What calls cost before; nothing of judged answers yet."""

    def __init__(self, expectations: Expectations) -> None:
        self._expectations = expectations

    def cost(self, model: str, effort: str | None, task_class: str, simulated: bool) -> NanoUSD | None:
        """See `Measured`."""
        return self._expectations.cost(model, effort, task_class, simulated)
