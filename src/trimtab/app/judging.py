"""Builds what answers are judged with."""

from collections.abc import Awaitable, Callable
from functools import partial

from trimtab.app.live import today
from trimtab.app.settings import Settings
from trimtab.catalogue import Arm, Catalogue, Tiers
from trimtab.catalogue.tiers import resolve_arm
from trimtab.content import quoted_under
from trimtab.engine.cascade import Afterwards, Climbing, Judges, Memory
from trimtab.records import RequestId
from trimtab.routing.cascade import Knowing, Measured, PrefersModel, UsualCost
from trimtab.routing.ladders import Around, auto_ladder
from trimtab.sandbox import Ran, Run, Sandbox
from trimtab.telemetry import Metrics


def open_judges(
    settings: Settings,
    memory: Memory,
    afterwards: Afterwards,
    measured: Measured,
    prefers_model: PrefersModel,
    usual_cost: UsualCost,
    new_id: Callable[[], RequestId],
    metrics: Metrics,
) -> Judges:
    """For one version of the configuration. Raises nothing: all of it was checked."""
    knowing = Knowing(settings.catalogue, today, measured, prefers_model, usual_cost)
    return Judges(
        verifiers=settings.verifiers,
        settings=settings.verification,
        deciding=Climbing(settings.escalation, knowing, memory),
        arm_of=lambda text: arm_of(text, settings.tiers, settings.catalogue),
        run=counted(Sandbox(settings.sandbox).run, metrics),
        new_id=new_id,
        auto_ladder=auto_ladder(
            Around(settings.catalogue, settings.tiers, settings.effort, settings.scenarios)
        ),
        afterwards=afterwards,
        quoted=partial(quoted_under, settings.content),
    )


def counted(run: Callable[[Run], Awaitable[Ran]], metrics: Metrics) -> Callable[[Run], Awaitable[Ran]]:
    """The same, and each run that was begun is in the metrics by how it ended."""

    async def one(wanted: Run) -> Ran:
        ran = await run(wanted)
        metrics.sandbox_run(ran.ended)
        return ran

    return one


def arm_of(text: str, tiers: Tiers, catalogue: Catalogue) -> Arm:
    """A tier by its name, or an arm as it is written. Raises `ConfigError`."""
    return tiers.by_name(text) or resolve_arm(text, catalogue, "arm")
