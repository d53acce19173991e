"""What every engine of jobs does. One suite; an engine joins by adding itself to `ENGINES` of the harness."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs_harness import ENGINES, Bench, Hand, engine_url, expire, held, open_engine, unix_ms

from trimtab.errors import Conflict, NotFound, StoreError
from trimtab.jobs import JobId, NewJob
from trimtab.store import Database, Transaction
from trimtab.store.jobs import Begun, Claimed, Ended, Held, Recorded, Undone, Wait
from trimtab.store.jobs.claiming import LOSSES_MAX


@pytest.fixture(params=ENGINES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return engine_url(request.param, tmp_path, lambda: request.getfixturevalue("postgres_store"))


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = open_engine(url)
    yield opened
    opened.close()


@pytest.fixture
def bench(database: Database) -> Bench:
    return Bench(database)


@pytest.fixture
def hand(database: Database) -> Hand:
    return Hand(database)


def ids(claimed: list[Claimed]) -> list[JobId]:
    return [one.job.id for one in claimed]


def one(claimed: list[Claimed]) -> Held:
    assert len(claimed) == 1
    return held(claimed[0])


# --- storing ---


def test_a_job_is_as_it_was_stored(bench: Bench) -> None:
    new = NewJob(
        kind="k\u00e4se",
        input=b'{"a": "\\u0000"}',
        owner="team 'a'",
        queue="q",
        priority=-3,
        unique_key="once?",
        max_attempts=2,
        backoff_ms=7,
    )
    job = bench.job(bench.board.enqueue(new))
    for name in ("kind", "input", "owner", "queue", "priority", "unique_key", "max_attempts", "backoff_ms"):
        assert getattr(job, name) == getattr(new, name)
    assert (job.state, job.epoch, job.attempts, job.worker, job.result) == ("ready", 0, 0, None, None)


def test_a_second_job_of_one_kind_and_key_is_the_first(bench: Bench, hand: Hand) -> None:
    first = bench.enqueue(unique_key="u", input=b"1")
    assert bench.enqueue(unique_key="u", input=b"2") == first
    assert bench.enqueue("other", unique_key="u") != first
    hand.end(one(hand.claim()))
    assert bench.enqueue(unique_key="u") == first, "also after it is done"
    assert bench.job(first).input == b"1"


def test_many_askers_with_one_key_at_once_get_one_job(bench: Bench) -> None:
    found: list[JobId] = []
    threads = [threading.Thread(target=lambda: found.append(bench.enqueue(unique_key="u"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_jobs_are_listed_newest_first_by_what_is_asked(bench: Bench, hand: Hand) -> None:
    a, b, c = bench.enqueue(owner="x"), bench.enqueue("other"), bench.enqueue(queue="q")
    assert [job.id for job in bench.board.newest(2)] == [c, b]
    assert [job.id for job in bench.board.newest(9, kind="k")] == [c, a]
    assert [job.id for job in bench.board.newest(9, kind="k", owner="x", state="ready")] == [a]
    assert not bench.board.newest(9, state="failed")
    hand.claim()
    assert bench.board.counts() == {("default", "ready"): 1, ("default", "running"): 1, ("q", "ready"): 1}


# --- order and limits ---


def test_order_is_priority_then_age(bench: Bench, hand: Hand) -> None:
    a, b = bench.enqueue(), bench.enqueue()
    first, last = bench.enqueue(priority=-1), bench.enqueue(priority=1)
    assert [ids(hand.claim())[0] for _ in range(4)] == [first, a, b, last]
    assert hand.claim() == []


def test_an_owner_with_a_long_queue_does_not_starve_another(bench: Bench, hand: Hand) -> None:
    for _ in range(20):
        bench.enqueue(owner="big")
    bench.enqueue(owner="small")
    bench.enqueue(owner="small")
    owners = [hand.claim()[0].job.owner for _ in range(6)]
    assert owners == ["big", "small", "big", "small", "big", "big"]


def test_one_claim_of_many_is_as_fair_as_many_of_one(bench: Bench, hand: Hand) -> None:
    for owner in ("a", "b", "c"):
        for kind in ("k", "l"):
            bench.board.enqueue_many([NewJob(kind=kind, owner=owner) for _ in range(6)])
    claimed = hand.claim(12, kinds=("k", "l"))
    assert Counter(one.job.owner for one in claimed) == {"a": 4, "b": 4, "c": 4}
    assert Counter((one.job.owner, one.job.kind) for one in claimed) == dict.fromkeys(
        ((owner, kind) for owner in "abc" for kind in "kl"), 2
    )
    assert len(hand.claim(100, kinds=("k", "l"))) == 24, "what one lane lacks goes to the others"


def test_a_claim_takes_only_its_kinds_and_queues(bench: Bench, hand: Hand) -> None:
    bench.enqueue("unknown", priority=-5)
    bench.enqueue(queue="elsewhere")
    mine = bench.enqueue()
    assert ids(hand.claim(9)) == [mine]
    assert len(hand.claim(9, queue="elsewhere")) == 1


def test_a_job_does_not_run_before_its_time(bench: Bench, hand: Hand) -> None:
    later = bench.enqueue(run_at_ms=unix_ms() + 3_600_000)
    assert hand.claim() == []
    assert not hand.exchange.anything_due(("default",))
    assert bench.state(later) == "ready"


@pytest.mark.parametrize("scope", ["queue", "kind", "owner"])
def test_a_limit_holds_over_all_workers_and_is_filled(bench: Bench, database: Database, scope: str) -> None:
    bench.board.set_limit(scope, {"queue": "default", "kind": "k", "owner": "o"}[scope], 3)  # type: ignore[arg-type]
    bench.board.enqueue_many([NewJob(kind="k", owner="o") for _ in range(10)])
    hands = [Hand(database, f"w{n}") for n in range(4)]
    claimed = [(hand, one) for hand in hands for one in hand.claim(2)]
    assert len(claimed) == 3
    hand, first = claimed[0]
    hand.end(held(first))
    assert len(hands[3].claim(5)) == 1


def test_limits_hold_while_workers_claim_at_the_same_moment(bench: Bench, url: str) -> None:
    bench.board.set_limit("owner", "*", 2)
    bench.board.set_limit("owner", "big", 5)
    bench.board.set_limit("kind", "l", 3)
    for owner in ("big", "a", "b", "c"):
        for kind in ("k", "l"):
            bench.board.enqueue_many([NewJob(kind=kind, owner=owner) for _ in range(30)])
    start, claimed = threading.Barrier(4), list[Claimed]()
    databases = [open_engine(url) for _ in range(4)]

    def work(n: int) -> None:
        hand = Hand(databases[n], f"w{n}")
        start.wait()
        for _ in range(10):
            claimed.extend(hand.claim(2, kinds=("k", "l")))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        database.close()
    assert Counter(one.job.owner for one in claimed) == {"big": 5, "a": 2, "b": 2, "c": 2}
    assert Counter(one.job.kind for one in claimed)["l"] <= 3
    assert len({one.job.id for one in claimed}) == 11


def test_a_limit_of_nothing_starts_nothing_and_removing_it_lets_go(bench: Bench, hand: Hand) -> None:
    job = bench.enqueue()
    bench.board.set_limit("queue", "default", 0)
    assert hand.claim() == []
    assert [(limit.scope, limit.name, limit.max_running) for limit in bench.board.limits()] == [
        ("queue", "default", 0)
    ]
    assert bench.board.remove_limit("queue", "default")
    assert not bench.board.remove_limit("queue", "default")
    assert ids(hand.claim()) == [job]


# --- leases and fencing ---


def test_a_lease_that_ran_out_is_taken_over_and_the_first_holder_can_record_nothing(
    bench: Bench, database: Database, hand: Hand
) -> None:
    job = bench.enqueue()
    zombie = one(hand.claim())
    assert hand.record(zombie, "a")
    expire(database, job)
    other = Hand(database, "other")
    taken = other.claim()
    assert (taken[0].job.epoch, [step.name for step in taken[0].steps]) == (2, ["a"])
    assert not hand.record(zombie, "b", 2)
    assert not hand.end(zombie)
    assert hand.renew(zombie) == {}
    assert [taken.held for taken in hand.say(Begun(zombie, "c", 2), Wait(zombie, "d", 3, None, 1))] == [
        False
    ] * 2
    assert bench.state(job) == "running"
    assert [step.name for step in bench.board.steps(job)] == ["a"]
    assert other.record(held(taken[0]), "b", 2)
    assert other.end(held(taken[0]), result=b"5")
    assert (bench.state(job), bench.job(job).result) == ("done", b"5")


def test_a_worker_that_takes_its_own_job_again_is_fenced_by_the_epoch(
    bench: Bench, database: Database, hand: Hand
) -> None:
    job = bench.enqueue()
    old = one(hand.claim())
    expire(database, job)
    new = one(hand.claim())
    assert (old.job, old.epoch + 1) == (new.job, new.epoch)
    assert not hand.record(old, "a")
    assert hand.record(new, "a")


def test_renewal_keeps_a_job_and_tells_what_people_want(bench: Bench, database: Database, hand: Hand) -> None:
    job = bench.enqueue()
    holder = one(hand.claim())
    expire(database, job)
    assert hand.renew(holder) == {job: (1, None)}
    assert Hand(database, "other").claim() == []
    bench.board.cancel(job)
    assert hand.renew(holder) == {job: (1, "cancel")}


def test_a_job_taken_over_comes_before_what_was_stored_after_it(
    bench: Bench, database: Database, hand: Hand
) -> None:
    first = bench.enqueue()
    hand.claim()
    bench.board.enqueue_many([NewJob(kind="k") for _ in range(5)])
    expire(database, first)
    assert ids(hand.claim()) == [first]


def test_a_job_that_kills_its_workers_fails_unless_it_gets_on(
    bench: Bench, database: Database, hand: Hand
) -> None:
    job, moving = bench.enqueue(), bench.enqueue("moving")
    for n in range(LOSSES_MAX + 3):
        hand.claim(1)
        hand.record(one(hand.claim(1, kinds=("moving",))), f"s{n}", n + 1)
        expire(database, job)
        expire(database, moving)
    hand.claim(0)
    assert bench.state(job) == "failed"
    assert "10 workers in a row" in bench.job(job).error
    assert bench.state(moving) == "ready"


def test_a_finished_step_is_not_overwritten(bench: Bench, hand: Hand) -> None:
    job = bench.enqueue()
    holder = one(hand.claim())
    assert hand.record(holder, "a", 1, b"1")
    assert hand.record(holder, "a", 1, b"2"), "the same commit, retried"
    assert [(step.name, step.n, step.result) for step in bench.board.steps(job)] == [("a", 1, b"1")]


def test_entries_of_one_exchange_do_not_harm_one_another(
    bench: Bench, database: Database, hand: Hand
) -> None:
    jobs = [bench.enqueue() for _ in range(4)]
    claimed = [held(one) for one in hand.claim(4)]

    def broken(transaction: Transaction) -> None:
        transaction.change("INSERT INTO job_limits (scope, name, max_running) VALUES ('kind', 'x', 1)")
        raise ValueError("no")

    def whole(transaction: Transaction) -> None:
        transaction.change("INSERT INTO job_limits (scope, name, max_running) VALUES ('kind', 'y', 1)")

    expire(database, jobs[3])
    thief = Hand(database, "thief")
    assert ids(thief.claim()) == [jobs[3]]
    taken = hand.say(
        Recorded(claimed[0], "s", 1, b"0"),
        Recorded(claimed[1], "s", 1, b"1", broken),
        Recorded(claimed[2], "s", 1, b"2", whole),
        Recorded(claimed[3], "s", 1, b"3"),
        Ended(claimed[0], "done"),
    )
    assert [one.held for one in taken] == [True, True, True, False, True]
    assert isinstance(taken[1].problem, ValueError)
    assert [len(bench.board.steps(job)) for job in jobs] == [1, 0, 1, 0]
    assert [limit.name for limit in bench.board.limits()] == ["y"]


def test_writes_along_with_a_step_stand_once_although_its_commit_is_repeated(
    bench: Bench, hand: Hand
) -> None:
    bench.enqueue()
    holder = one(hand.claim())
    calls = []
    entry = Recorded(holder, "s", 1, b"1", lambda transaction: calls.append(transaction.now_ms()))
    hand.say(entry)
    hand.say(entry)
    assert len(calls) == 1


def test_a_begun_step_stays_in_the_journal_until_its_result_or_its_withdrawal(
    bench: Bench, hand: Hand
) -> None:
    job = bench.enqueue()
    holder = one(hand.claim())
    hand.say(Begun(holder, "pay", 1))
    assert [(step.name, step.state) for step in bench.board.steps(job)] == [("pay", "intent")]
    hand.say(Undone(holder, "pay"))
    assert bench.board.steps(job) == ()
    hand.say(Begun(holder, "pay", 1), Recorded(holder, "pay", 1, b"7"), Undone(holder, "pay"))
    assert [(step.state, step.result) for step in bench.board.steps(job)] == [("done", b"7")]


def test_a_process_frozen_in_the_middle_of_a_claim_does_not_hold_up_others_for_long(
    postgres_url: str,
) -> None:
    """PostgreSQL only: a SQLite file has one writer, see docs/jobs.md."""
    frozen, well = open_engine(postgres_url), open_engine(postgres_url)
    job = Bench(well).enqueue()
    inside, thaw = threading.Event(), threading.Event()
    problems: list[Exception] = []

    def freeze(transaction: Transaction) -> None:
        transaction.row("SELECT one FROM job_turn FOR UPDATE")
        inside.set()
        thaw.wait(60)

    def work() -> None:
        try:
            frozen.write(freeze)
        except StoreError as problem:
            problems.append(problem)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(60)
    assert ids(Hand(well).claim()) == [job]
    thaw.set()
    thread.join()
    assert len(problems) == 1, "it has lost its transaction"
    frozen.close()
    well.close()


# --- waiting ---


def test_an_event_wakes_a_job_that_waits_for_it_and_only_that(bench: Bench, hand: Hand) -> None:
    job = bench.enqueue()
    wait = Wait(one(hand.claim()), "#wait ok", 1, "ok", None)
    assert hand.say(wait)[0].wait == "waiting"
    assert (bench.state(job), bench.job(job).waiting_for, bench.job(job).worker) == ("waiting", "ok", None)
    bench.board.signal(job, "other", 1)
    assert bench.state(job) == "waiting"
    bench.board.signal(job, "ok", {"by": "ann"})
    again = hand.claim()
    assert [step.state for step in again[0].steps] == ["waiting"]
    wait = Wait(held(again[0]), "#wait ok", 1, "ok", None)
    taken = hand.say(wait)[0]
    assert (taken.wait, taken.payload) == ("event", b'{"by":"ann"}')
    assert hand.say(wait)[0].payload == b'{"by":"ann"}', "the same commit, retried, takes no second event"


def test_events_that_come_before_the_wait_are_kept_in_order(bench: Bench, hand: Hand) -> None:
    job = bench.enqueue()
    for n in (1, 2):
        bench.board.signal(job, "e", n)
    holder = one(hand.claim())
    got = [hand.say(Wait(holder, f"w{n}", n, "e", None))[0] for n in (1, 2, 3)]
    assert [(taken.wait, taken.payload) for taken in got] == [
        ("event", b"1"),
        ("event", b"2"),
        ("waiting", None),
    ]


def test_a_wait_ends_at_the_time_it_was_first_given(bench: Bench, database: Database, hand: Hand) -> None:
    job = bench.enqueue()
    holder = one(hand.claim())
    assert hand.say(Wait(holder, "w", 1, "e", None, 3_600_000))[0].wait == "waiting"
    assert hand.claim() == []
    database.write(lambda tx: tx.change("UPDATE jobs SET due_ms = 1 WHERE id = ?", (job,)))
    database.write(lambda tx: tx.change("UPDATE job_steps SET until_ms = 1 WHERE job = ?", (job,)))
    again = one(hand.claim())
    assert hand.say(Wait(again, "w", 1, "e", None, 3_600_000))[0].wait == "timeout"
    bench.board.signal(job, "e")
    assert hand.say(Wait(again, "w", 1, "e", None, 3_600_000))[0].wait == "timeout", (
        "what is journalled stays"
    )


def test_a_finished_job_takes_no_event_and_an_unknown_one_is_told(bench: Bench, hand: Hand) -> None:
    job = bench.enqueue()
    hand.end(one(hand.claim()))
    with pytest.raises(Conflict, match="is done"):
        bench.board.signal(job, "e")
    for call in (
        bench.board.cancel,
        bench.board.pause,
        bench.board.resume,
        bench.board.retry,
        bench.board.fork,
    ):
        with pytest.raises(NotFound, match="no job 'x'"):
            call("x")
    with pytest.raises(NotFound):
        bench.board.signal("x", "e")


# --- people ---


@pytest.mark.parametrize("state", ["ready", "waiting", "paused"])
def test_what_does_not_run_is_cancelled_at_once(bench: Bench, hand: Hand, state: str) -> None:
    job = bench.enqueue()
    if state == "waiting":
        hand.say(Wait(one(hand.claim()), "w", 1, "e", None))
    if state == "paused":
        bench.board.pause(job)
    assert bench.board.cancel(job) == "cancelled"
    assert bench.board.cancel(job) == "cancelled", "again is the same"
    assert hand.claim() == []
    assert bench.job(job).finished_ms is not None


def test_what_runs_is_told_to_stop_and_is_stopped_even_if_its_worker_dies(
    bench: Bench, database: Database, hand: Hand
) -> None:
    told, orphan, paused = (bench.enqueue() for _ in range(3))
    holders = {one.job.id: held(one) for one in hand.claim(3)}
    assert bench.board.cancel(told) == "running"
    assert hand.say(Recorded(holders[told], "s", 1, b"1"))[0].wanted == "cancel"
    assert hand.end(holders[told], "cancelled")
    bench.board.cancel(orphan)
    with pytest.raises(Conflict, match="being cancelled"):
        bench.board.pause(orphan)
    bench.board.pause(paused)
    expire(database, orphan)
    expire(database, paused)
    hand.claim(9)
    assert [bench.state(job) for job in (told, orphan, paused)] == ["cancelled", "cancelled", "paused"]
    with pytest.raises(Conflict):
        bench.board.pause(told)


def test_a_paused_job_goes_on_where_it_was(bench: Bench, hand: Hand) -> None:
    job = bench.enqueue()
    assert bench.board.pause(job) == "paused"
    assert hand.claim() == []
    assert bench.board.resume(job) == "ready"
    holder = one(hand.claim())
    hand.record(holder, "a")
    assert bench.board.pause(job) == "running"
    assert bench.board.resume(job) == "running"
    assert hand.renew(holder) == {job: (1, None)}
    bench.board.pause(job)
    hand.end(holder, "paused")
    bench.board.signal(job, "e", 5)
    bench.board.resume(job)
    again = hand.claim()
    assert [step.name for step in again[0].steps] == ["a"]
    assert hand.say(Wait(held(again[0]), "w", 2, "e", None))[0].payload == b"5"
    with pytest.raises(Conflict, match="only paused"):
        bench.board.resume(job)


def test_a_failed_job_is_retried_without_its_finished_steps(bench: Bench, hand: Hand) -> None:
    job = bench.enqueue()
    with pytest.raises(Conflict, match="is ready"):
        bench.board.retry(job)
    holder = one(hand.claim())
    hand.record(holder, "a")
    hand.end(holder, "failed", error="E: broken", attempts=5)
    assert (bench.job(job).error, bench.job(job).attempts) == ("E: broken", 5)
    bench.board.retry(job)
    found = bench.job(job)
    assert (found.state, found.attempts, found.error, found.finished_ms) == ("ready", 0, None, None)
    assert [step.name for step in hand.claim()[0].steps] == ["a"]


def test_a_person_decides_about_steps_of_unknown_outcome(bench: Bench, hand: Hand) -> None:
    job = bench.enqueue()
    holder = one(hand.claim())
    hand.say(Begun(holder, "pay", 1), Begun(holder, "mail", 2), Ended(holder, "failed", error="?"))
    with pytest.raises(Conflict, match="no step 'x'"):
        bench.board.retry(job, repeat=["pay", "x"])
    assert len(bench.board.steps(job)) == 2, "all or nothing"
    bench.board.retry(job, repeat=["pay"], outcomes={"mail": {"id": 7}})
    assert [(step.name, step.state, step.result) for step in bench.board.steps(job)] == [
        ("mail", "done", b'{"id":7}')
    ]


def test_a_fork_has_the_journal_up_to_a_step(bench: Bench, hand: Hand) -> None:
    job = bench.enqueue(input=b'"x"', owner="o", priority=2)
    holder = one(hand.claim())
    for n, name in enumerate(("a", "b", "c"), 1):
        hand.record(holder, name, n, name.encode())
    hand.say(Begun(holder, "d", 4))
    fork = bench.board.fork(job, "c")
    whole = bench.board.fork(job)
    with pytest.raises(Conflict, match="no step 'zz'"):
        bench.board.fork(job, "zz")
    found = bench.job(fork)
    assert (found.forked_from, found.forked_at, found.input, found.owner, found.priority, found.state) == (
        *(job, "c", b'"x"', "o", 2, "ready"),
    )
    claimed = {one.job.id: one for one in hand.claim(5)}
    assert [(step.name, step.result) for step in claimed[fork].steps] == [("a", b"a"), ("b", b"b")]
    assert [step.name for step in claimed[whole].steps] == ["a", "b", "c"]
    assert bench.state(job) == "running", "the first goes on"


def test_finished_jobs_are_deleted_with_their_journals_and_no_others(bench: Bench, hand: Hand) -> None:
    jobs = [bench.enqueue(unique_key=str(n)) for n in range(5)]
    holders = [held(one) for one in hand.claim(3)]
    for holder in holders:
        hand.record(holder, "a")
        bench.board.signal(holder.job, "e")
    for holder in holders[:2]:
        hand.end(holder)
    bench.board.cancel(jobs[4])
    assert bench.board.sweep(unix_ms() - 60_000) == 0
    assert bench.board.sweep(unix_ms() + 60_000) == 3
    assert sorted(job.id for job in bench.board.newest(9)) == jobs[2:4]
    assert [len(bench.board.steps(job)) for job in jobs] == [0, 0, 1, 0, 0]
    assert bench.enqueue(unique_key="0") not in jobs, "the key is free again"


# --- schedules ---


def test_a_due_time_is_fired_once_whoever_looks(bench: Bench, database: Database) -> None:
    bench.board.put_schedule("s", "every 10s", NewJob(kind="tick", input=b"5", owner="o"))
    assert bench.board.fire_due() == 0
    database.write(lambda tx: tx.change("UPDATE job_schedules SET next_ms = next_ms - 10000"))
    fired: list[int] = []
    threads = [threading.Thread(target=lambda: fired.append(bench.board.fire_due())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(fired) == 1
    (job,) = bench.board.newest(9)
    assert (job.kind, job.input, job.owner) == ("tick", b"5", "o")
    assert bench.board.schedules()[0].next_ms > unix_ms()


@pytest.mark.parametrize(("missed", "jobs"), [("skip", 0), ("once", 1)])
def test_times_that_passed_while_nobody_looked(
    bench: Bench, database: Database, missed: str, jobs: int
) -> None:
    bench.board.put_schedule("s", "0 0 1 1 *", NewJob(kind="k"), missed=missed)  # type: ignore[arg-type]
    three_years = 3 * 366 * 86_400_000
    database.write(lambda tx: tx.change("UPDATE job_schedules SET next_ms = next_ms - ?", (three_years,)))
    assert bench.board.fire_due() == jobs
    assert bench.board.fire_due() == 0
    assert bench.board.schedules()[0].next_ms > unix_ms()


def test_a_schedule_is_paused_resumed_replaced_and_removed(bench: Bench, database: Database) -> None:
    bench.board.put_schedule("s", "every 10s", NewJob(kind="k"))
    bench.board.change_schedule("s", "pause")
    database.write(lambda tx: tx.change("UPDATE job_schedules SET next_ms = 5"))
    assert bench.board.fire_due() == 0
    bench.board.put_schedule("s", "every 10s", NewJob(kind="other"), missed="once")
    (found,) = bench.board.schedules()
    assert (found.paused, found.next_ms, found.job.kind) == (True, 5, "other")
    bench.board.change_schedule("s", "resume")
    assert bench.board.fire_due() == 1
    bench.board.put_schedule("s", "every 3600s", NewJob(kind="k"))
    assert bench.board.schedules()[0].rule == "every 3600s"
    bench.board.change_schedule("s", "remove")
    assert bench.board.schedules() == []
    with pytest.raises(NotFound, match="no schedule 's'"):
        bench.board.change_schedule("s", "resume")
