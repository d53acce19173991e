"""What a handler sees of its job: its input, journalled steps, waits.

What it is not: the worker that runs it. Invariants: a step whose result is in the journal is never run again; a step
that must not be repeated and whose result is not known is never repeated silently; a handler that has lost its job
can record nothing more.

A handler may be run any number of times: after a crash, a pause, a wait or a failed attempt it starts from its top,
and its steps give back what they gave before. So it must reach the same steps by the same names; what it does between
steps must be free of effects.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from trimtab.errors import JobFailed, LeaseLost, UnknownOutcome
from trimtab.jobs.committing import Committer, Lease, Reason
from trimtab.store.database import Transaction
from trimtab.store.jobs import Begun, Claimed, Entry, Held, Job, Recorded, Step, Taken, Undone, Wait

T = TypeVar("T")

NAME_MAX = 200


class Run:
    """One run of a handler. Lives on the event loop."""

    def __init__(self, lease: Lease, committer: Committer) -> None:
        self.lease = lease
        self.reason: Reason | None = None
        """Why it must stop; the first reason stands, but a lost lease goes over everything."""
        self.task: asyncio.Task[Any] | None = None
        self._committer = committer
        lease.stop = self.stop

    def stop(self, reason: Reason) -> None:
        """Make the handler see `CancelledError` where it waits."""
        if self.reason is None and self.task is not None and not self.task.done():
            self.task.cancel()
        if self.reason is None or reason == "lost":
            self.reason = reason

    def check(self) -> None:
        """Raise if the handler must stop."""
        if self.reason == "lost":
            raise LeaseLost(f"job {self.lease.held.job}: another worker may have it; this one must stop")
        if self.reason is not None:
            raise asyncio.CancelledError(self.reason)

    async def record(self, entry: Entry) -> Taken:
        """Commit an entry. Raises `LeaseLost`, or what the entry's own writes raised."""
        self.check()
        taken = await self._committer.submit(entry, self.lease)
        if not taken.held:
            self.stop("lost")
            self.check()
        if taken.problem is not None:
            raise taken.problem
        if taken.wanted is not None:
            self.stop(taken.wanted)
        return taken


