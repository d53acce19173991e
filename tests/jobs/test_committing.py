"""The thread that talks to the store, when the store does not answer or does not like what it hears."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from jobs_harness import run_async

from trimtab.errors import StoreError
from trimtab.jobs import Job, JobId
from trimtab.jobs.committing import Committer, Lease
from trimtab.store.jobs import Answer, Claimed, Entry, Held, Recorded, Taken, Wish


class FakeExchange:
    """An engine that does as it is told."""

    def __init__(self) -> None:
        self.recorded: list[str] = []
        self.batches: list[int] = []
        self.renewals = 0
        self.down = False
        self.refused: set[str] = set()
        self.crash: Exception | None = None
        self.held: dict[JobId, tuple[int, Any]] = {}
        self.to_claim: list[Claimed] = []
        self.gate: threading.Event | None = None
        self.at_gate = threading.Event()

    def anything_due(self, queues: Sequence[str]) -> bool:
        if self.down:
            raise StoreError("store x: is away")
        return bool(self.to_claim)

    def exchange(self, entries: Sequence[Entry], renew: Sequence[Held], wish: Wish | None) -> Answer:
        if self.gate is not None:
            self.at_gate.set()
            self.gate.wait(60)
        if self.down:
            raise StoreError("store x: is away")
        if self.crash is not None:
            raise self.crash
        if any(getattr(entry, "name", "") in self.refused for entry in entries):
            raise StoreError("store x: will not have it")
        self.batches.append(len(entries))
        self.recorded += [getattr(entry, "name", "") for entry in entries]
        self.renewals += bool(renew)
        claimed, self.to_claim = (self.to_claim, []) if wish is not None else ([], self.to_claim)
        for one in claimed:
            self.held[one.job.id] = (one.job.epoch, None)
        renewed = {held.job: self.held[held.job] for held in renew if held.job in self.held}
        return Answer([Taken(held=True) for _ in entries], renewed, claimed)


def claimed(name: str) -> Claimed:
    job = Job(
        id=JobId(name),
        kind="k",
        queue="q",
        owner="",
        priority=0,
        unique_key=None,
        state="running",
        wanted=None,
        run_at_ms=0,
        due_ms=0,
        epoch=1,
        worker="w",
        waiting_for=None,
        attempts=0,
        max_attempts=1,
        backoff_ms=0,
        losses=0,
        forked_from=None,
        forked_at=None,
        created_ms=0,
        updated_ms=0,
        finished_ms=None,
        input=b"null",
        result=None,
        error=None,
    )
    return Claimed(job, ())


WISH = Wish(("q",), frozenset("k"), 1)


def scene(
    play: Callable[[FakeExchange, Committer, Lease], Awaitable[None]], *, lease_s: float = 30
) -> tuple[FakeExchange, list[str]]:
    """One lease is held, then `play`."""
    exchange, problems = FakeExchange(), list[str]()
    exchange.to_claim = [claimed("j")]

    async def run() -> None:
        committer = Committer(exchange, lease_s=lease_s, on_problem=problems.append)
        committer.start()
        ((_, lease),) = await committer.claim(WISH)
        try:
            await play(exchange, committer, lease)
        finally:
            if exchange.gate is not None:
                exchange.gate.set()
            await committer.aclose()

    run_async(run())
    return exchange, problems


def step(name: str) -> Recorded:
    return Recorded(Held(JobId("j"), 1), name, 1, b"1")


def test_what_arrives_during_a_commit_goes_into_the_next_one_together() -> None:
    async def play(exchange: FakeExchange, committer: Committer, lease: Lease) -> None:
        exchange.gate = threading.Event()
        first = committer.submit(step("first"), lease)
        assert await asyncio.to_thread(exchange.at_gate.wait, 60)
        others = [committer.submit(step(f"s{n}"), lease) for n in range(9)]
        exchange.gate.set()
        assert all(taken.held for taken in await asyncio.gather(first, *others))
        assert exchange.batches[-2:] == [1, 9]

    scene(play)


def test_entries_wait_for_a_store_that_is_away_and_its_trouble_is_told_once() -> None:
    async def play(exchange: FakeExchange, committer: Committer, lease: Lease) -> None:
        exchange.down = True
        waiting = [committer.submit(step(name), lease) for name in ("a", "b", "c")]
        with pytest.raises(StoreError, match="away"):
            await committer.claim(WISH)
        await asyncio.sleep(0.3)
        assert not any(future.done() for future in waiting)
        exchange.down = False
        assert [taken.held for taken in await asyncio.gather(*waiting)] == [True] * 3

    exchange, problems = scene(play)
    assert sorted(exchange.recorded) == ["a", "b", "c"]
    assert problems == ["jobs wait: store x: is away", "jobs go on: the store answers again"]


def test_an_entry_that_the_store_refuses_hurts_only_itself() -> None:
    async def play(exchange: FakeExchange, committer: Committer, lease: Lease) -> None:
        exchange.refused = {"bad"}
        futures = [committer.submit(step(name), lease) for name in ("a", "bad", "b")]
        a, bad, b = await asyncio.gather(*futures)
        assert (a.problem, b.problem) == (None, None)
        assert isinstance(bad.problem, StoreError)
        assert bad.held

    exchange, _ = scene(play)
    assert exchange.recorded == ["a", "b"]


def test_an_entry_is_given_up_when_its_lease_has_run_out() -> None:
    async def play(exchange: FakeExchange, committer: Committer, lease: Lease) -> None:
        exchange.down = True
        assert (await committer.submit(step("a"), lease)).held is False

    exchange, _ = scene(play, lease_s=0.3)
    assert exchange.recorded == []


def test_a_surprise_is_told_to_whoever_asked_and_the_thread_goes_on() -> None:
    async def play(exchange: FakeExchange, committer: Committer, lease: Lease) -> None:
        exchange.crash = ZeroDivisionError()
        assert isinstance((await committer.submit(step("a"), lease)).problem, ZeroDivisionError)
        exchange.crash = None
        assert (await committer.submit(step("b"), lease)).problem is None

    scene(play)


def test_leases_are_renewed_three_times_as_often_as_they_run_out_although_the_loop_is_blocked() -> None:
    async def play(exchange: FakeExchange, committer: Committer, lease: Lease) -> None:
        before, until = exchange.renewals, lease.until
        threading.Event().wait(0.7)  # two leases: seven renewals where the machine keeps up
        assert exchange.renewals - before >= 3
        assert lease.until > until

    scene(play, lease_s=0.3)


def test_leases_are_renewed_although_the_worker_keeps_asking_for_more_jobs() -> None:
    async def play(exchange: FakeExchange, committer: Committer, lease: Lease) -> None:
        before = exchange.renewals
        for _ in range(40):
            assert await committer.claim(WISH) == []
            await asyncio.sleep(0.02)
        assert exchange.renewals - before >= 3

    scene(play, lease_s=0.3)


@pytest.mark.parametrize(
    ("held", "reason"),
    [({}, "lost"), ({JobId("j"): (2, None)}, "lost"), ({JobId("j"): (1, "pause")}, "pause")],
)
def test_a_heartbeat_tells_what_became_of_a_job(held: dict[JobId, Any], reason: str) -> None:
    async def play(exchange: FakeExchange, committer: Committer, lease: Lease) -> None:
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        lease.stop = lambda reason: None if told.done() else told.set_result(reason)
        exchange.held = held
        assert await told == reason

    scene(play, lease_s=0.3)


def test_closing_ends_although_the_store_is_away() -> None:
    async def play(exchange: FakeExchange, committer: Committer, lease: Lease) -> None:
        exchange.down = True
        committer.submit(step("a"), lease)

    exchange, _ = scene(play)
    assert exchange.recorded == []
