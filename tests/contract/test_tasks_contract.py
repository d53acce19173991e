"""Budgets of tasks in the store, on both engines: held once, settled once, whoever says so and whoever dies."""

import asyncio
import itertools
import random
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from trimtab.admin import TaskAdmin, Visitor
from trimtab.admin.task_words import NewTask
from trimtab.app.housekeeping import Turn
from trimtab.app.tasks import StoreThreads, forgetting_tasks
from trimtab.budgets.tasks import TaskAsk, TaskGrant, TaskKeeper
from trimtab.budgets.tasks.changing import cancel
from trimtab.budgets.tasks.keeping import change, count_in, keep_new, present
from trimtab.budgets.tasks.making import new_task
from trimtab.budgets.tasks.model import Task
from trimtab.catalogue import Arm
from trimtab.errors import (
    Conflict,
    NotFound,
    RateLimited,
    StoreError,
    TaskBudgetSpent,
    TaskEnded,
    Unavailable,
)
from trimtab.messages import Usage
from trimtab.records import Attempt, Caller, Intent, Outcome, Plan, RequestId, TaskSpent, new_request_id
from trimtab.store import Database, StoreSettings, open_database, open_store
from trimtab.store.backup import make_backup, restore_backup
from trimtab.store.limits import forget_worker
from trimtab.store.tasks import KeptTask, events_of, see_task, settle_hold

T = TypeVar("T")
MINE = Caller(key="key_1", organisation="acme")
OTHER = Caller(key="key_2", organisation="acme")


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def settings(either_store: str, tmp_path: Path) -> StoreSettings:
    return StoreSettings(url=either_store, batch_ms=5, journal=str(tmp_path / "journal"))


def make(database: Database, identity: str = "task_1", total: int = 100_000, **more: Any) -> None:
    task, events = new_task(identity, total, at_ms=1, **more)
    kept = KeptTask(
        id=identity,
        key=MINE.key,
        organisation=MINE.organisation,
        team="",
        user="",
        state="",
        created_ms=clock_ms(),
        changed_ms=clock_ms(),
        detail=b"",
    )
    database.write(lambda t: keep_new(t, kept, task, events))


def now(database: Database, identity: str = "task_1") -> Task:
    seen = database.read(lambda t: see_task(t, identity))
    assert seen is not None
    return present(seen)


def wanted(request: str, **more: Any) -> TaskAsk:
    fields: dict[str, Any] = {
        "task": "task_1",
        "caller": MINE,
        "input_estimate": 1000,
        "max_tokens": 500,
        **more,
    }
    return TaskAsk(request_id=RequestId(request), **fields)


class Process:
    """A serving process, as far as tasks are concerned."""

    def __init__(self, database: Database, worker: str, wait_s: float = 30.0) -> None:
        self.threads = StoreThreads(database)
        self.keeper = TaskKeeper(self.threads, worker, wait_s=wait_s)

    async def settled(self, grant: TaskGrant, spent: TaskSpent) -> None:
        self.keeper.settle(grant, spent)
        assert await self.keeper.aclose(30) == 0


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def test_a_call_holds_what_it_may_use_and_settles_once_whoever_is_first(
    open_one: Callable[[], Database],
) -> None:
    database = open_one()
    make(database)
    process = Process(database, "w")

    async def calls() -> None:
        grant = await process.keeper.begin(wanted("r1", conversation="c"))
        assert (grant.phase, grant.max_tokens, grant.left_tokens, grant.phase_left) == (
            "analysis",
            500,
            100_000,
            20_000,
        )
        assert grant.first_of_task
        assert now(database).held == 1500
        # The record's writer is first: what it says stands.
        assert database.write(lambda t: settle_hold(t, "r1", TaskSpent(900, 100, 7)))
        assert (now(database).spent, now(database).held) == (1000, 0)
        await process.settled(grant, TaskSpent(900, 499, 9))
        assert not database.write(lambda t: settle_hold(t, "r1", TaskSpent(5000, 5000, 5000)))
        again = await process.keeper.begin(wanted("r2", conversation="c", input_estimate=1100))
        assert not again.first_of_task
        assert again.left_tokens == 99_000
        await process.settled(again, TaskSpent(1100, 50, 3))  # 100 of it are new

    run(calls())
    task = now(database)
    assert (task.spent, task.held, task.spent_nanousd) == (1150, 0, 10)
    assert database.read(lambda t: t.row("SELECT count(*) FROM task_holds")) == (0,)
    told = [event.kind for event in database.read(lambda t: events_of(t, "task_1", 0))]
    assert told == ["created"] * 4 + ["phase", "reserved", "settled", "reserved", "settled"]
    process.threads.close()


