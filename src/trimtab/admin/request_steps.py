"""What was tried for one recorded request, step by step: who answered, what was said of it, and what followed.

What it is not: a decision, or the record itself. Pure. Invariant: it says nothing that the record does not.
"""

from collections.abc import Mapping, Sequence

import msgspec

from trimtab.records import Attempt, Outcome, Says, Verdict, call_ending, overall


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """All calls of one rung, and what the verifiers said of the answer."""

    number: int
    """From 1."""
    arm: str
    """That was called, as `model@effort`."""
    attempts: tuple[int, ...]
    """Places among the record's attempts, from 0. Several are calls to several platforms."""
    says: Says | None
    """What all its verdicts come to; `None`: nobody judged."""
    verdicts: tuple[Verdict, ...]
    cost_nanousd: int
    """Of its attempts."""
    checks_nanousd: int
    """Of the calls of its verifiers."""
    ms: float
    """Of its attempts; calls that were under way at once each count."""
    checks_ms: float
    given: bool
    """Whether its answer is the one that the client was given."""
    because: str
    """Why it was begun; empty for the first one."""
    stopped: str
    """Of the last one, where its answer was not accepted: why there was no further one."""


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried."""

    steps: tuple[Step, ...]
    whys: tuple[str, ...]
    """Why each attempt was made."""
    given: int | None
    """The place of the attempt whose answer the client was given; `None`: it was given none, or not all of it."""
    says: Says | None
    """What the verifiers said of that answer, else of the last one."""
    judged: bool
    """Whether a verifier looked at any answer."""
    whole_nanousd: int
    """The request and its checks together."""


def steps_of(record: Outcome) -> Steps:
    """The steps of a record, in their order."""
    attempts = record.attempts
    last_place = len(attempts) - 1 if record.answered is None else record.answered
    given = last_place if attempts and record.result in ("ok", "truncated") else None
    planned = "" if record.plan is None else str(record.plan.arm)
    numbers = sorted({attempt.step for attempt in attempts})
    found: list[Step] = []
    for order, number in enumerate(numbers):
        places = tuple(place for place, attempt in enumerate(attempts) if attempt.step == number)
        own = [attempts[place] for place in places]
        verdicts = tuple(verdict for attempt in own for verdict in attempt.verdicts)
        called = next((attempt.arm for attempt in reversed(own) if attempt.arm is not None), None)
        arm = planned if called is None else str(called)
        because = "" if order == 0 else _escalated(record, numbers[order - 1], number, found[-1].arm, arm)
        found.append(
            Step(
                number=order + 1,
                arm=arm,
                attempts=places,
                says=overall(verdicts) if verdicts else None,
                verdicts=verdicts,
                cost_nanousd=sum(attempt.cost_nanousd for attempt in own),
                checks_nanousd=sum(verdict.cost_nanousd for verdict in verdicts),
                ms=sum(attempt.total_ms for attempt in own),
                checks_ms=sum(verdict.ms for verdict in verdicts),
                given=given in places,
                because=because,
                stopped="; ".join(_plainly(record.escalations[number:], arm))
                if number == numbers[-1]
                else "",
            )
        )
    return Steps(
        steps=tuple(found),
        whys=whys(
            attempts,
            "" if record.plan is None else record.plan.platform,
            {step.attempts[0]: step.because for step in found},
        ),
        given=given,
        says=next((step.says for step in found if last_place in step.attempts), None),
        judged=any(attempt.verdicts for attempt in attempts),
        whole_nanousd=record.cost_nanousd + record.checks_nanousd,
    )


def _escalated(record: Outcome, before: int, step: int, arm_before: str, arm: str) -> str:
    """Why a step was begun after another one: what speaks against that one's answer, and what else is recorded, as why
    rungs in between were passed over."""
    verdicts = [
        verdict for attempt in record.attempts if attempt.step == before for verdict in attempt.verdicts
    ]
    against = [f"{one.verifier}: {one.reason or one.says}" for one in verdicts if one.says != "accept"]
    recorded = [one.removeprefix(f"{arm}: ") for one in record.escalations[before:step]]
    rest = [one for one in _plainly(recorded, arm_before) if one not in against]
    return "; ".join([*against, *rest]) or "; ".join(recorded) or "the step before it"


def _plainly(reasons: Sequence[str], arm: str) -> list[str]:
    """Reasons without what verdicts say better: that the arm's answer was not accepted."""
    said = []
    for reason in reasons:
        for opening in (f"{arm} was not accepted", f"of {arm} nobody is sure"):
            reason = reason.removeprefix(opening).lstrip(" ;:,")
        said.append(reason)
    return [reason for reason in said if reason]


def whys(
    attempts: Sequence[Attempt], planned: str, escalated: Mapping[int, str] | None = None
) -> tuple[str, ...]:
    """Why each attempt was made, told from what came of the one before it; `planned` is the plan's platform, and
    `escalated` says by the place of its first attempt why a step was begun.

    Of two that were under way at once, the one that was cut stands before the one that answered.
    """
    said: list[str] = []
    for number, attempt in enumerate(attempts):
        if number == 0:
            said.append("as planned" if attempt.platform == planned else "beside a slow one")
            continue
        before = attempts[number - 1]
        if attempt.step != before.step:
            said.append(f"escalated: {(escalated or {}).get(number, '')}")
        elif before.result == "cancelled":
            said.append(f"under way with attempt {number}, and quicker")
        else:
            said.append(f"{_where(before, attempt)}: {_came_to(before, number)}")
    return tuple(said)


def _where(before: Attempt, after: Attempt) -> str:
    if before.platform != after.platform:
        return "another platform"
    return "the same again" if before.account == after.account else "another key"


def _came_to(before: Attempt, number: int) -> str:
    it = f"attempt {number}"
    ending = call_ending(before.result, before.status, before.error)
    if ending == "limited":
        return f"{it} met a rate limit"
    if before.status in (401, 403):
        return f"{it} was not let in ({before.status})"
    if before.error is not None and before.error.startswith("UpstreamTimeout"):
        return f"{it} was too slow"
    if before.status is None:
        return f"{it} got no answer" if ending == "failed" else f"what was asked has no place in {it}'s API"
    if before.result == "truncated":
        return f"{it} broke off"
    return f"{it} failed ({before.status})"
