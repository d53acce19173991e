"""Answers that are given again.

What it is not: whether one may be (`cache`), or how it is kept while it goes by (`copying`). Invariants: what is given
again are the bytes that the platform sent the first time; it makes no call, costs nothing and is recorded as the answer
of an earlier request.
"""

from collections.abc import Iterable
from typing import Literal, Protocol

import msgspec

from trimtab.budgets import Hold
from trimtab.cache import Awaited, Question, Repeat, Shelf
from trimtab.catalogue import NanoUSD
from trimtab.engine.inbound import CACHE, Inbound
from trimtab.engine.job import Job
from trimtab.engine.means import Means
from trimtab.engine.outcome_of import GONE, Judgement
from trimtab.providers import Headers, Sink
from trimtab.records import Attempt, Outcome, RequestId
from trimtab.store.answers import Answer

PIECE_BYTES = 64 * 1024
"""Of a stream that is given again, so much goes to the client at a time."""

HTTP_OK = 200


class Repeating(Protocol):
    """What the pipeline needs of a cache of answers."""

    @property
    def always(self) -> bool:
        """Whether requests that do not name it are looked up too."""
        ...

    async def find(self, question: Question) -> Repeat:
        """What is to be done with a request. Waits within the deadline for the store. Raises `RequestError` for a wish
        that is none; whatever else goes wrong, nothing is found."""
        ...

    async def follow(self, question: Question, awaited: Awaited, most_s: float | None) -> Repeat:
        """What is to be done with a request whose question somebody else asks at this moment. Waits for that, so long
        at most; never raises."""
        ...

    def given(self, question: Question, answer: Answer) -> None:
        """Count an answer as given again."""
        ...


def concerns(repeating: Repeating, inbound: Inbound) -> bool:
    """Whether a request may have to do with kept answers."""
    return (repeating.always or CACHE in inbound.own) and inbound.endpoint != "count_tokens"


def question_of(
    inbound: Inbound, job: Job, platforms: Iterable[str], simulated: bool, checks: tuple[str, ...] = ()
) -> Question:
    """What a planned request asks. An answer that was to be judged so is another one than one that was not."""
    call, plan = job.call, job.plan
    return Question(
        id=job.id,
        arrived_ms=job.arrived_ms,
        surface="chat" if job.endpoint == "chat" else "messages",
        path=call.path,
        query=call.query,
        headers=call.headers,
        body=call.body if isinstance(call.body, bytes) else b"",
        stream=call.stream,
        answers=job.answers,
        arm=f"{plan.arm} judged by {', '.join(checks)}" if checks else str(plan.arm),
        model=job.model.id,
        platforms=frozenset(platforms),
        simulated=simulated,
        caller=job.caller,
        tier=plan.tier,
        route=plan.route,
        own=inbound.own,
    )


class KeptReply:
    """An earlier answer, given again. Implements `Answering`."""

    free = True
    pending = False
    failed = False
    judgement: Judgement | None = None
    at_boundary = False
    """It cannot end early between two events."""
    before: tuple[Attempt, ...] = ()
    warned: tuple[str, ...] = ()
    """It draws on nothing but counts of requests."""
    status = HTTP_OK

    def __init__(self, means: Means, job: Job, hold: Hold, answer: Answer, told: str) -> None:
        """`hold` is leave for a request that costs nothing."""
        self._means = means
        self._hold = hold
        self._answer = answer
        self._given = 0
        self._closed = False
        self.job = job
        self.told = told
        self.platform = answer.place.rpartition("@")[0]
        self.headers: Headers = answer.headers
        self.is_event_stream = job.call.stream
        self.simulated = answer.simulated

    async def body(self) -> bytes:
        """The whole answer."""
        self._given = len(self._answer.body)
        return self._answer.body

    async def pump(self, write: Sink) -> bool:
        """All of it at once, as fast as the client takes it."""
        body = self._answer.body
        while self._given < len(body):
            piece = body[self._given : self._given + PIECE_BYTES]
            self._given += len(piece)
            if not write(piece):
                return False
        return True

    def cost(self) -> NanoUSD:
        """Nothing."""
        return NanoUSD(0)

    def close(self, problem: BaseException | None = None) -> None:
        """Record the request. Idempotent; never raises or waits."""
        if self._closed:
            return
        self._closed = True
        means, job = self._means, self.job
        means.ledger.settle(self._hold, NanoUSD(0))
        whole = self._given == len(self._answer.body)
        outcome = _uncalled(means, job, self._hold, "ok" if whole else "cancelled", self.simulated)
        means.recorder.record(
            msgspec.structs.replace(
                outcome,
                status=HTTP_OK,
                response_bytes=self._given,
                cached=RequestId(self._answer.request_id),
            ),
            job.call.headers,
        )


class Repeated(msgspec.Struct, frozen=True):
    """What was found for one request."""

    told: str
    shelf: Shelf | None = None
    """Where the answer to come is put."""
    kept: KeptReply | None = None
    """The earlier answer."""


def gave_up(means: Means, job: Job, hold: Hold) -> None:
    """Record a request whose client went while it waited for somebody else's answer. `hold` is settled here."""
    means.ledger.settle(hold, NanoUSD(0))
    means.recorder.record(_uncalled(means, job, hold, "cancelled", hold.simulated), job.call.headers)


def _uncalled(
    means: Means, job: Job, hold: Hold, result: Literal["ok", "cancelled"], simulated: bool
) -> Outcome:
    """The record of a request for which nobody was called."""
    caller, runtime, task = job.caller, means.runtime, job.task
    return Outcome(
        id=job.id,
        at_ms=job.arrived_ms,
        purpose=job.purpose,
        surface="chat" if job.endpoint == "chat" else "messages",
        endpoint=job.endpoint,
        requested_model=job.requested_model,
        session=job.session,
        result=result,
        status=GONE,
        stream=job.call.stream,
        plan=job.plan,
        adaptations=job.adaptations,
        observations=job.observations,
        tags=job.tags,
        parent=job.parent,
        key=caller.key,
        organisation=caller.organisation,
        team=caller.team,
        user=caller.user,
        simulated=simulated,
        leased=hold.takes_money,
        request_bytes=job.request_bytes,
        total_ms=int((runtime.monotonic() - job.arrived) * 1_000_000) / 1000,
        config_version=runtime.config_version,
        catalogue_version=runtime.catalogue_version,
        task=task.grant.task if task is not None else "",
        phase=task.grant.phase if task is not None else "",
        task_class=job.task_class,
        draws=hold.draws,
    )