def test_no_other_key_and_no_other_total_gets_in(open_one: Callable[[], Database]) -> None:
    database = open_one()
    make(database)
    process = Process(database, "w")

    async def refused(ask: TaskAsk, kind: type[Exception]) -> str:
        with pytest.raises(kind) as problem:
            await process.keeper.begin(ask)
        return str(problem.value)

    async def calls() -> None:
        told = await refused(wanted("r", caller=OTHER), NotFound)
        assert told == await refused(wanted("r", task="task_1", caller=Caller(key="key_1")), NotFound)
        assert told.replace("task_1", "task_9") == await refused(wanted("r", task="task_9"), NotFound)
        told = await refused(wanted("r", total=90_000), Conflict)
        assert "its total is 100,000 tokens and this request says 90,000" in told
        await process.keeper.begin(wanted("r", total=100_000))
        database.write(
            lambda t: change(t, "task_1", "w", lambda kept, task, at: (cancel(task, at), "", None))
        )
        await refused(wanted("r2"), TaskEnded)

    run(calls())
    process.threads.close()


def test_many_processes_and_calls_together_stay_within_the_total(
    open_one: Callable[[], Database],
) -> None:
    """500 calls of 4 processes on 8 tasks, given up, settled twice, by others, or never: nothing passes, nothing leaks."""
    database = open_one()
    totals = {f"task_{n}": 12_000 + 3_000 * n for n in range(8)}
    for name, total in totals.items():
        make(database, name, total, strategy=("prioritize_quality", "prioritize_completion")[total % 2])
    over: list[str] = []

    async def one(process: Process, chance: random.Random, n: int, worker: str) -> None:
        name = f"task_{chance.randrange(8)}"
        ask = wanted(
            f"{worker}-{n}",
            task=name,
            phase=chance.choice(["", "analysis", "tools", "verification", "report"]),
            conversation=chance.choice(["a", "b"]),
            input_estimate=chance.randrange(600),
            max_tokens=chance.randrange(1, 3000),
        )
        begun = asyncio.ensure_future(process.keeper.begin(ask))
        if chance.random() < 0.15:  # the client goes away
            await asyncio.sleep(0)
            begun.cancel()
        try:
            grant = await begun
        except (TaskBudgetSpent, RateLimited, asyncio.CancelledError):
            return
        fate = chance.random()
        if fate < 0.1:
            return  # its process dies with it
        spent = TaskSpent(ask.input_estimate, chance.randrange(grant.max_tokens + 1), chance.randrange(9))
        if fate < 0.3:
            await asyncio.to_thread(database.write, lambda t: settle_hold(t, grant.request_id, spent))
        process.keeper.settle(grant, spent)
        task = await asyncio.to_thread(now, database, name)
        if task.spent + task.held > task.total or task.overshoot:
            over.append(str(task))

    def work(worker: str) -> None:
        chance = random.Random(worker)
        with closing(open_database_of(open_one)) as own:
            process = Process(own, worker)

            async def all_of_it() -> None:
                pending = {asyncio.ensure_future(one(process, chance, n, worker)) for n in range(125)}
                await asyncio.gather(*pending)
                assert await process.keeper.aclose(60) == 0

            asyncio.run(all_of_it())
            process.threads.close()
        dead = worker in ("w1", "w3")  # their journals are gone
        database.write(lambda t: forget_worker(t, worker, spent=dead))

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not over
    for name, total in totals.items():
        database.write(lambda t, name=name: count_in(t, name, "w"))
        task = now(database, name)
        assert task.held == 0
        assert not task.holds
        assert not task.overshoot
        assert 0 < task.spent <= total
        events = database.read(lambda t, name=name: events_of(t, name, 0, 100_000))
        assert [event.n for event in events] == list(range(1, len(events) + 1))
        moved: dict[str, int] = {}
        for event in events:
            if event.kind in ("created", "moved"):
                moved[event.phase] = moved.get(event.phase, 0) + event.tokens
                moved[event.source] = moved.get(event.source, 0) - event.tokens
        assert {phase.name: phase.budget for phase in task.phases} == {k: v for k, v in moved.items() if k}
        reserved = {event.request for event in events if event.kind == "reserved"}
        settled = [event.request for event in events if event.kind == "settled"]
        assert sorted(settled) == sorted(reserved)
        assert sum(event.tokens for event in events if event.kind == "settled") == task.spent
    assert database.read(lambda t: t.row("SELECT count(*) FROM task_holds")) == (0,)


