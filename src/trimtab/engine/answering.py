"""What a client's request is answered with: a platform's reply on its way, or an answer that is given again.

What it is not: either of them (`reply`, `repeating`).
"""

from typing import Protocol

from trimtab.catalogue import NanoUSD
from trimtab.engine.job import Job
from trimtab.engine.outcome_of import Judgement
from trimtab.providers import Headers, Sink
from trimtab.records import Attempt


class Answering(Protocol):
    """One answer. Read it to the end, then `close`, which records the request; closing early cuts it off."""

    @property
    def job(self) -> Job:
        """What was asked."""
        ...

    @property
    def platform(self) -> str:
        """The entry that answers, or that answered when it was first asked."""
        ...

    @property
    def told(self) -> str:
        """What `x-trimtab-cache` says; empty: nothing."""
        ...

    @property
    def free(self) -> bool:
        """Whether it is known from the start that it costs nothing."""
        ...

    @property
    def pending(self) -> bool:
        """Whether the answer's head goes out before it is known which arm answers."""
        ...

    @property
    def judgement(self) -> Judgement | None:
        """What a cascade made of the request, as far as it is known; `None` where its answer goes out as it comes."""
        ...

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def is_event_stream(self) -> bool: ...

    @property
    def simulated(self) -> bool:
        """Whether no real model answers."""
        ...

    @property
    def before(self) -> tuple[Attempt, ...]:
        """Attempts of the request that this one follows."""
        ...

    @property
    def warned(self) -> tuple[str, ...]:
        """What to say of budgets that it draws on and that are nearly spent."""
        ...

    @property
    def failed(self) -> bool:
        """Whether it ends in an error that its status could not tell, for that had gone out as 200."""
        ...

    @property
    def at_boundary(self) -> bool:
        """Whether another event may be written to the client now."""
        ...

    async def body(self) -> bytes:
        """A whole JSON answer. Raises `UpstreamError` when it does not arrive whole."""
        ...

    async def pump(self, write: Sink) -> bool:
        """Give the bytes of an event stream to `write`; see `providers.Reply.pump`. Raises `UpstreamError`."""
        ...

    def cost(self) -> NanoUSD:
        """What the request costs; final once it has ended."""
        ...

    def close(self, problem: BaseException | None = None) -> None:
        """End it and record the request. Idempotent; never raises or waits."""
        ...
