"""A task as it is asked for, and as programs and people see it. Data only; the same for the terminal and for HTTP.

Units: tokens that the model sees; US dollars (a number, exact to the nano-dollar).
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import msgspec

from trimtab.budgets.tasks import NewPhase, Task
from trimtab.budgets.tasks.model import FLOOR_PERCENT, LEAST_OUTPUT, Phase
from trimtab.catalogue.money import NANO
from trimtab.errors import RequestError, quoted
from trimtab.store.tasks import KeptEvent, KeptTask

MAX_TAGS = 32

MAX_TEXT_CHARS = 200

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARS)]
Tokens = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]


class NewTask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /trimtab/v1/tasks` takes."""

    total: Tokens
    """Tokens of the whole task, resent history counted once."""
    usd: float | int | None = None
    """What its calls may cost together."""
    phases: Annotated[list[NewPhase], msgspec.Meta(max_length=1000)] | None = None
    strategy: Text = "prioritize_completion"
    least_output: Tokens = LEAST_OUTPUT
    floor_percent: Tokens = FLOOR_PERCENT
    name: Text = ""
    scenario: Text = ""
    tags: Annotated[list[Text], msgspec.Meta(max_length=MAX_TAGS)] = []
    key: Text | None = None
    """Whose it is, by an admin key or on the machine itself; else the caller's own."""


class Extension(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is added to a task."""

    total: Tokens = 0
    usd: float | int = 0
    phase: Text = ""
    """To this phase; else to those that are not over, by their shares."""


class ProgressMade(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a phase is."""

    phase: Text
    progress: float | int
    """From 0 to 1."""

    @property
    def permille(self) -> int:
        """Thousandths. Raises `RequestError`."""
        if not 0 <= self.progress <= 1:
            raise RequestError(f"progress: {quoted(self.progress)}: must be a number from 0 to 1")
        return int(self.progress * 1000)


class PhaseView(msgspec.Struct, frozen=True, kw_only=True):
    """One phase."""

    name: str
    planned: int
    budget: int
    """After moves."""
    spent: int
    held: int
    """For calls in flight, those of other phases that borrowed included."""
    left: int
    floor: int
    guaranteed: bool
    begun: bool
    calls: int
    usd: float
    progress: float | None


class MoveView(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens that went from one phase to another."""

    n: int
    at_ms: int
    source: str
    target: str
    tokens: int
    reason: str


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """One task."""

    id: str
    name: str
    state: str
    strategy: str
    total: int
    spent: int
    held: int
    left: int
    overshoot: int
    usd: float | None
    spent_usd: float
    held_usd: float
    left_usd: float | None
    phase: str
    """The one that it is in; empty before its first call."""
    phases: tuple[PhaseView, ...]
    calls: int
    simulated: bool
    """Whether any of its calls was; what they cost was never paid."""
    scenario: str
    tags: tuple[str, ...]
    key: str
    organisation: str
    team: str
    user: str
    created_ms: int
    changed_ms: int
    events: int
    headers: dict[str, str]
    """What a call of its present phase sends."""
    moves: tuple[MoveView, ...] | None = None
    """Only where one task was asked for; the last thousand."""


class EventView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event."""

    n: int
    at_ms: int
    event: str
    phase: str = ""
    tokens: int = 0
    source: str = ""
    """Of a move: where they came from."""
    reason: str = ""
    request: str = ""
    usd: float = 0.0


def nanousd_of(usd: float) -> int:
    """Exact for what was written with up to nine decimals. Raises `RequestError`."""
    if not abs(usd) <= 10**9:  # neither infinite nor no number
        raise RequestError(f"usd: {quoted(usd)}: must be a number of US dollars")
    return int((Decimal(str(usd)) * NANO).to_integral_value())


def task_view(kept: KeptTask, task: Task, moves: Sequence[KeptEvent] | None = None) -> TaskView:
    """What may be told of a task."""
    phase = task.phases[task.at].name if task.at >= 0 else ""
    left = task.left_nanousd
    return TaskView(
        id=kept.id,
        name=kept.name,
        state=task.state,
        strategy=task.strategy,
        total=task.total,
        spent=task.spent,
        held=task.held,
        left=max(0, task.left),
        overshoot=task.overshoot,
        usd=None if task.nanousd is None else task.nanousd / NANO,
        spent_usd=task.spent_nanousd / NANO,
        held_usd=task.held_nanousd / NANO,
        left_usd=None if left is None else max(0, left) / NANO,
        phase=phase,
        phases=tuple(map(_phase, task.phases)),
        calls=sum(one.calls for one in task.phases),
        simulated=task.simulated,
        scenario=kept.scenario,
        tags=kept.tags,
        key=kept.key,
        organisation=kept.organisation,
        team=kept.team,
        user=kept.user,
        created_ms=kept.created_ms,
        changed_ms=kept.changed_ms,
        events=kept.events,
        headers={"x-trimtab-task": kept.id, "x-trimtab-phase": phase or task.phases[0].name},
        moves=None if moves is None else tuple(map(_move, moves)),
    )


def event_view(one: KeptEvent) -> EventView:
    """What may be told of an event."""
    return EventView(
        n=one.n,
        at_ms=one.at_ms,
        event=one.kind,
        phase=one.phase,
        tokens=one.tokens,
        source=one.source,
        reason=one.reason,
        request=one.request,
        usd=one.nanousd / NANO,
    )


def _phase(phase: Phase) -> PhaseView:
    return PhaseView(
        name=phase.name,
        planned=phase.planned,
        budget=phase.budget,
        spent=phase.spent,
        held=phase.held + phase.lent,
        left=max(0, phase.free),
        floor=phase.floor,
        guaranteed=phase.guaranteed,
        begun=phase.begun,
        calls=phase.calls,
        usd=phase.nanousd / NANO,
        progress=None if phase.progress is None else phase.progress / 1000,
    )


def _move(one: KeptEvent) -> MoveView:
    return MoveView(
        n=one.n, at_ms=one.at_ms, source=one.source, target=one.phase, tokens=one.tokens, reason=one.reason
    )
