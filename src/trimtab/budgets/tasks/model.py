"""A task's budget as data: its phases, what is held for calls in flight, and what each conversation showed already.

What it is not: how any of it changes (`asking`, `settling`, `changing`).
Invariants: the phases' budgets add up to the total; of each phase, what is spent, held and lent is at most its budget,
but for overshoot; no phase's budget is below its floor. Units: tokens that the model sees; nano-dollars; thousandths of
progress; Unix milliseconds.
"""

from typing import Literal

import msgspec

Strategy = Literal["prioritize_completion", "prioritize_quality"]
STRATEGIES: tuple[Strategy, ...] = ("prioritize_completion", "prioritize_quality")

State = Literal["open", "exhausted", "cancelled", "closed"]
"""`exhausted`: less than a useful answer is left, until the task is extended."""

EventKind = Literal[
    "created",
    "phase",
    "reserved",
    "settled",
    "moved",
    "progress",
    "refused",
    "warning",
    "exhausted",
    "extended",
    "cancelled",
    "closed",
]

LEAST_OUTPUT = 256
"""Tokens of the shortest answer that is of use, unless the task says otherwise: a tool call with its arguments takes
100 to 200. A call that could write less is refused, as it would be paid for and cut."""

FLOOR_PERCENT = 50
"""What a later phase keeps of its share, whatever earlier ones need, unless the task says otherwise. In the task model
of docs/benchmarks.md a quarter did worse than an undivided budget with agents that do not heed their shares."""

MAX_CONVERSATIONS = 64
"""A conversation that was pushed out by others counts its history once more."""

MAX_HOLDS = 1000
"""Calls of one task in flight; each is 200 bytes in the task's row."""

WARN_PERCENT = (50, 80, 95)
"""Of the total, when it is spent."""


class Phase(msgspec.Struct, frozen=True, omit_defaults=True):
    """One phase. `budget - lent - spent - held` is free for its own calls."""

    name: str
    planned: int
    """Its share, as the task was made and extended."""
    budget: int
    """Its share now, after moves."""
    floor: int
    """Nothing takes the budget below it but the phase's own spending."""
    guaranteed: bool = False
    """What it was promised stays with it until it has begun."""
    begun: bool = False
    spent: int = 0
    held: int = 0
    """Of its own budget, for its own calls in flight."""
    lent: int = 0
    """Of its budget, held for calls in flight of other phases. What they use of it is moved."""
    calls: int = 0
    nanousd: int = 0
    held_nanousd: int = 0
    progress: int | None = None
    """As the client said it last."""

    @property
    def free(self) -> int:
        """What its next call finds in its own budget; below 0 after an overshoot."""
        return self.budget - self.lent - self.spent - self.held

    @property
    def surplus(self) -> int:
        """What others may have of it: neither used, nor promised, nor below its floor."""
        return max(0, self.budget - self.lent - max(self.floor, self.spent + self.held))


class Loan(msgspec.Struct, frozen=True):
    """A part of a hold that is from another phase's budget."""

    phase: str
    tokens: int


class Hold(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one call in flight may use."""

    id: str
    """The request's."""
    phase: str
    own: int
    """Of its phase's own budget."""
    loans: tuple[Loan, ...] = ()
    conversation: str = ""
    estimate: int = 0
    """Of the whole input, as it was before the call."""
    seen: int = 0
    """What the conversation had shown by then."""
    nanousd: int = 0

    @property
    def tokens(self) -> int:
        """New input and the longest answer."""
        return self.own + sum(loan.tokens for loan in self.loans)


class Conversation(msgspec.Struct, frozen=True):
    """What one conversation showed to the model, so that resent history is counted once."""

    name: str
    seen: int
    """Input and output of its last call."""
    estimate: int = 0
    actual: int = 0
    """How the input of its last call was estimated, and what it came to: the next estimate is corrected by this."""


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """A container of budget. Made by `making.new_task`."""

    id: str
    total: int
    phases: tuple[Phase, ...]
    strategy: Strategy = "prioritize_completion"
    nanousd: int | None = None
    """The limit of money; `None` is none."""
    least_output: int = LEAST_OUTPUT
    floor_percent: int = FLOOR_PERCENT
    state: State = "open"
    at: int = -1
    """The furthest phase that has begun; -1 before the first call."""
    holds: tuple[Hold, ...] = ()
    conversations: tuple[Conversation, ...] = ()
    """The one used last stands last."""
    warned: int = 0
    """The highest of `WARN_PERCENT` that was told."""
    refused: str = ""
    """The last refusal that was told, so that a client which tries again is not told of in the events each time."""
    simulated: bool = False
    """Whether any of its calls was."""
    first_total: int = 0
    """The total that it was made with."""

    @property
    def spent(self) -> int:
        """Tokens."""
        return sum(phase.spent for phase in self.phases)

    @property
    def held(self) -> int:
        """Tokens, for calls in flight."""
        return sum(phase.held + phase.lent for phase in self.phases)

    @property
    def left(self) -> int:
        """Tokens that are neither spent nor held; below 0 after an overshoot."""
        return self.total - self.spent - self.held

    @property
    def overshoot(self) -> int:
        """Tokens that were used beyond what was held for them, and that no budget covers."""
        return sum(max(0, -phase.free) for phase in self.phases)

    @property
    def spent_nanousd(self) -> int:
        """Billed."""
        return sum(phase.nanousd for phase in self.phases)

    @property
    def held_nanousd(self) -> int:
        """For calls in flight."""
        return sum(phase.held_nanousd for phase in self.phases)

    @property
    def left_nanousd(self) -> int | None:
        """Money that is neither spent nor held; `None` without a limit of money."""
        return None if self.nanousd is None else self.nanousd - self.spent_nanousd - self.held_nanousd


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened to a task, in the order in which it did."""

    kind: EventKind
    at_ms: int
    phase: str = ""
    """Where it happened; of a move: where tokens went."""
    tokens: int = 0
    source: str = ""
    """Of a move: where they came from. Empty in `created` and `extended`: from outside."""
    reason: str = ""
    request: str = ""
    nanousd: int = 0
