"""A check's means, which are its own only as long as it runs.

What it is not: the means (`seam`), or the check (`panel`). Invariants: once they are taken back nothing is spent with
them, by whatever a verifier left behind; what was under way then is ended.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from trimtab.errors import Unavailable
from trimtab.sandbox import Ran, Run
from trimtab.verification.seam import Heard, Means, Prompt

LET_GO_S = 1.0
"""A verifier that was cancelled is waited for so long; those that clean up after calls and runs take milliseconds."""

T = TypeVar("T")
_log = logging.getLogger("trimtab.verification")


class Lent:
    """Those of one check."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._under_way: set[asyncio.Task[Any]] = set()
        self._over = False
        self.means = Means(self._ask, self._run, means.monotonic)
        """As the verifier has them."""

    async def _ask(self, arm: str, prompt: Prompt | None = None) -> Heard:
        self._refuse_late()
        return await self._through(_asked(self._means, arm, prompt))

    async def _run(self, wanted: Run) -> Ran:
        self._refuse_late()
        return await self._through(_ran(self._means, wanted))

    def _refuse_late(self) -> None:
        if self._over:
            raise Unavailable("the time of this check is over: it may spend no more", 1)

    async def _through(self, work: Coroutine[Any, Any, T]) -> T:
        """In a task of its own, which is ended with the check, whoever waits for it."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await task

    async def take_back(self, check: str, work: "asyncio.Task[Any]") -> None:
        """End the check and all that it began, and wait for that, but not for a verifier that heeds nothing."""
        self._over = True
        if not work.done():
            work.cancel()
            _, stubborn = await asyncio.wait({work}, timeout=LET_GO_S)
            if stubborn:
                _log.error("verifier %s does not end when it is cancelled: it is left behind", check)
        if left := set(self._under_way):
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=LET_GO_S)


async def _asked(means: Means, arm: str, prompt: Prompt | None) -> Heard:
    return await means.ask(arm, prompt)


async def _ran(means: Means, wanted: Run) -> Ran:
    return await means.run(wanted)
