"""Runs the checks of one answer, the free ones first, and says what each found and cost.

What it is not: any check, or what follows from a verdict. Invariants: every check that was begun has a verdict;
one that crashes or passes its deadline is unsure; after one that says `escalate` no dearer one is begun; cancelled, it
ends what it began before it goes.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from trimtab.errors import TrimtabError, shortened
from trimtab.messages.exchange import Answered, Question
from trimtab.records import MAX_ERROR_CHARS, MAX_EVIDENCE, MAX_EVIDENCE_CHARS, Fact, RequestId, Verdict
from trimtab.verification.seam import Case, Finding, Heard, Means, Spends, Verifier

ORDER: dict[Spends, int] = {"nothing": 0, "processor": 1, "money": 2}

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
    for check in sorted(checks, key=lambda one: ORDER[one.verifier.spends]):
        if rejected and check.verifier.spends != "nothing":
            break
        verdict = await _checked(check, judged, means_for)
        verdicts.append(verdict)
        rejected = rejected or verdict.says == "escalate"
    return tuple(verdicts)


async def _checked(check: Check, judged: Judged, means_for: MeansFor) -> Verdict:
    calls: list[Heard] = []
    means = means_for(check.name, calls.append)
    began = means.monotonic()
    deadline = began + check.timeout_s
    if judged.deadline is not None:
        deadline = min(deadline, judged.deadline)
    finding, failed = Finding("accept"), False
    try:
        async with asyncio.timeout(deadline - began):
            for answer in judged.answers:
                case = Case(
                    question=judged.question, answer=answer, arm=judged.arm, means=means, deadline=deadline
                )
                finding = _worse(finding, await check.verifier.check(case))
                if finding.says == "escalate":
                    break
        if not judged.answers:
            finding = Finding("unsure", "there is no answer in what came")
    except TimeoutError:
        finding, failed = Finding("unsure", f"not finished after {means.monotonic() - began:.3g} s"), True
    except TrimtabError as problem:
        finding, failed = Finding("unsure", f"could not be checked: {problem}"), True
    except Exception as problem:
        _log.exception("verifier %s crashed", check.name)
        finding, failed = Finding("unsure", f"crashed: {type(problem).__name__}"), True
    return Verdict(
        check.name,
        finding.says,
        shortened(finding.reason, MAX_ERROR_CHARS),
        _bounded(finding),
        finding.confidence,
        sum(heard.cost_nanousd for heard in calls),
        tuple(RequestId(heard.request) for heard in calls),
        int((means.monotonic() - began) * 1_000_000) / 1000,
        failed,
    )


def _worse(one: Finding, other: Finding) -> Finding:
    order = ("escalate", "unsure", "accept")
    return other if order.index(other.says) <= order.index(one.says) else one


def _bounded(finding: Finding) -> dict[str, Fact]:
    """Evidence as it may stand in a record, whatever a verifier wrote."""
    found: dict[str, Fact] = {}
    for name, value in list(finding.evidence.items())[:MAX_EVIDENCE]:
        if isinstance(value, bool | int | float):
            found[shortened(str(name), 60)] = value
        else:
            found[shortened(str(name), 60)] = shortened(str(value), MAX_EVIDENCE_CHARS)
    return found
