"""Runs the checks of one answer, the free ones first, and says what each found and cost.

What it is not: any check, or what follows from a verdict. Invariants: every check that was begun has a verdict;
one that crashes or passes its deadline is unsure; after one that says `escalate` no dearer one is begun; cancelled, it
ends what it began before it goes; once a check is over, nothing more is spent for it.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, get_args

import msgspec

from trimtab.errors import TrimtabError, shortened, visible
from trimtab.messages.exchange import Answered, Question
from trimtab.records import (
    MAX_ERROR_CHARS,
    MAX_EVIDENCE,
    MAX_EVIDENCE_CHARS,
    Fact,
    RequestId,
    Says,
    Verdict,
)
from trimtab.verification.lending import Lent
from trimtab.verification.seam import Case, Finding, Heard, Means, Spends, Verifier

ORDER: dict[Spends, int] = {"nothing": 0, "processor": 1, "money": 2}

MAX_NAME_CHARS = 60
"""Of a fact."""

_FITS = 2**63
"""Stores keep whole numbers below it."""

_log = logging.getLogger("trimtab.verification")


class Check(msgspec.Struct, frozen=True):
    """A verifier under the name that its configuration gives it."""

    name: str
    verifier: Verifier
    timeout_s: float


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What is judged."""

    question: Question
    answers: tuple[Answered, ...]
    """Of one call: one, or as many as were asked for."""
    arm: str
    deadline: float | None = None
    """In `Means.monotonic` seconds: no check goes on longer."""


class MeansFor(Protocol):
    """Gives a check its means, for which `spent` is called with each call that it makes."""

    def __call__(self, check: str, spent: Callable[[Heard], None]) -> Means: ...


async def judge(checks: Sequence[Check], judged: Judged, means_for: MeansFor) -> tuple[Verdict, ...]:
    """The verdicts of the checks, in the order in which they ran: those that spend nothing, then processor time, then
    money. May spend money. Never raises, except when it is cancelled."""
    verdicts: list[Verdict] = []
    rejected = False
    for check in sorted(checks, key=_cost):
        if rejected and check.verifier.spends != "nothing":
            break
        verdict = await _checked(check, judged, means_for)
        verdicts.append(verdict)
        rejected = rejected or verdict.says == "escalate"
    return tuple(verdicts)


def _cost(check: Check) -> int:
    return ORDER[check.verifier.spends]


async def _checked(check: Check, judged: Judged, means_for: MeansFor) -> Verdict:
    calls: list[Heard] = []
    lent = Lent(means_for(check.name, calls.append))
    means = lent.means
    began = means.monotonic()
    deadline = began + check.timeout_s
    if judged.deadline is not None:
        deadline = min(deadline, judged.deadline)
    # In a task of its own: one that does not heed the end of its time is left behind, and keeps nobody waiting.
    work = asyncio.create_task(_found(check, judged, means, deadline))
    try:
        await asyncio.wait({work}, timeout=max(0.0, deadline - began))
        late = not work.done()
    finally:
        await lent.take_back(check.name, work)
    finding, failed = Finding("unsure", f"not finished after {means.monotonic() - began:.3g} s"), True
    if not late:
        finding, failed = _made_of(check.name, work)
    return Verdict(
        check.name,
        finding.says,
        shortened(finding.reason, MAX_ERROR_CHARS),
        dict(finding.evidence),
        finding.confidence,
        sum(heard.cost_nanousd for heard in calls),
        tuple(RequestId(heard.request) for heard in calls),
        int((means.monotonic() - began) * 1_000_000) / 1000,
        failed,
    )


async def _found(check: Check, judged: Judged, means: Means, deadline: float) -> Finding | BaseException:
    """What a check finds, or what it breaks with: somebody else's code, whatever it does. Some of that would end the
    whole process, if it left a task."""
    finding = Finding("accept")
    try:
        for answer in judged.answers:
            case = Case(
                question=judged.question, answer=answer, arm=judged.arm, means=means, deadline=deadline
            )
            finding = _worse(finding, _kept(await check.verifier.check(case)))
            if finding.says == "escalate":
                break
    except (asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as problem:
        return problem
    return finding if judged.answers else Finding("unsure", "there is no answer in what came")


def _made_of(name: str, work: "asyncio.Task[Finding | BaseException]") -> tuple[Finding, bool]:
    """The finding of a check that has ended, and whether it failed."""
    if work.cancelled():  # of something that it waited for
        return _crashed(name, asyncio.CancelledError()), True
    found = work.result()
    if isinstance(found, Finding):
        return found, False
    if isinstance(found, TrimtabError):
        return Finding("unsure", visible(f"could not be checked: {found}")), True
    return _crashed(name, found), True


def _crashed(name: str, problem: BaseException) -> Finding:
    _log.error("verifier %s crashed", name, exc_info=problem)
    return Finding("unsure", f"crashed: {type(problem).__name__}")


def _worse(one: Finding, other: Finding) -> Finding:
    order = ("escalate", "unsure", "accept")
    return other if order.index(other.says) <= order.index(one.says) else one


def _kept(finding: Finding) -> Finding:
    """A finding as it may stand in a record, whatever a verifier wrote. Raises for what is none."""
    if finding.says not in get_args(Says):
        raise ValueError(f"a verifier may say {', '.join(get_args(Says))}, not {finding.says!r}")
    evidence: dict[str, Fact] = {}
    for name, value in list(finding.evidence.items())[:MAX_EVIDENCE]:
        evidence[shortened(visible(str(name)), MAX_NAME_CHARS)] = _fact(value)
    confidence = finding.confidence
    if confidence is not None:
        confidence = float(confidence)
        if not 0 <= confidence <= 1:  # so written that nan is refused
            raise ValueError(f"a confidence is from 0 to 1, not {confidence!r}")
    reason = shortened(visible(str(finding.reason)), MAX_ERROR_CHARS)
    return Finding(finding.says, reason, evidence, confidence)


def _fact(value: Any) -> Fact:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and -_FITS <= value < _FITS:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, int):
        return "(a number too large to keep)"
    return shortened(visible(str(value), "\n"), MAX_EVIDENCE_CHARS)