def open_database_of(open_one: Callable[[], Database]) -> Database:
    return open_one()


def outcome(request: str, **more: Any) -> Outcome:
    attempt = Attempt(platform="p", model="m", result="ok", usage=Usage(input_tokens=10, cache_read_input_tokens=690, output_tokens=50), cost_nanousd=5, cost_source="reported")  # fmt: skip
    return Outcome(
        id=RequestId(request), at_ms=clock_ms(), purpose="live", surface="messages", endpoint="messages",
        requested_model="m", session="s", result="ok", status=200, stream=False, attempts=(attempt,),
        cost_nanousd=5, key=MINE.key, task="task_1", phase="analysis", **more,
    )  # fmt: skip


def test_the_writer_settles_what_the_process_did_not_and_a_dead_process_counts_in_full(
    settings: StoreSettings, open_one: Callable[[], Database]
) -> None:
    database = open_one()
    make(database)
    process = Process(database, "w")

    async def calls() -> None:
        for n in range(4):
            await process.keeper.begin(
                wanted(f"{n:032x}", conversation="c", input_nanousd=1000, output_nanousd=1)
            )

    run(calls())
    store = open_store(settings, clock_ms=clock_ms, on_problem=None, worker="v")
    store.put(outcome(f"{0:032x}"))
    plan = Plan(arm=Arm("m"), platform="p")
    died = Intent(
        id=RequestId(f"{1:032x}"), at_ms=clock_ms(), purpose="live", endpoint="messages", requested_model="m",
        session="s", plan=plan, model="m", reserved_nanousd=77, key=MINE.key, task="task_1", phase="analysis",
    )  # fmt: skip
    store.put(died.outcome(), recovered=True)
    assert store.close(30) == 0
    task = now(database)
    assert task.spent == 750 + 1500
    assert task.spent_nanousd == 5 + 77
    assert len(task.holds) == 2
    database.write(lambda t: forget_worker(t, "w", spent=True))
    task = now(database)
    assert (task.spent, task.held) == (750 + 3 * 1500, 0)
    assert task.spent_nanousd == 5 + 77 + 2 * 1500
    process.threads.close()


def test_a_backup_brings_tasks_back_with_what_was_held_as_spent(
    settings: StoreSettings, open_one: Callable[[], Database], tmp_path: Path
) -> None:
    database = open_one()
    make(database)
    process = Process(database, "w")
    run(process.keeper.begin(wanted("r1")))
    process.threads.close()
    before = database.read(lambda t: events_of(t, "task_1", 0))
    make_backup(settings, tmp_path / "b", clock_ms=clock_ms)
    other = msgspec.structs.replace(settings, url=f"sqlite:///{tmp_path}/restored.db")
    restore_backup(other, tmp_path / "b", clock_ms=clock_ms)
    with closing(open_database(other, clock_ms=clock_ms)) as restored:
        assert restored.read(lambda t: events_of(t, "task_1", 0)) == before
        task = now(restored)
        assert (task.spent, task.held, task.total) == (1500, 0, 100_000)


def test_a_store_that_is_away_or_slow_lets_no_call_of_a_task_through(
    open_one: Callable[[], Database],
) -> None:
    database = open_one()
    make(database)
    process = Process(database, "w", wait_s=0.2)
    hurry, go_on = threading.Event(), threading.Event()

    def sit(transaction: Any) -> None:
        transaction.row("SELECT 1 FROM tasks" + (" FOR UPDATE" if transaction.words.lock_row else ""))
        hurry.set()
        go_on.wait(60)

    thread = threading.Thread(target=lambda: database.write(sit))

    async def calls() -> None:
        thread.start()
        await asyncio.to_thread(hurry.wait, 60)
        with pytest.raises(Unavailable, match="no task runs without one"):
            await process.keeper.begin(wanted("late"))
        go_on.set()
        thread.join()
        # What came too late is given back: nothing of it is left once the store answers again.
        deadline = time.monotonic() + 60
        while True:
            await process.keeper.aclose(60)
            task = await asyncio.to_thread(now, database)
            if not task.held:
                break
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert task.spent == 0

    run(calls())
    process.threads.close()
    stopped = Process(database, "w")
    stopped.threads.close()

    async def stopping() -> None:
        with pytest.raises((StoreError, Unavailable)):
            await stopped.keeper.begin(wanted("r"))

    run(stopping())


