"""Waiting for what comes by itself: it is looked at until it is there.

What it is not: a measure of time. The patience is many times what anything here takes, so that it runs out on no
machine, however slow, unless the thing never comes.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 60.0
_PAUSE_S = 0.01


def until(look: Callable[[], T], told: Callable[[], object] = lambda: "") -> T:
    """Block until `look` gives something true, and give that. `told` says more where it never does."""
    give_up = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < give_up, f"it did not come to that in {PATIENCE_S:.0f} s {told()}"
        time.sleep(_PAUSE_S)
    return found


async def until_so(look: Callable[[], T]) -> T:
    """As `until`, while the loop goes on."""
    give_up = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < give_up, f"it did not come to that in {PATIENCE_S:.0f} s"
        await asyncio.sleep(_PAUSE_S)
    return found


async def until_given(ask: Callable[[], Awaitable[T]], enough: Callable[[T], bool]) -> T:
    """Ask again until the answer is enough, and give that."""
    give_up = time.monotonic() + PATIENCE_S
    while not enough(answer := await ask()):
        assert time.monotonic() < give_up, f"not in {PATIENCE_S:.0f} s; the last answer: {answer!r:.1000}"
        await asyncio.sleep(_PAUSE_S)
    return answer
