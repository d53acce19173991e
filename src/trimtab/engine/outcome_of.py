"""The record of a request whose last call has ended.

What it is not: that call (`reply`), or where records go (`recording`).
"""

import msgspec

from trimtab.budgets import Hold
from trimtab.engine.job import Job
from trimtab.engine.means import Runtime
from trimtab.errors import TrimtabError
from trimtab.records import Attempt, Outcome, Says, Verdict

GONE = 499
"""The status in the record of a request whose client went before there was an answer."""


class Judgement(msgspec.Struct, frozen=True):
    """What a cascade made of a request: nothing, where its answer went out as it came."""

    says: Says | None = None
    """What the verifiers came to on the answer that the client is given; `None`: that is not known, or not yet."""
    steps: int = 1
    after: tuple[Attempt, ...] = ()
    """Attempts that were made after the one whose answer is given."""
    escalations: tuple[str, ...] = ()
    checks_nanousd: int = 0
    verdicts: tuple[Verdict, ...] = ()
    """On the answer that the client is given, where they are not with its attempt."""


class Delivery(msgspec.Struct, frozen=True):
    """How the answer went to the client."""

    before: tuple[Attempt, ...]
    status: int
    """0: no head came."""
    problem: BaseException | None
    simulated: bool
    sent_bytes: int
    total_ms: float
    warned: tuple[str, ...]
    gone: bool = False
    """Whether the client went before it was given an answer that had come whole."""


def outcome_of(
    job: Job, attempt: Attempt, hold: Hold, runtime: Runtime, delivery: Delivery, judged: Judgement | None
) -> Outcome:
    """The record, with `attempt` as the one whose answer was given."""
    caller, problem, before = job.caller, delivery.problem, delivery.before
    status = delivery.status or (problem.status if isinstance(problem, TrimtabError) else GONE)
    # In the order of the fields: by name, msgspec takes 1 us more.
    outcome = Outcome(
        job.id,
        job.arrived_ms,
        job.purpose,
        "chat" if job.endpoint == "chat" else "messages",
        job.endpoint,
        job.requested_model,
        job.session,
        attempt.result,
        status,
        job.call.stream,
        job.plan,
        (*before, attempt) if before else (attempt,),
        attempt.error,
        attempt.cost_nanousd + sum(made.cost_nanousd for made in before) if before else attempt.cost_nanousd,
        job.adaptations,
        (*job.observations, *map(_observed, delivery.warned)) if delivery.warned else job.observations,
        job.tags,
        job.parent,
        caller.key,
        caller.organisation,
        caller.team,
        caller.user,
        delivery.simulated,
        hold.takes_money,
        job.request_bytes,
        delivery.sent_bytes,
        delivery.total_ms,
        runtime.config_version,
        runtime.catalogue_version,
        *(("", "") if job.task is None else (job.task.grant.task, job.task.grant.phase)),
        job.task_class,
        hold.draws,
    )
    if judged is None and job.step:  # it ended in the middle of a later step
        judged = Judgement(escalations=job.escalations, checks_nanousd=_of_checks(before))
    if judged is None and not delivery.gone:
        return outcome
    return _judged(outcome, judged or Judgement(), gone=delivery.gone)


def _of_checks(attempts: tuple[Attempt, ...]) -> int:
    return sum(verdict.cost_nanousd for made in attempts for verdict in made.verdicts)


def so_far(job: Job, reserved_nanousd: int) -> Attempt:
    """A call under way as it stands for one who must assume the worst, because another one is about to begin."""
    return Attempt(
        platform=job.provider.name,
        model=job.send_model,
        result="unknown",
        reserved_nanousd=reserved_nanousd,
        cost_nanousd=reserved_nanousd,
        cost_source="estimated",
        account=job.account,
        arm=None if job.step is None else job.plan.arm,
        step=job.step or 0,
    )


def _judged(outcome: Outcome, judged: Judgement, *, gone: bool) -> Outcome:
    after, attempts = judged.after, outcome.attempts
    if judged.verdicts:
        attempts = (*attempts[:-1], msgspec.structs.replace(attempts[-1], verdicts=judged.verdicts))
    return msgspec.structs.replace(
        outcome,
        attempts=(*attempts, *after),
        answered=len(attempts) - 1 if after else None,
        cost_nanousd=outcome.cost_nanousd + sum(made.cost_nanousd for made in after),
        checks_nanousd=judged.checks_nanousd,
        escalations=judged.escalations,
        result="cancelled" if gone else outcome.result,
        status=GONE if gone else outcome.status,
    )


def _observed(warning: str) -> str:
    return f"budget: {warning}"
