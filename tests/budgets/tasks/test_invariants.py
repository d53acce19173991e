"""Whatever happens to a task, in whatever order, its figures add up."""

from collections.abc import Sequence

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from trimtab.budgets.tasks.asking import Ask, Granted, Refused, ask
from trimtab.budgets.tasks.changing import cancel, close, extend, progress
from trimtab.budgets.tasks.making import NewPhase, new_task
from trimtab.budgets.tasks.model import MAX_CONVERSATIONS, STRATEGIES, Event, Task
from trimtab.budgets.tasks.settling import seen_by, settle
from trimtab.errors import TaskEnded
from trimtab.records import TaskSpent

OWN = [NewPhase("read", percent=12.5), NewPhase("write", tokens=3_000), NewPhase("verification", percent=30)]


def replayed(events: Sequence[Event]) -> dict[str, int]:
    """The budgets that the events tell of."""
    budgets: dict[str, int] = {}
    for event in events:
        if event.kind in ("created", "extended") and event.phase:
            budgets[event.phase] = budgets.get(event.phase, 0) + event.tokens
        elif event.kind == "moved":
            assert event.reason
            budgets[event.source] -= event.tokens
            budgets[event.phase] += event.tokens
    return budgets


class TaskMachine(RuleBasedStateMachine):
    """One task, many calls in flight, some of which come to more than was held or to nobody knows what."""

    holds = Bundle("holds")

    @initialize(
        total=st.integers(10_000, 200_000),
        strategy=st.sampled_from(STRATEGIES),
        own=st.booleans(),
        nanousd=st.none() | st.integers(1_000, 10**9),
        floor=st.integers(0, 100),
    )
    def make(self, total: int, strategy: str, own: bool, nanousd: int | None, floor: int) -> None:
        self.task, events = new_task(
            "t",
            total,
            at_ms=0,
            nanousd=nanousd,
            phases=OWN if own else None,
            strategy=strategy,
            floor_percent=floor,
        )
        self.events = list(events)
        self.n = 0
        self.beyond = 0
        """Tokens that calls used beyond what was held for them."""
        self.guard = {p.name: p.floor for p in self.task.phases}

    def take(self, changed: Task, events: Sequence[Event]) -> None:
        self.task = changed
        self.events += events

    @rule(
        target=holds,
        phase=st.integers(0, 4),
        estimate=st.integers(0, 30_000),
        most=st.integers(1, 64_000),
        conversation=st.sampled_from(["", "a", "b"]),
        price=st.integers(0, 20_000),
        permille=st.none() | st.integers(0, 1000),
    )
    def call(
        self,
        phase: int,
        estimate: int,
        most: int,
        conversation: str,
        price: int,
        permille: int | None,
    ) -> str | None:
        self.n += 1
        name = ["", *(p.name for p in self.task.phases), ""][phase]
        before = self.task
        wanted = Ask(
            id=f"r{self.n}",
            phase=name,
            progress=permille,
            conversation=conversation,
            input_estimate=estimate,
            max_tokens=most,
            input_nanousd=estimate * price // 5,
            output_nanousd=price,
            at_ms=self.n,
        )
        got = ask(self.task, wanted)
        self.take(got.task, got.events)
        if isinstance(got, Refused):
            assert got.task.phases == before.phases
            assert got.task.holds == before.holds
            assert got.left == max(0, before.left)
            return None
        assert isinstance(got, Granted)
        assert min(most, before.least_output) <= got.max_tokens <= most
        assert got.new_input + got.max_tokens <= before.left
        if before.left_nanousd is not None:
            assert got.task.left_nanousd is not None
            assert got.task.left_nanousd >= 0
        return wanted.id

    @rule(
        hold=consumes(holds),
        part=st.integers(0, 100),
        beyond=st.sampled_from([0, 0, 0, 0, 500, 20_000]),
        known=st.booleans(),
        twice=st.booleans(),
    )
    def settle(self, hold: str | None, part: int, beyond: int, known: bool, twice: bool) -> None:
        assume(hold is not None)
        held = next(one for one in self.task.holds if one.id == hold)
        seen = max(held.seen, seen_by(self.task, held.conversation))
        used = held.tokens * part // 100 + beyond
        output = used // 3
        spent = TaskSpent(seen + used - output, output, held.nanousd * part // 100, known)
        before = self.task.spent
        assert isinstance(hold, str)
        self.take(*settle(self.task, hold, spent, self.n))
        came_to = used if known else held.tokens
        assert self.task.spent == before + came_to
        self.beyond += max(0, came_to - held.tokens)
        if twice:
            assert settle(self.task, hold, spent, self.n) == (self.task, ())

    @rule(phase=st.integers(0, 3), permille=st.integers(0, 1000))
    def report(self, phase: int, permille: int) -> None:
        if self.task.state in ("cancelled", "closed"):
            return
        name = self.task.phases[phase % len(self.task.phases)].name
        self.take(*progress(self.task, name, permille, self.n))

    @rule(tokens=st.integers(1, 20_000), to=st.none() | st.integers(0, 3))
    def extend(self, tokens: int, to: int | None) -> None:
        if self.task.state in ("cancelled", "closed"):
            return
        name = "" if to is None else self.task.phases[to % len(self.task.phases)].name
        before = self.task.total
        self.take(*extend(self.task, tokens, 0, self.n, name))
        assert self.task.total == before + tokens
        assert self.task.state == "open" or self.task.left < self.task.least_output

    @rule(end=st.sampled_from([cancel, close]), really=st.integers(0, 9))
    def end(self, end, really: int) -> None:
        if really:
            return
        try:
            self.take(*end(self.task, self.n))
        except TaskEnded:
            assert self.task.state in ("cancelled", "closed")

    @invariant()
    def adds_up(self) -> None:
        if not hasattr(self, "task"):
            return
        task = self.task
        assert sum(phase.budget for phase in task.phases) == task.total
        assert replayed(self.events) == {phase.name: phase.budget for phase in task.phases}
        assert task.spent + task.held <= task.total + task.overshoot
        assert task.overshoot <= self.beyond
        for phase in task.phases:
            assert min(phase.budget, phase.spent, phase.held, phase.lent, phase.held_nanousd) >= 0
            assert phase.budget - phase.lent >= phase.floor or phase.free < 0
            if phase.guaranteed and not phase.begun:
                assert phase.budget - phase.lent >= phase.planned
        assert task.held == sum(hold.tokens for hold in task.holds)
        assert task.held_nanousd == sum(hold.nanousd for hold in task.holds)
        assert len(task.conversations) <= MAX_CONVERSATIONS

    def teardown(self) -> None:
        if not hasattr(self, "task"):
            return
        for hold in self.task.holds:
            self.take(*settle(self.task, hold.id, TaskSpent(), self.n))
        assert self.task.held == 0
        assert self.task.held_nanousd == 0
        assert all(not phase.lent for phase in self.task.phases)
        self.adds_up()


TestTaskMachine = TaskMachine.TestCase