def test_tasks_that_nobody_touches_are_deleted_with_their_events(open_one: Callable[[], Database]) -> None:
    database = open_one()
    for n in range(3):
        make(database, f"task_{n}")
    process = Process(database, "w")
    run(process.keeper.begin(wanted("r1", task="task_1")))
    process.threads.close()
    database.write(lambda t: t.change("UPDATE tasks SET changed_ms = 5 WHERE id <> 'task_2'"))
    (chore,) = forgetting_tasks(database, 30)
    assert chore.work(Turn("w", lambda s: False))
    left = database.read(lambda t: t.rows("SELECT id FROM tasks ORDER BY id"))
    assert left == [("task_1",), ("task_2",)]  # one is in use
    assert database.read(lambda t: events_of(t, "task_0", 0)) == []
    assert forgetting_tasks(database, 0) == []


class TasksOfKeys(RuleBasedStateMachine):
    """Two keys make, close and cancel tasks at two doors, one of which was given a lower bound later."""

    database: Database
    runs = itertools.count()
    moments = itertools.count(1)

    def __init__(self) -> None:
        super().__init__()
        self.random = random.Random(1)
        self.run = next(self.runs)
        self.cancelled: set[str] = set()
        self.open: dict[str, list[str]] = {"key_1": [], "key_2": []}
        self.ended: dict[str, list[str]] = {"key_1": [], "key_2": []}

    def door(self, most: int) -> TaskAdmin:
        at = next(self.moments)
        return TaskAdmin(self.database, lambda: new_request_id(at, self.random.getrandbits), most=most)

    def visitor(self, key: str) -> Visitor:
        return Visitor(Caller(key=key, organisation=f"org-{self.run}"))

    @rule(key=st.sampled_from(["key_1", "key_2"]), most=st.sampled_from([2, 4]))
    def make(self, key: str, most: int) -> None:
        mine, ended = self.open[key], self.ended[key]
        if len(mine) >= most:
            with pytest.raises(Conflict, match=f"{most} tasks are neither closed .*store.tasks_per_key"):
                self.door(most).add(self.visitor(key), NewTask(total=10_000))
            return
        mine.append(self.door(most).add(self.visitor(key), NewTask(total=10_000)).id)
        # Closed ones go before cancelled ones, of each the first that was made.
        ended.sort(key=lambda name: (name in self.cancelled, name))
        del ended[: max(0, len(ended) - most)]

    @precondition(lambda self: any(self.open.values()))
    @rule(data=st.data(), cancels=st.booleans())
    def end(self, data: st.DataObject, cancels: bool) -> None:
        key = data.draw(st.sampled_from([key for key, names in self.open.items() if names]))
        name = data.draw(st.sampled_from(self.open[key]))
        door = self.door(4)
        (door.cancel if cancels else door.close)(self.visitor(key), name)
        self.open[key].remove(name)
        self.ended[key].append(name)
        if cancels:
            self.cancelled.add(name)

    @invariant()
    def what_is_kept_is_what_should_be(self) -> None:
        for key in self.open:
            kept = [one.id for one in self.door(4).tasks(self.visitor(key))]
            assert sorted(kept) == sorted([*self.open[key], *self.ended[key]])


def test_a_key_has_no_more_tasks_than_it_may_and_of_those_that_ended_the_newest_stay(
    open_one: Callable[[], Database],
) -> None:
    class Here(TasksOfKeys):
        database = open_one()

    run_state_machine_as_test(
        Here,
        settings=hypothesis.settings(max_examples=8, stateful_step_count=30, deadline=None, database=None),
    )


def test_tasks_that_are_made_at_once_are_no_more_than_a_key_may_have(
    open_one: Callable[[], Database],
) -> None:
    databases = [open_one(), open_one()]
    databases[0].write(
        lambda t: t.change(
            "INSERT INTO keys (id, version, name, organisation, team, user_name, created_ms, admin, limits, labels) "
            "VALUES ('key_1', 1, 'a', 'acme', '', '', 1, 0, '{}', '{}')"
        )
    )
    refused = list[str]()
    ids = random.Random(1)

    def make(n: int) -> None:
        door = TaskAdmin(databases[n % 2], lambda: new_request_id(n, ids.getrandbits), most=5)
        for _ in range(4):
            try:
                door.add(Visitor(MINE), NewTask(total=10_000))
            except Conflict as problem:
                refused.append(str(problem))

    threads = [threading.Thread(target=make, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert databases[0].read(lambda t: t.rows("SELECT count(*) FROM tasks")) == [(5,)]
    assert len(refused) == 19
