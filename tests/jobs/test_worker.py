"""What whoever writes a handler, and whoever runs workers, relies on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from jobs_harness import Bench, Hand, eventually, expire, held, run_async, unix_ms

from trimtab.errors import JobFailed, LeaseLost, RequestError, UnknownOutcome, UpstreamRefused
from trimtab.jobs import JobContext, NewJob
from trimtab.store import Transaction
from trimtab.store.jobs import Begun


class Answer(msgspec.Struct, frozen=True):
    text: str
    tokens: tuple[int, ...]


def giving(value: Any, log: list[Any] | None = None) -> Callable[[], Awaitable[Any]]:
    async def work() -> Any:
        if log is not None:
            log.append(value)
        return value

    return work


def test_the_result_of_a_handler_is_kept_and_input_is_read_as_a_type(bench: Bench) -> None:
    async def handler(context: JobContext) -> object:
        return {"got": context.read(list[int])}

    async def raw(context: JobContext) -> object:
        return b"\x00raw"

    a, b, c = bench.enqueue(input=b"[1,2]"), bench.enqueue("raw"), bench.enqueue(input=b'"text"')
    bench.work({"k": handler, "raw": raw}, bench.finished(a, b, c))
    assert bench.job(a).result == b'{"got":[1,2]}'
    assert bench.job(b).result == b"\x00raw"
    assert (bench.state(c), bench.job(c).attempts) == ("failed", 1)
    assert "does not fit" in bench.job(c).error
    assert bench.problems == []


def test_finished_steps_are_not_run_again_after_a_failed_attempt(bench: Bench) -> None:
    log: list[Any] = []
    seen: list[Any] = []

    async def handler(context: JobContext) -> object:
        for name in ("a", "b", "a"):
            seen.append(await context.step(name, giving(len(log), log)))
        if context.job.attempts < 2:
            raise OSError("try again")
        return await context.step("last", giving(9, log))

    job = bench.enqueue(backoff_ms=1)
    bench.work({"k": handler}, bench.finished(job))
    assert log == [0, 1, 2, 9]
    assert seen == [0, 1, 2] * 3
    assert [step.name for step in bench.board.steps(job)] == ["a", "b", "a#2", "last"]
    assert (bench.state(job), bench.job(job).attempts) == ("done", 2)


def test_a_step_gives_the_same_the_first_time_and_later(bench: Bench) -> None:
    seen: list[Any] = []

    async def handler(context: JobContext) -> None:
        answer = await context.step("model", giving(Answer("hi", (1, 2))), returns=Answer)
        plain = await context.step("plain", giving((1, {"a": None})))
        seen.append((answer, plain))
        if len(seen) == 1:
            raise OSError

    job = bench.enqueue(backoff_ms=1)
    bench.work({"k": handler}, bench.finished(job))
    assert seen == [(Answer("hi", (1, 2)), [1, {"a": None}])] * 2


def test_a_handler_that_always_raises_fails_after_its_attempts_and_says_why(bench: Bench) -> None:
    runs = []

    async def handler(context: JobContext) -> None:
        runs.append(context.job.attempts)
        raise ValueError("never \0 works")

    job = bench.enqueue(max_attempts=3, backoff_ms=1)
    bench.work({"k": handler}, bench.finished(job))
    assert runs == [0, 1, 2]
    assert bench.job(job).error == "ValueError: never \\0 works"


def test_attempts_wait_longer_and_longer(bench: Bench) -> None:
    async def handler(context: JobContext) -> None:
        raise ValueError("no")

    job = bench.enqueue(backoff_ms=3_600_000)
    bench.work({"k": handler}, lambda: bench.job(job).attempts == 1)
    found = bench.job(job)
    assert found.state == "ready"
    assert found.run_at_ms - found.updated_ms == 3_600_000


def test_job_failed_is_not_retried(bench: Bench) -> None:
    async def handler(context: JobContext) -> None:
        raise JobFailed("the file is gone")

    job = bench.enqueue()
    bench.work({"k": handler}, bench.finished(job))
    assert (bench.state(job), bench.job(job).attempts) == ("failed", 1)


def test_a_step_that_must_not_be_repeated_is_never_repeated_silently(bench: Bench) -> None:
    log: list[Any] = []

    async def handler(context: JobContext) -> object:
        async def pay() -> int:
            log.append("paid")
            raise OSError("cut in the middle")

        return await context.step("pay", pay, repeatable=False)

    job = bench.enqueue(backoff_ms=1)
    bench.work({"k": handler}, bench.finished(job))
    assert log == ["paid"]
    assert bench.state(job) == "failed"
    assert bench.job(job).error.startswith("UnknownOutcome: ")
    assert f"trimtab jobs retry {job}" in bench.job(job).error
    bench.board.retry(job, outcomes={"pay": 5})
    bench.work({"k": handler}, bench.finished(job))
    assert (log, bench.job(job).result) == (["paid"], b"5")


def test_a_handler_may_find_out_what_became_of_a_step(bench: Bench) -> None:
    log: list[str] = []

    async def handler(context: JobContext) -> object:
        async def pay() -> int:
            log.append("pay")
            raise OSError

        async def ask() -> str:
            log.append("ask")
            return "it was paid"

        return await context.step("pay", pay, repeatable=False, if_unknown=ask)

    job = bench.enqueue(backoff_ms=1)
    bench.work({"k": handler}, bench.finished(job))
    assert (log, bench.job(job).result) == (["pay", "ask"], b'"it was paid"')


def test_an_error_that_proves_that_nothing_happened_allows_another_try(bench: Bench) -> None:
    log: list[str] = []

    async def handler(context: JobContext) -> object:
        async def send() -> str:
            log.append("send")
            if len(log) == 1:
                raise UpstreamRefused("no connection")
            return "sent"

        return await context.step("send", send, repeatable=False, unless=(UpstreamRefused,))

    job = bench.enqueue(backoff_ms=1)
    bench.work({"k": handler}, bench.finished(job))
    assert (log, bench.job(job).result) == (["send", "send"], b'"sent"')


def test_a_worker_that_dies_within_such_a_step_leaves_it_to_be_decided(bench: Bench) -> None:
    caught: list[UnknownOutcome] = []

    async def handler(context: JobContext) -> object:
        try:
            return await context.step("pay", giving(1), repeatable=False)
        except UnknownOutcome as unknown:
            caught.append(unknown)
            return "told"

    job = bench.enqueue()
    dead = Hand(bench.database, "dead")
    dead.say(Begun(held(dead.claim()[0]), "pay", 1))
    expire(bench.database, job)
    bench.work({"k": handler}, bench.finished(job))
    assert (caught[0].step, bench.job(job).result) == ("pay", b'"told"')


def test_a_handlers_writes_commit_with_its_step(bench: Bench) -> None:
    def write(transaction: Transaction, value: Any) -> None:
        transaction.change(
            "INSERT INTO job_limits (scope, name, max_running) VALUES ('kind', 'score', ?)", (value,)
        )

    async def handler(context: JobContext) -> object:
        return await context.step("score", giving(7), with_transaction=write)

    async def enqueues(context: JobContext) -> object:
        follow = NewJob(kind="k", unique_key="follow")
        return await context.step(
            "next", giving(1), with_transaction=lambda tx, _: (bench.board.enqueue_in(tx, follow), None)[1]
        )

    job, other = bench.enqueue(), bench.enqueue("enqueues")
    bench.work({"k": handler, "enqueues": enqueues}, bench.finished(job, other))
    assert [limit.max_running for limit in bench.board.limits()] == [7]
    assert any(found.unique_key == "follow" for found in bench.board.newest(5))


def test_waiting_frees_the_worker_and_a_signal_goes_on(bench: Bench) -> None:
    log: list[Any] = []

    async def handler(context: JobContext) -> object:
        await context.step("before", giving("before", log))
        who = await context.wait_for("approve", returns=dict[str, str])
        again = await context.wait_for("approve", returns=dict[str, str])
        await context.step("after", giving("after", log))
        return [who["by"], again["by"]]

    async def other(context: JobContext) -> None:
        log.append("other")

    async def scene() -> None:
        worker = bench.worker({"k": handler, "other": other}, concurrency=1)
        task = asyncio.create_task(worker.run())
        job = bench.enqueue()
        await eventually(lambda: bench.state(job) == "waiting")
        await eventually(lambda: worker.running == 0)
        beside = bench.enqueue("other")
        await eventually(bench.finished(beside))
        await asyncio.to_thread(bench.board.signal, job, "approve", {"by": "ann"})
        await eventually(lambda: len(bench.board.steps(job)) == 3 and bench.state(job) == "waiting")
        await asyncio.to_thread(bench.board.signal, job, "approve", {"by": "bob"})
        await eventually(bench.finished(job))
        assert bench.job(job).result == b'["ann","bob"]'
        worker.stop()
        assert await task == 0

    run_async(scene())
    assert log == ["before", "other", "after"]


def test_a_wait_that_nobody_answers_times_out_and_stays_so(bench: Bench) -> None:
    seen = []

    async def handler(context: JobContext) -> object:
        try:
            await context.wait_for("approve", timeout_s=0.05)
        except TimeoutError:
            seen.append("late")
        if len(seen) == 1:
            raise OSError
        return "went on"

    job = bench.enqueue(backoff_ms=1)
    bench.work({"k": handler}, bench.finished(job))
    assert (seen, bench.job(job).result) == (["late", "late"], b'"went on"')


def test_sleeping_frees_the_worker_until_the_time_has_come(bench: Bench) -> None:
    woken = []

    async def handler(context: JobContext) -> object:
        await context.sleep(0.1)
        await context.sleep_until(5)
        woken.append(unix_ms())
        return None

    job = bench.enqueue()
    bench.work({"k": handler}, bench.finished(job))
    assert woken[0] - bench.job(job).created_ms >= 100
    assert bench.job(job).epoch == 2


def test_a_cancelled_job_stops_at_its_step_and_its_cleanup_runs(bench: Bench) -> None:
    log: list[str] = []

    async def handler(context: JobContext) -> None:
        try:
            while True:
                await context.step("turn", giving(1))
                await asyncio.sleep(0.001)
        finally:
            log.append("cleaned up")

    job, paused = bench.enqueue(), bench.enqueue("p")

    def begun() -> bool:
        if len(bench.board.steps(job)) < 2 or len(bench.board.steps(paused)) < 2:
            return False
        return bench.board.cancel(job) == "running" and bench.board.pause(paused) == "running"

    async def scene() -> None:
        worker = bench.worker({"k": handler, "p": handler})
        task = asyncio.create_task(worker.run())
        await eventually(begun)
        await eventually(lambda: (bench.state(job), bench.state(paused)) == ("cancelled", "paused"))
        worker.stop()
        await task

    run_async(scene())
    assert log == ["cleaned up", "cleaned up"]


def test_a_handler_without_steps_is_cancelled_by_the_heartbeat(bench: Bench) -> None:
    async def handler(context: JobContext) -> None:
        await asyncio.get_running_loop().create_future()

    job = bench.enqueue()

    async def scene() -> None:
        worker = bench.worker({"k": handler}, lease_s=1)
        task = asyncio.create_task(worker.run())
        await eventually(lambda: bench.state(job) == "running")
        await asyncio.to_thread(bench.board.cancel, job)
        await eventually(lambda: bench.state(job) == "cancelled")
        worker.stop()
        await task

    run_async(scene())


def test_a_handler_whose_job_was_taken_over_gets_lease_lost_and_records_nothing(bench: Bench) -> None:
    caught: list[BaseException] = []
    go_on = asyncio.Event()

    async def handler(context: JobContext) -> None:
        await context.step("a", giving(1))
        await go_on.wait()
        for name in ("b", "c"):
            try:
                await context.step(name, giving(2))
            except LeaseLost as lost:
                caught.append(lost)

    job = bench.enqueue()
    thief = Hand(bench.database, "thief")

    async def scene() -> None:
        worker = bench.worker({"k": handler}, lease_s=30)
        task = asyncio.create_task(worker.run())
        await eventually(lambda: len(bench.board.steps(job)) == 1)
        # Paused by hand, so that the worker itself does not take it again first.
        await asyncio.to_thread(bench.board.pause, job)
        await asyncio.to_thread(expire, bench.database, job)
        await asyncio.to_thread(thief.claim, 0)
        assert bench.state(job) == "paused"
        go_on.set()
        await eventually(lambda: worker.running == 0)
        worker.stop()
        await task

    run_async(scene())
    assert len(caught) == 2
    assert [step.name for step in bench.board.steps(job)] == ["a"]


def test_stopping_lets_jobs_finish_and_hands_back_what_takes_too_long(bench: Bench) -> None:
    release = asyncio.Event()

    async def soon(context: JobContext) -> None:
        await release.wait()

    async def never(context: JobContext) -> None:
        await context.step("a", giving(1))
        await asyncio.get_running_loop().create_future()

    short, long, unbegun = bench.enqueue("soon"), bench.enqueue("never"), None

    async def scene() -> int:
        nonlocal unbegun
        worker = bench.worker({"soon": soon, "never": never}, grace_s=60)
        task = asyncio.create_task(worker.run())
        await eventually(lambda: len(bench.board.steps(long)) == 1 and bench.state(short) == "running")
        worker.stop()
        unbegun = await asyncio.to_thread(bench.enqueue, "soon")
        release.set()
        await eventually(bench.finished(short))
        assert bench.state(long) == "running"
        worker.stop()  # a second signal ends the grace
        return await task

    assert run_async(scene()) == 1
    assert (bench.state(short), bench.state(long), bench.state(unbegun or "")) == ("done", "ready", "ready")
    found = bench.job(long)
    assert (found.attempts, found.worker) == (0, None)
    bench.work({"never": soon}, bench.finished(long))


def test_steps_of_many_jobs_share_commits(bench: Bench) -> None:
    exchanges: list[int] = []

    async def handler(context: JobContext) -> None:
        for n in range(10):
            await context.step("s", giving(n))

    jobs = bench.board.enqueue_many([NewJob(kind="k") for _ in range(16)])

    async def scene() -> None:
        worker = bench.worker({"k": handler}, concurrency=16)
        exchange = worker._committer._exchange
        talk = exchange.exchange

        def counted(entries: Any, renew: Any, wish: Any) -> Any:
            exchanges.append(len(entries))
            return talk(entries, renew, wish)

        exchange.exchange = counted  # type: ignore[method-assign]
        task = asyncio.create_task(worker.run())
        await eventually(bench.finished(*jobs))
        worker.stop()
        await task

    run_async(scene())
    assert sum(exchanges) == 16 * 11
    assert len([n for n in exchanges if n]) < 16 * 11 / 2


def test_steps_beside_one_another_have_names_of_their_own(bench: Bench) -> None:
    async def handler(context: JobContext) -> object:
        return await asyncio.gather(*(context.step("part", giving(n)) for n in range(5)))

    job = bench.enqueue()
    bench.work({"k": handler}, bench.finished(job))
    assert bench.job(job).result == b"[0,1,2,3,4]"
    assert {step.name for step in bench.board.steps(job)} == {"part", *(f"part#{n}" for n in range(2, 6))}


def test_a_fork_runs_again_from_a_step_on(bench: Bench) -> None:
    log: list[Any] = []

    async def handler(context: JobContext) -> object:
        return [await context.step(name, giving(name, log)) for name in ("a", "b", "c")]

    job = bench.enqueue()
    bench.work({"k": handler}, bench.finished(job))
    fork = bench.board.fork(job, "b")
    bench.work({"k": handler}, bench.finished(fork))
    assert log == ["a", "b", "c", "b", "c"]


def test_a_schedule_is_fired_by_a_worker(bench: Bench) -> None:
    async def handler(context: JobContext) -> None:
        pass

    bench.board.put_schedule("s", "every 3600s", NewJob(kind="k"), missed="once")
    bench.database.write(lambda tx: tx.change("UPDATE job_schedules SET next_ms = next_ms - 3600000"))
    bench.work({"k": handler}, lambda: [job.state for job in bench.board.newest(5)] == ["done"])


def test_what_cannot_be_stored_is_refused_with_the_value_and_a_remedy(bench: Bench) -> None:
    for change in (
        {"kind": ""},
        {"kind": "a\0b"},
        {"owner": "x" * 201},
        {"queue": "a\nb"},
        {"unique_key": ""},
        {"priority": 1_001},
        {"max_attempts": 0},
        {"backoff_ms": -1},
        {"run_at_ms": -1},
        {"input": b"x" * (16 * 1024 * 1024 + 1)},
    ):
        with pytest.raises(RequestError):
            bench.enqueue(**{"kind": "k", **change})
    with pytest.raises(RequestError, match="five"):
        bench.board.put_schedule("s", "whenever", NewJob(kind="k"))
    with pytest.raises(RequestError, match="'#'"):
        bench.board.signal("x", "a#b")


@pytest.mark.parametrize("name", ["", "a#2", "x" * 201, "a\nb"])
def test_a_step_name_that_could_be_confused_fails_the_job(bench: Bench, name: str) -> None:
    async def handler(context: JobContext) -> None:
        await context.step(name, giving(1))

    job = bench.enqueue()
    bench.work({"k": handler}, bench.finished(job))
    assert "cannot name a step" in bench.job(job).error


def test_a_result_that_json_cannot_hold_fails_the_job(bench: Bench) -> None:
    async def handler(context: JobContext) -> object:
        return object()

    job = bench.enqueue()
    bench.work({"k": handler}, bench.finished(job))
    assert "JSON cannot hold" in bench.job(job).error
