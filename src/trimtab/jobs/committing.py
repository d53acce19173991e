"""Group commit and heartbeat: the one thread of a worker process that talks to the store for its jobs.

What it is not: a decision about a job. Invariants: what arrives while a commit runs goes into the next one, so a disk
flush is shared by all jobs of the process; an entry is answered once, and only after its commit; while the store does
not answer entries wait, until the lease of their job has run out by our own clock, which is never later than by the
database's.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from trimtab.errors import StoreError
from trimtab.jobs.seam import Exchange
from trimtab.store.jobs import LOST, Answer, Claimed, Entry, Held, Taken, Wish

BATCH_MAX = 500
"""Entries in one commit."""

BEATS_A_LEASE = 3

RETRY_FIRST_S, RETRY_MAX_S = 0.1, 1.0
"""Between tries while the store does not answer."""

Reason: TypeAlias = Literal["lost", "cancel", "pause", "waiting", "hand back"]
"""Why a handler must stop."""


class Lease:
    """A job that this process holds."""

    def __init__(self, held: Held, until: float) -> None:
        self.held = held
        self.until = until
        """By the monotonic clock of this process; moved on by each renewal."""
        self.stop: Callable[[Reason], None] | None = None
        """Called on the event loop when the handler must stop."""


class _Request:
    def __init__(self, entry: Entry, lease: Lease, future: "asyncio.Future[Taken]") -> None:
        self.entry = entry
        self.lease = lease
        self.future = future


_Claim: TypeAlias = tuple[Wish, "asyncio.Future[list[tuple[Claimed, Lease]]]"]
_Answers: TypeAlias = list[tuple["asyncio.Future[Any]", Any]]


class Committer:
    """Used from one event loop."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        lease_s: float,
        on_problem: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._exchange = exchange
        self._lease_s = lease_s
        self._on_problem = on_problem
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._requests: deque[_Request] = deque()
        self._claim: _Claim | None = None
        self._leases: dict[str, Lease] = {}
        self._closing = False
        self._trouble = False
        self._kept: deque[_Request] = deque()
        """What the store did not answer; thread only, as is all below."""
        self._retry_s = RETRY_FIRST_S
        self._next_beat = 0.0
        self._thread = threading.Thread(target=self._work, name="trimtab-jobs", daemon=True)

    def start(self) -> None:
        """Call on the event loop that will use it."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def submit(self, entry: Entry, lease: Lease) -> "asyncio.Future[Taken]":
        """Commit an entry of a job that is held; resolves after the commit. Never raises."""
        future: asyncio.Future[Taken] = self._loop.create_future()
        with self._changed:
            self._requests.append(_Request(entry, lease, future))
            self._changed.notify()
        return future

    def claim(self, wish: Wish) -> "asyncio.Future[list[tuple[Claimed, Lease]]]":
        """Take jobs; one call at a time. Raises `StoreError`."""
        future: asyncio.Future[list[tuple[Claimed, Lease]]] = self._loop.create_future()
        with self._changed:
            self._claim = (wish, future)
            self._changed.notify()
        return future

    def forget(self, lease: Lease) -> None:
        """No more heartbeats for it."""
        with self._changed:
            self._leases.pop(lease.held.job, None)

    async def aclose(self) -> None:
        """Commit what waits, if the store answers, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)

    # --- the thread ---

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._something_to_do, timeout=self._wait_s())
                if self._closing and not self._requests and not self._kept:
                    return
                leases = list(self._leases.values())
                claim, requests = self._claim, []
                if not self._kept:  # else they wait their turn
                    requests = [self._requests.popleft() for _ in range(min(BATCH_MAX, len(self._requests)))]
                    self._claim = None
            if self._kept:
                self._catch_up(leases)
            elif requests or claim or self._monotonic() >= self._next_beat:
                self._turn(requests, claim, leases)

    def _something_to_do(self) -> bool:
        return not self._kept and bool(self._requests or self._claim or self._closing)

    def _wait_s(self) -> float:
        if self._kept:
            return self._retry_s
        return max(0.0, self._next_beat - self._monotonic())

    def _turn(self, requests: Sequence[_Request], claim: _Claim | None, leases: Sequence[Lease]) -> None:
        beat: Sequence[Lease] = ()
        if self._monotonic() >= self._next_beat:
            beat = leases
            if not leases:
                self._beaten()
        answers: _Answers
        try:
            # A read does not prove that the store can be written, so it is not asked while that is in doubt.
            if claim is not None and not requests and not self._trouble and not self._due(claim):
                self._resolve([(claim[1], [])])
                claim = None
            if not requests and claim is None and not beat:
                return
            answer, claimed = self._talk([request.entry for request in requests], beat, claim)
        except StoreError as problem:
            self._failed(problem)
            self._kept.extend(requests)
            if claim is not None:
                self._resolve([(claim[1], problem)])
            return
        except Exception as problem:  # not the store's: whoever asked must see it, and this thread must go on
            answers = [(request.future, Taken(held=True, problem=problem)) for request in requests]
            self._resolve(answers + ([(claim[1], problem)] if claim is not None else []))
            self._beaten()
            return
        self._answers_again()
        answers = [(request.future, taken) for request, taken in zip(requests, answer.taken, strict=True)]
        if claim is not None:
            answers.append((claim[1], claimed))
        self._resolve(answers)

    def _due(self, claim: _Claim) -> bool:
        return self._exchange.anything_due(claim[0].queues)

    def _talk(
        self, entries: Sequence[Entry], beat: Sequence[Lease], claim: _Claim | None
    ) -> tuple[Answer, list[tuple[Claimed, Lease]]]:
        """One exchange; leases count from before it."""
        until = self._monotonic() + self._lease_s
        answer = self._exchange.exchange(
            entries, [lease.held for lease in beat], claim[0] if claim is not None else None
        )
        for lease in beat:
            epoch, wanted = answer.renewed.get(lease.held.job, (None, None))
            if epoch == lease.held.epoch:
                lease.until = until
                if wanted is not None:
                    self._stop(lease, wanted)
            else:
                self._stop(lease, "lost")
        if beat:
            self._beaten()
        claimed = [(taken, Lease(Held(taken.job.id, taken.job.epoch), until)) for taken in answer.claimed]
        with self._changed:
            self._leases.update((lease.held.job, lease) for _, lease in claimed)
        return answer, claimed

    def _beaten(self) -> None:
        self._next_beat = self._monotonic() + self._lease_s / BEATS_A_LEASE

    def _stop(self, lease: Lease, reason: Reason) -> None:
        if lease.stop is not None:
            self._call(lease.stop, reason)

    def _catch_up(self, leases: Sequence[Lease]) -> None:
        """After trouble: see that the store answers, then one entry at a time, so that a bad one hurts only itself."""
        now = self._monotonic()
        if self._closing:
            self._resolve([(request.future, LOST) for request in self._kept])
            self._kept.clear()
            return
        late = [request for request in self._kept if request.lease.until <= now]
        self._kept = deque(request for request in self._kept if request.lease.until > now)
        self._resolve([(request.future, LOST) for request in late])
        try:
            self._talk((), leases, None)
            while self._kept:
                request = self._kept[0]
                try:
                    answer, _ = self._talk((request.entry,), (), None)
                    taken = answer.taken[0]
                except StoreError as problem:
                    self._talk((), leases, None)  # else it is not the entry's fault
                    taken = Taken(held=True, problem=problem)
                self._kept.popleft()
                self._resolve([(request.future, taken)])
        except StoreError as problem:
            self._failed(problem)
            return
        self._answers_again()

    def _failed(self, problem: StoreError) -> None:
        if self._trouble:
            self._retry_s = min(RETRY_MAX_S, self._retry_s * 2)
        else:
            self._trouble = True
            self._on_problem(f"jobs wait: {problem}")
        # Beats go on at the pace of the retries; `_kept` may be empty.
        self._next_beat = self._monotonic() + self._retry_s

    def _answers_again(self) -> None:
        if self._trouble:
            self._trouble = False
            self._retry_s = RETRY_FIRST_S
            self._on_problem("jobs go on: the store answers again")

    def _resolve(self, answers: _Answers) -> None:
        if answers:
            self._call(_settle, answers)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more


def _settle(answers: _Answers) -> None:
    for future, value in answers:
        if future.done():
            continue
        if isinstance(value, Exception):
            future.set_exception(value)
        else:
            future.set_result(value)
