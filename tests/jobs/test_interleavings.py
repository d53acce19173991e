"""Workers that freeze, die, wake up and speak out of turn, in any order: what may never happen."""

import contextlib
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from jobs_harness import Bench, Hand, expire, held, open_engine
from searches import examples

from trimtab.errors import Conflict
from trimtab.jobs import JobId
from trimtab.store.jobs import Held, Wait

WORKERS = ("w1", "w2", "w3")
OWNERS = ("a", "b", "c")
KINDS = ("k", "l")
LIMITS = {("owner", "a"): 2, ("kind", "l"): 3, ("queue", "default"): 5}


class Known:
    """What the model knows of a job."""

    def __init__(self, owner: str, kind: str, priority: int) -> None:
        self.owner, self.kind, self.priority = owner, kind, priority
        self.state = "ready"
        self.epoch = 0
        self.worker = ""
        self.steps: dict[str, int] = {}
        """The epoch that recorded each."""
        self.events = 0
        self.waited = 0
        self.expired = False


class Interleavings(RuleBasedStateMachine):
    """Every claim stays in the hands of its worker for ever, so each step may be a zombie's."""

    url: ClassVar[str | None] = None
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self._stack = contextlib.ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        self.database = open_engine(self.url or f"sqlite:///{Path(folder)}/jobs.db")
        self._stack.callback(self.database.close)
        for table in ("jobs", "job_steps", "job_events", "job_limits"):
            self.database.write(lambda tx, table=table: tx.change(f"DELETE FROM {table}"))  # type: ignore[misc]
        self.bench = Bench(self.database)
        self.hands = {name: Hand(self.database, name) for name in WORKERS}
        self.known: dict[JobId, Known] = {}
        for (scope, name), most in LIMITS.items():
            self.bench.board.set_limit(scope, name, most)  # type: ignore[arg-type]

    def teardown(self) -> None:
        self._stack.close()

    def running(self) -> list[Known]:
        return [job for job in self.known.values() if job.state == "running"]

    def valid(self, worker: str, claim: Held) -> bool:
        job = self.known[claim.job]
        return job.state == "running" and job.epoch == claim.epoch and job.worker == worker

    @rule(
        owner=st.sampled_from(OWNERS),
        kind=st.sampled_from(KINDS),
        priority=st.sampled_from([0, 0, 1]),
        n=st.integers(1, 3),
    )
    def enqueue(self, owner: str, kind: str, priority: int, n: int) -> None:
        for _ in range(n):
            job = self.bench.enqueue(kind, owner=owner, priority=priority)
            self.known[job] = Known(owner, kind, priority)

    def see_to_expired(self) -> None:
        for job in self.known.values():
            if job.state == "running" and job.expired:
                job.state, job.worker, job.expired = "ready", "", False

    def room(self, job: Known) -> bool:
        counts: Counter[tuple[str, str]] = Counter()
        for other in self.running():
            counts.update([("owner", other.owner), ("kind", other.kind), ("queue", "default")])
        return all(
            counts[scope] < LIMITS.get(scope, 1_000)
            for scope in (("owner", job.owner), ("kind", job.kind), ("queue", "default"))
        )

    @rule(target=claims, worker=st.sampled_from(WORKERS))
    def claim(self, worker: str) -> tuple[str, Held | None]:
        """One at a time, so that the model can say which it must be."""
        place = {job.id: (job.run_at_ms, job.id) for job in self.bench.board.newest(500)}
        claimed = self.hands[worker].claim(1, kinds=KINDS)
        self.see_to_expired()
        could = [job for job in self.known.values() if job.state == "ready" and self.room(job)]
        if not could:
            assert claimed == []
            return worker, None
        (one,) = claimed
        job = self.known[one.job.id]
        assert job in could, "a limit is exceeded, or it was not ready"
        best = min(other.priority for other in could)
        assert job.priority == best
        of_owner = Counter(other.owner for other in self.running())
        assert of_owner[job.owner] == min(of_owner[other.owner] for other in could if other.priority == best)
        alike = [
            place[name]
            for name, other in self.known.items()
            if other in could
            and (other.priority, other.owner, other.kind) == (job.priority, job.owner, job.kind)
        ]
        assert place[one.job.id] == min(alike), "the oldest first"
        assert one.job.epoch == job.epoch + 1
        assert {step.name for step in one.steps if step.state == "done"} == set(job.steps), (
            "the journal is what was recorded, no more and no less"
        )
        job.state, job.epoch, job.worker, job.expired = "running", one.job.epoch, worker, False
        return worker, held(one)

    @rule(claim=claims, name=st.sampled_from("xyz"))
    def record(self, claim: tuple[str, Held | None], name: str) -> None:
        worker, holder = claim
        if holder is None:
            return
        job = self.known[holder.job]
        may = self.valid(worker, holder)
        assert self.hands[worker].record(holder, name, result=str(holder.epoch).encode()) == may
        if may:
            job.steps.setdefault(name, holder.epoch)

    @rule(claim=claims)
    def renew(self, claim: tuple[str, Held | None]) -> None:
        worker, holder = claim
        if holder is None:
            return
        renewed = self.hands[worker].renew(holder)
        assert (holder.job in renewed) == self.valid(worker, holder)
        if renewed:
            self.known[holder.job].expired = False

    @rule(claim=claims, state=st.sampled_from(["done", "failed", "cancelled", "ready", "paused"]))
    def end(self, claim: tuple[str, Held | None], state: str) -> None:
        worker, holder = claim
        if holder is None:
            return
        may = self.valid(worker, holder)
        assert self.hands[worker].end(holder, state) == may
        if may:
            self.known[holder.job].state = state

    @rule(claim=claims)
    def wait(self, claim: tuple[str, Held | None]) -> None:
        worker, holder = claim
        if holder is None:
            return
        job = self.known[holder.job]
        may = self.valid(worker, holder)
        name = f"wait {job.waited}"
        (taken,) = self.hands[worker].say(Wait(holder, name, 9, "e", None))
        assert taken.held == may
        if not may:
            return
        if job.events:
            assert taken.wait == "event"
            job.events -= 1
            job.steps[name] = holder.epoch
            job.waited += 1
        else:
            assert taken.wait == "waiting"
            job.state = "waiting"

    @rule(data=st.data())
    def signal(self, data: st.DataObject) -> None:
        if not self.known:
            return
        name = data.draw(st.sampled_from(sorted(self.known)))
        job = self.known[name]
        if job.state in ("done", "failed", "cancelled"):
            with pytest.raises(Conflict):
                self.bench.board.signal(name, "e")
            return
        self.bench.board.signal(name, "e")
        job.events += 1
        if job.state == "waiting":
            job.state = "ready"

    @rule(data=st.data())
    def freeze(self, data: st.DataObject) -> None:
        """A worker says nothing for longer than its lease."""
        running = [name for name, job in self.known.items() if job.state == "running"]
        if running:
            name = data.draw(st.sampled_from(sorted(running)))
            expire(self.database, name)
            self.known[name].expired = True

    @rule(data=st.data(), what=st.sampled_from(["cancel", "pause", "resume", "retry"]))
    def people(self, data: st.DataObject, what: str) -> None:
        idle = [name for name, job in self.known.items() if job.state != "running"]
        if not idle:
            return
        name = data.draw(st.sampled_from(sorted(idle)))
        job = self.known[name]
        allowed = {
            "cancel": ("ready", "waiting", "paused", "cancelled"),
            "pause": ("ready", "waiting", "paused"),
            "resume": ("paused",),
            "retry": ("failed", "cancelled"),
        }[what]
        call: Any = getattr(self.bench.board, what)
        if job.state not in allowed:
            with pytest.raises(Conflict):
                call(name)
            return
        call(name)
        job.state = {"cancel": "cancelled", "pause": "paused"}.get(what, "ready")

    @invariant()
    def what_is_stored_is_what_was_allowed(self) -> None:
        for job in self.bench.board.newest(500):
            known = self.known[job.id]
            assert job.state == known.state
            recorded = {
                step.name: step.epoch for step in self.bench.board.steps(job.id) if step.state == "done"
            }
            assert recorded == known.steps
        counts: Counter[tuple[str, str]] = Counter()
        for job_known in self.running():
            counts.update([("owner", job_known.owner), ("kind", job_known.kind), ("queue", "default")])
        assert all(counts[scope] <= most for scope, most in LIMITS.items())


def test_on_sqlite() -> None:
    run_state_machine_as_test(
        Interleavings, settings=settings(max_examples=examples(15, of=40), stateful_step_count=40)
    )


def test_on_postgresql(postgres_store: str) -> None:
    class OnPostgres(Interleavings):
        url = postgres_store

    run_state_machine_as_test(
        OnPostgres, settings=settings(max_examples=examples(8, of=15), stateful_step_count=30)
    )
