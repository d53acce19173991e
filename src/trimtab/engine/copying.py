"""Answers of platforms that are kept while they go by, and that others may wait for.

What it is not: what may be kept, or who waits (`cache`). Invariants: keeping changes nothing of what the client gets,
and it waits for nothing but the platform; where its client goes, the call goes on as long as others wait for it, and no
longer; it is recorded once, as the request that made it.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from trimtab.cache import Shelf
from trimtab.catalogue import NanoUSD
from trimtab.engine.job import Job
from trimtab.engine.reply import MeteredReply
from trimtab.errors import TrimtabError
from trimtab.providers import Sink

LAG_S = 1.0
"""A client that has not taken its stream for so long in all is no longer waited for by others: what it has not taken
has not been read."""

T = TypeVar("T")
_log = logging.getLogger("trimtab.engine")


async def led(making: Coroutine[Any, Any, MeteredReply], told: str, shelf: Shelf, asked: Job) -> MeteredReply:
    """Make a call whose answer others may wait for: where its client goes before the answer has begun, it goes on as
    long as they do."""
    # It begins before anything can cancel it: who cancels this task wakes it no sooner than that one. A call that is
    # not begun would leave what is held for it.
    task = asyncio.create_task(making)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if shelf.is_heard:
            shelf.carry(asyncio.create_task(_carried(task, told, shelf, asked)))
        else:
            task.cancel()
            await asyncio.wait((task,))
            if not task.cancelled() and task.exception() is None:
                task.result().close()
            shelf.drop()
        raise


async def _carried(task: asyncio.Task[MeteredReply], told: str, shelf: Shelf, asked: Job) -> None:
    try:
        reply = await task
    except TrimtabError:  # it is recorded
        shelf.drop()
        return
    except BaseException:
        shelf.drop()
        raise
    await CopiedReply(reply, told, shelf, asked).finish()


class CopiedReply:
    """A platform's reply that is told of the cache, and that a shelf, where there is one, has a copy of. Implements
    `Answering`; all but the copy is the reply's."""

    free = False
    pending = False
    failed = False

    def __init__(self, reply: MeteredReply, told: str, shelf: Shelf | None, asked: Job) -> None:
        """`asked` is what the shelf is for: where another call was made in the end, that asked something else, nothing
        is kept."""
        self._reply = reply
        self.told = told
        if shelf is not None and not _same(reply.job, asked):
            shelf.drop()
            shelf = None
        self._shelf = shelf
        self._write: Sink | None = None
        """Where the client takes it; nowhere once that has gone."""
        self._gone: BaseException | None = None
        self._reading: asyncio.Task[Any] | None = None
        """In a task of its own, which does not end with the client's."""
        self._over = False
        """It has come to its end, whichever that was."""
        self._closed = False
        self._late: asyncio.TimerHandle | None = None
        self._patience_s = LAG_S
        self._lags_since = 0.0
        self.job = reply.job
        self.platform = reply.platform
        self.status = reply.status
        self.headers = reply.headers
        self.is_event_stream = reply.is_event_stream
        self.simulated = reply.simulated
        self.before = reply.before
        self.judgement = reply.judgement

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
        if self._shelf is None:
            return await self._reply.body()
        body = await self._apart(self._reply.body())
        self._over = True
        self._shelf.add(body)
        return body

    async def pump(self, write: Sink) -> bool:
        """See `MeteredReply.pump`."""
        if self._shelf is None:
            return await self._reply.pump(write)
        self._in_time()
        self._write = write
        self._over = await self._apart(self._reply.pump(self._take))
        if self._gone is not None:
            raise self._gone
        if not self._over:
            loop = asyncio.get_running_loop()
            self._lags_since = loop.time()
            self._late = loop.call_later(self._patience_s, self._shelf.let_go)
        return self._over

    def _take(self, chunk: bytes) -> bool:
        """A piece of the stream: to the shelf, and to the client while there is one."""
        if self._shelf is not None:
            self._shelf.add(chunk)
        if self._write is None:
            return True
        try:
            return self._write(chunk)
        except Exception as gone:
            self._write, self._gone = None, gone
            return False

    async def _apart(self, work: Coroutine[Any, Any, T]) -> T:
        """Work that is not cancelled with this task: `close` decides whether it goes on."""
        reading = self._reading = asyncio.create_task(work)
        try:
            result: T = await asyncio.shield(reading)
        except Exception:
            self._over = True
            raise
        self._reading = None
        return result

    async def finish(self) -> None:
        """Read it to its end without a client, for those who wait, and close it."""
        try:
            if self._reading is not None:
                reading = await self._reading
                self._over = reading is True or not self.is_event_stream
                if not self.is_event_stream and self._shelf is not None:
                    self._shelf.add(reading)
            elif not self.is_event_stream:
                await self.body()
            while not self._over:
                self._over = await self._reply.pump(self._take)
        except TrimtabError as problem:  # as its client would have been told
            _log.info("request %s: %s", self.job.id, problem)
        finally:
            self._end()

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
            self._patience_s -= asyncio.get_running_loop().time() - self._lags_since

    def cost(self) -> NanoUSD:
        """See `MeteredReply.cost`."""
        return self._reply.cost()

    def close(self, problem: BaseException | None = None) -> None:
        """See `MeteredReply.close`. Then what went by is kept, where it may be. While others wait for an answer that
        has not ended, it goes on without its client."""
        if self._closed:
            return
        self._closed = True
        self._write = None
        if not self._over and self._shelf is not None and self._shelf.is_heard:
            self._shelf.carry(asyncio.create_task(self.finish()))
        else:
            self._end(problem)

    def _end(self, problem: BaseException | None = None) -> None:
        self._in_time()
        if self._reading is not None:
            self._reading.cancel()
            self._reading.add_done_callback(_heed)
        self._reply.close(problem)
        shelf, self._shelf = self._shelf, None
        if shelf is not None:
            shelf.keep(
                self._reply.end(),
                self.headers,
                event_stream=self.is_event_stream,
                simulated=self._reply.simulated,
            )


def _heed(reading: asyncio.Task[Any]) -> None:
    """What broke it is in the record."""
    if not reading.cancelled():
        reading.exception()


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
