"""Two calls of one request beside each other: the first that answers is the answer.

What it is not: the decision to ask a second place (`surviving`). Invariant: one reply is left, which is still to be
closed; the other one is cut, and its attempt, with its price, stands before it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeAlias

from trimtab.engine.reply import MeteredReply
from trimtab.errors import RequestError, UpstreamError, UpstreamTimeout

FAR_AHEAD = 3.0
"""A second call that takes less than a third of the first one's head start says that the first one's platform fails,
not just that it was slower this time: of two calls alike one is a little quicker, and that must not move everybody."""

Problem: TypeAlias = UpstreamError | RequestError | None
"""What broke a call; `None` where it was answered, be it by an error."""


async def race(
    first: MeteredReply,
    after_s: float,
    *,
    make: Callable[[MeteredReply], Coroutine[Any, Any, Problem]],
    beside: Callable[[], Awaitable[MeteredReply | None]],
    failed: Callable[[MeteredReply, Problem], bool],
    in_doubt: bool = False,
) -> tuple[MeteredReply, Problem, int]:
    """The reply that answered first, or failed last; what broke it; how many calls were made beside the first.

    `make` makes a call; `beside` begins the second one, where it may, once the first has not answered for `after_s`
    seconds. `in_doubt`: the first one tries a place again after failures, so that to be slower is to fail. Ended from
    outside, the request is recorded here.
    """
    before = first.before
    running = {asyncio.ensure_future(make(first)): first}
    second: MeteredReply | None = None
    lost: list[MeteredReply] = []
    began = 0.0
    try:
        await asyncio.wait(running, timeout=after_s)
        if not any(call.done() for call in running) and (second := await beside()) is not None:
            began = asyncio.get_running_loop().time()
            running[asyncio.ensure_future(make(second))] = second
        while True:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            call = done.pop()
            reply, problem = running[call], call.result()
            del running[call]
            if not running or not failed(reply, problem):
                break
            reply.end(problem)  # what it held is free while the other one goes on
            lost.append(reply)
    except BaseException as gone:
        _cut(running)
        *others, last = (*lost, *running.values())
        last.before = (*before, *(other.end(gone) for other in others))
        for other in others:
            other.carry()
        last.close(gone)
        raise
    _cut(running)
    for slower in running.values():
        took_s = asyncio.get_running_loop().time() - began
        fails = slower is first and (in_doubt or FAR_AHEAD * took_s < after_s)
        slower.end(_too_late(after_s) if fails else asyncio.CancelledError())
        lost.append(slower)
    reply.before = (*before, *(other.end() for other in lost))
    for other in lost:
        other.carry()
    return reply, problem, 0 if second is None else 1


def _cut(running: Iterable["asyncio.Task[Problem]"]) -> None:
    for call in running:
        call.cancel()


def _too_late(after_s: float) -> UpstreamTimeout:
    """Asked earlier and not answered when the other one had: that says something of a platform."""
    return UpstreamTimeout(f"another platform, asked {after_s:g} s later, answered first", "first_event")
