"""The simulator behind the provider seam: in process, without sockets.

Invariants: `close` ends a reply at once, also while it waits; a scripted cut is `UpstreamBroken`; a wait longer than
the deadline is the `UpstreamTimeout` that a socket would give.
"""

import asyncio
from collections.abc import Iterator

from trimtab.catalogue import Model
from trimtab.errors import DeadlinePhase, UpstreamBroken, UpstreamTimeout
from trimtab.providers.seam import Call, Headers, Reply, Sink
from trimtab.providers.simulator.core import API_VERSIONS, MAX_BODY_BYTES, Simulator
from trimtab.providers.simulator.response import SimResponse, Sleep, Step, Wait

_READS_PER_TURN = 8
"""A stream without waits lets other tasks run every so many reads, as reading a socket would."""

_IN_PROCESS_KEY = (b"x-api-key", b"in-process")
"""A `Call` carries no authentication; whoever holds the object is let in."""


class SimulatorProvider:
    """See `providers.seam.Provider`."""

    platform = "simulator"
    simulated = True
    regional = False
    api_versions: tuple[str, ...] = API_VERSIONS

    def __init__(self, name: str, simulator: Simulator, *, sleep: Sleep = asyncio.sleep) -> None:
        self.name = name
        self.discount = simulator.settings.discount
        self._simulator = simulator
        self._sleep = sleep

    def model_id(self, model: Model) -> str | None:
        """See the seam."""
        return model.platform_id(self.platform)

    async def send(self, call: Call) -> Reply:
        """Answer one call. Raises `UpstreamTimeout` when the script stalls the head past the deadline."""
        body = call.body if isinstance(call.body, bytes) else await _collected(call)
        response = self._simulator.handle(
            call.method, call.path, call.query, [*call.headers, _IN_PROCESS_KEY], body
        )
        deadline_s = self._simulator.settings.deadline_s
        if response.before_head_s > 0:
            await self._sleep(min(response.before_head_s, deadline_s))
            if response.before_head_s > deadline_s:
                raise _late(self.name, "header", deadline_s)
        return SimulatedReply(self.name, response, self._sleep, deadline_s, stream=call.stream)

    async def aclose(self) -> None:
        """Nothing is pooled."""


class SimulatedReply:
    """See `providers.seam.Reply`."""

    def __init__(
        self, name: str, response: SimResponse, sleep: Sleep, deadline_s: float, *, stream: bool
    ) -> None:
        self.status = response.status
        self.headers: Headers = response.headers
        self._name = name
        self._steps: Iterator[Step] = iter(response.steps)
        self._sleep = sleep
        self._deadline_s = deadline_s
        self._phase: DeadlinePhase = "first_event" if stream else "idle"
        self._silent_s = 0.0
        self._reads = 0
        self._broken: str | None = None
        self._pause: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """The next bytes, or `b""` at the end. See the seam for what it raises."""
        if self._broken is not None:
            raise UpstreamBroken(self._broken)
        self._reads += 1
        if self._reads % _READS_PER_TURN == 0:
            await asyncio.sleep(0)
        for step in self._steps:
            if isinstance(step, bytes):
                if step:
                    self._phase, self._silent_s = "idle", 0.0
                    return step
            elif isinstance(step, Wait):
                await self._wait(step.seconds)
            else:
                self._end(f"{self._name}: the simulator cut the connection, as its script says")
            if self._broken is not None:
                raise UpstreamBroken(self._broken)
        return b""

    async def pump(self, sink: Sink) -> bool:
        """See the seam."""
        while piece := await self.read():
            if not sink(piece):
                return False
        return True

    def close(self) -> None:
        """Stop generating. A read that waits ends with `UpstreamBroken`."""
        self._end(f"{self._name}: the reply was closed")

    def _end(self, why: str) -> None:
        if self._broken is None:
            self._broken = why
        self._steps = iter(())
        if self._pause is not None:
            self._pause.cancel()

    async def _wait(self, seconds: float) -> None:
        left = self._deadline_s - self._silent_s
        self._silent_s += seconds
        self._pause = asyncio.ensure_future(_slept(self._sleep, min(seconds, left)))
        try:
            await self._pause
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._broken is None or (task is not None and task.cancelling()):
                raise
        finally:
            self._pause = None
        if self._broken is None and seconds > left:
            late = _late(self._name, self._phase, self._deadline_s)
            self._end(str(late))
            raise late


async def _slept(sleep: Sleep, seconds: float) -> None:
    await sleep(seconds)


async def _collected(call: Call) -> bytes:
    """The body of a streamed call; what is over the limit is not kept, and refused by its size."""
    if isinstance(call.body, bytes):
        return call.body
    body = bytearray()
    async for piece in call.body:
        if len(body) <= MAX_BODY_BYTES:
            body += piece
    return bytes(body)


def _late(name: str, phase: DeadlinePhase, deadline_s: float) -> UpstreamTimeout:
    return UpstreamTimeout(f"{name}: nothing came for {deadline_s:g} s (simulated stall)", phase)
