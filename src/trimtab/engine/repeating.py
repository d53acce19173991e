"""Answers that are given again, and answers that are kept for that while they go by.

What it is not: whether one may be (`cache`). Invariants: what is given again are the bytes that the platform sent the
first time; it makes no call, costs nothing and is recorded as the answer of an earlier request; keeping changes nothing
of what the client gets, and nothing waits for it.
"""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from trimtab.budgets import Hold
from trimtab.cache import Question, Repeat, Shelf
from trimtab.catalogue import NanoUSD
from trimtab.engine.inbound import CACHE, Inbound
from trimtab.engine.job import Job
from trimtab.engine.means import Means
from trimtab.engine.reply import MeteredReply
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

    def given(self, question: Question, answer: Answer) -> None:
        """Count an answer as given again."""
        ...


def concerns(repeating: Repeating, inbound: Inbound) -> bool:
    """Whether a request may have to do with kept answers."""
    return (repeating.always or CACHE in inbound.own) and inbound.endpoint != "count_tokens"


def question_of(inbound: Inbound, job: Job, platforms: Iterable[str], simulated: bool) -> Question:
    """What a planned request asks."""
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
        arm=str(plan.arm),
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
        caller, runtime, task = job.caller, means.runtime, job.task
        whole = self._given == len(self._answer.body)
        means.recorder.record(
            Outcome(
                id=job.id,
                at_ms=job.arrived_ms,
                purpose=job.purpose,
                surface="chat" if job.endpoint == "chat" else "messages",
                endpoint=job.endpoint,
                requested_model=job.requested_model,
                session=job.session,
                result="ok" if whole else "cancelled",
                status=HTTP_OK,
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
                simulated=self.simulated,
                leased=self._hold.takes_money,
                request_bytes=job.request_bytes,
                response_bytes=self._given,
                total_ms=int((runtime.monotonic() - job.arrived) * 1_000_000) / 1000,
                config_version=runtime.config_version,
                catalogue_version=runtime.catalogue_version,
                task=task.grant.task if task is not None else "",
                phase=task.grant.phase if task is not None else "",
                task_class=job.task_class,
                draws=self._hold.draws,
                cached=RequestId(self._answer.request_id),
            ),
            job.call.headers,
        )


class CopiedReply:
    """A platform's reply that is told of the cache, and that a shelf, where there is one, has a copy of. Implements
    `Answering`; all but the copy is the reply's."""

    free = False

    def __init__(self, reply: MeteredReply, told: str, shelf: Shelf | None, asked: Job) -> None:
        """`asked` is what the shelf is for: where another call was made in the end, that asked something else, nothing
        is kept."""
        self._reply = reply
        self.told = told
        if shelf is not None and not _same(reply.job, asked):
            shelf.drop()
            shelf = None
        self._shelf = shelf
        self.job = reply.job
        self.platform = reply.platform
        self.status = reply.status
        self.headers = reply.headers
        self.is_event_stream = reply.is_event_stream
        self.simulated = reply.simulated
        self.before = reply.before

    @property
    def warned(self) -> tuple[str, ...]:
        """See `MeteredReply.warned`."""
        return self._reply.warned

    @property
    def at_boundary(self) -> bool:
        """Whether another event may be written to the client now."""
        return self._reply.at_boundary

    async def body(self) -> bytes:
        """See `MeteredReply.body`."""
        body = await self._reply.body()
        if self._shelf is not None:
            self._shelf.add(body)
        return body

    async def pump(self, write: Sink) -> bool:
        """See `MeteredReply.pump`."""
        shelf = self._shelf
        if shelf is None:
            return await self._reply.pump(write)

        def sink(chunk: bytes) -> bool:
            shelf.add(chunk)
            return write(chunk)

        return await self._reply.pump(sink)

    def cost(self) -> NanoUSD:
        """See `MeteredReply.cost`."""
        return self._reply.cost()

    def close(self, problem: BaseException | None = None) -> None:
        """See `MeteredReply.close`. Then what went by is kept, where it may be."""
        self._reply.close(problem)
        shelf, self._shelf = self._shelf, None
        if shelf is not None:
            shelf.keep(
                self._reply.end(),
                self.headers,
                event_stream=self.is_event_stream,
                simulated=self._reply.simulated,
            )


class Repeated(msgspec.Struct, frozen=True):
    """What was found for one request."""

    told: str
    shelf: Shelf | None = None
    """Where the answer to come is put."""
    kept: KeptReply | None = None
    """The earlier answer."""


def _same(made: Job, asked: Job) -> bool:
    """Whether a call asked the very same: another platform may have been sent something else."""
    if made is asked:
        return True
    return (
        made.model is asked.model
        and made.plan.arm == asked.plan.arm
        and made.call.body == asked.call.body
        and made.call.headers == asked.call.headers
        and made.call.path == asked.call.path
        and made.call.query == asked.call.query
    )