class JobContext:
    """Passed to a handler."""

    def __init__(self, claimed: Claimed, run: Run) -> None:
        self.job: Job = claimed.job
        self._run = run
        self._journal: dict[str, Step] = {step.name: step for step in claimed.steps}
        self._n = max((step.n for step in claimed.steps), default=0)
        self._used: Counter[str] = Counter()

    @property
    def held(self) -> Held:
        """Job and epoch, for writes elsewhere that a later holder must be able to override."""
        return self._run.lease.held

    def read(self, kind: Callable[..., T] | Any = Any) -> Any:
        """The job's input, decoded from JSON as a type. Raises `JobFailed` if it is not one."""
        try:
            return msgspec.json.decode(self.job.input, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise JobFailed(f"job {self.job.id}: its input does not fit: {problem}") from None

    async def step(
        self,
        name: str,
        work: Callable[[], Awaitable[Any]],
        *,
        returns: Any = Any,
        repeatable: bool = True,
        unless: tuple[type[Exception], ...] = (),
        if_unknown: Callable[[], Awaitable[Any]] | None = None,
        with_transaction: Callable[[Transaction, Any], None] | None = None,
    ) -> Any:
        """Do `work` once, journal its result durably, and give it back, here and on every later run.

        The result passes through JSON, also the first time; `returns` is the type to read it as. A second step of the
        same name in one run is journalled as `name#2`. If `work` raises, nothing is journalled and a later attempt
        does it again. `with_transaction` makes further writes in the commit of the result; it may be called more than
        once, of which one stands.

        `repeatable=False` is for work that must not happen twice: it is journalled before and after. If it was begun
        and its result is not known, `if_unknown` is called to find out (it may also do the work again); without it
        `UnknownOutcome` is raised, which fails the job for a person to decide. Exceptions of the types in `unless`
        prove that `work` did nothing.

        Raises `LeaseLost`, and `asyncio.CancelledError` when the job is to stop. Cost: one commit, shared with other
        jobs; two if not repeatable.
        """
        self._run.check()
        key = self._key(_checked(name))
        known = self._journal.get(key)
        if known is not None and known.state not in ("done", "intent"):
            raise JobFailed(
                f"job {self.job.id}: {key!r} was a wait when it first ran; the handler has changed"
            )
        if known is not None and known.state == "done":
            return _decoded(self.job, key, known.result or b"", returns)
        begun = known is not None
        if begun and if_unknown is None:
            raise UnknownOutcome(self.job.id, key)
        n = known.n if known is not None else self._next()
        if not repeatable and not begun:
            await self._record(Begun(self.held, key, n))
        try:
            value = await (work() if not begun or if_unknown is None else if_unknown())
        except unless:
            if not repeatable and not begun:
                await self._record(Undone(self.held, key))
            raise
        result = msgspec.json.encode(value)
        value = _decoded(self.job, key, result, returns)
        along = None
        if with_transaction is not None:
            write = with_transaction

            def along(transaction: Transaction) -> None:
                write(transaction, value)

        await self._record(Recorded(self.held, key, n, result, along))
        return value

    async def wait_for(self, event: str, *, timeout_s: float | None = None, returns: Any = Any) -> Any:
        """The payload of the oldest event of this name that no wait has taken; frees the worker until there is one.

        The time of `timeout_s` runs from the first time the wait is reached; then `TimeoutError` is raised, here and
        on every later run. Steps that run beside a wait are cut off when the worker is freed, so await them first.
        """
        key = self._key(f"#wait {_checked(event)}")
        until = None if timeout_s is None else round(timeout_s * 1_000)
        payload = await self._wait(key, event, None, until)
        if payload is None:
            raise TimeoutError(f"job {self.job.id}: no event {event!r} came in time")
        return _decoded(self.job, key, payload, returns)

    async def sleep_until(self, unix_ms: int) -> None:
        """Free the worker until a time by the database's clock."""
        await self._wait(self._key("#sleep until"), None, unix_ms, None)

    async def sleep(self, seconds: float) -> None:
        """Free the worker for a time, counted from the first time that this is reached."""
        await self._wait(self._key("#sleep for"), None, None, round(seconds * 1_000))

    async def _wait(
        self, key: str, event: str | None, until_ms: int | None, for_ms: int | None
    ) -> bytes | None:
        self._run.check()
        known = self._journal.get(key)
        if known is not None and known.state == "intent":
            raise JobFailed(
                f"job {self.job.id}: {key!r} was a step when it first ran; the handler has changed"
            )
        if known is not None and known.state in ("done", "timeout"):
            return known.result
        n = known.n if known is not None else self._next()
        taken = await self._record(Wait(self.held, key, n, event, until_ms, for_ms))
        if taken.wait == "waiting":
            self._run.stop("waiting")
            await asyncio.sleep(0)  # raises here in the handler's own task
            self._run.check()
        return taken.payload

    async def _record(self, entry: Entry) -> Taken:
        taken = await self._run.record(entry)
        if taken.wanted is not None:
            await asyncio.sleep(
                0
            )  # what was asked of the job reaches the handler here, after its step is recorded
            self._run.check()
        return taken

    def _next(self) -> int:
        self._n += 1
        return self._n

    def _key(self, name: str) -> str:
        # What we name ourselves begins with '#', which no name of a handler's holds, so no two keys are the same.
        self._used[name] += 1
        count = self._used[name]
        return name if count == 1 else f"{name}#{count}"


def _checked(name: str) -> str:
    if not 0 < len(name) <= NAME_MAX or not name.isprintable() or "#" in name:
        raise JobFailed(
            f"{name!r} cannot name a step or event; use 1 to {NAME_MAX} printable characters, none of them '#'"
        )
    return name


def _decoded(job: Job, key: str, result: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(result, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise JobFailed(f"job {job.id}: the result of {key!r} does not fit: {problem}") from None
