"""A simulated response as a plan: bytes, waits and faults in order, played by whoever carries it.

What it is not: a transport. `provider` plays the steps in process, `asgi` plays them over HTTP.
Invariant: steps are lazy, so a response that nobody reads costs nothing and can be dropped at any point.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

import msgspec

from trimtab.providers.seam import Headers

Sleep = Callable[[float], Awaitable[None]]


class Wait(msgspec.Struct, frozen=True):
    """Nothing comes for this long."""

    seconds: float


class Cut(msgspec.Struct, frozen=True):
    """The connection ends here, improperly."""


Step = bytes | Wait | Cut
CUT = Cut()


class SimulatedCut(Exception):
    """Raised where a plan says that the connection breaks."""


class SimResponse(msgspec.Struct, frozen=True):
    """Status and headers, and what follows. `before_head_s` passes before even the head is sent."""

    status: int
    headers: Headers
    events: Iterable[Step]
    """One step for each event of a stream, or one for the whole body: what a platform's framing is put around."""
    before_head_s: float = 0.0
    cut_after_bytes: int | None = None
    chunk_bytes: int | None = None
    """These two hold for bytes as they are on the wire, after any framing."""
    foreign: bool = False
    """The script gave the answer as bytes that are no platform's: no framing is put around it."""

    @property
    def steps(self) -> Iterable[Step]:
        """What is played. To be taken once."""
        steps = self.events
        if self.cut_after_bytes is not None:
            steps = cut_after_bytes(steps, self.cut_after_bytes)
        if self.chunk_bytes is not None:
            steps = rechunked(steps, self.chunk_bytes)
        return steps

    async def chunks(self, sleep: Sleep) -> AsyncIterator[bytes]:
        """The body as it would arrive. Raises `SimulatedCut` at a cut."""
        for step in self.steps:
            if isinstance(step, bytes):
                yield step
            elif isinstance(step, Wait):
                await sleep(step.seconds)
            else:
                raise SimulatedCut("the simulator cut this response, as its script says")


def after_events(
    steps: Iterable[Step], count: int, inserted: Iterable[Step], *, stop: bool
) -> Iterator[Step]:
    """Insert steps behind the first `count` byte steps (events); with `stop`, nothing follows them."""
    seen = 0
    done = False
    for step in steps:
        if not done and seen >= count:
            done = True
            yield from inserted
            if stop:
                return
        yield step
        seen += isinstance(step, bytes)
    if not done:
        yield from inserted


def cut_after_bytes(steps: Iterable[Step], count: int) -> Iterator[Step]:
    """Let `count` bytes through, then cut. A response shorter than that is cut at its end."""
    left = count
    for step in steps:
        if isinstance(step, bytes):
            if len(step) >= left:
                if left:
                    yield step[:left]
                break
            left -= len(step)
        yield step
    yield CUT


def rechunked(steps: Iterable[Step], size: int) -> Iterator[Step]:
    """Cut the bytes into pieces of `size`, wherever that falls: inside an event, inside a character."""
    for step in steps:
        if isinstance(step, bytes):
            for start in range(0, len(step), size):
                yield step[start : start + size]
        else:
            yield step
