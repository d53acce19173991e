"""What the engine asks before a call of a task, and what it is told. Data only.

What it is not: the arithmetic (`arithmetic`) or the one who asks the store (`keeper`).
Units: tokens are those that the model sees; money is nano-dollars.
"""

from typing import Literal, NamedTuple, Protocol

import msgspec

from trimtab.errors import RequestError, printable
from trimtab.records import NOBODY, Caller, RequestId, TaskSpent

MAX_HEADER_CHARS = 256


class TaskAsk(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is about to be made for a task."""

    task: str
    """The task's id, as `x-trimtab-task` says it."""
    phase: str = ""
    """As `x-trimtab-phase` says it; empty is the phase that the task is in."""
    progress_permille: int | None = None
    """How much of the phase is done, as the client sees it: 0 to 1000."""
    total: int | None = None
    """The total that the client takes the task to have, where its headers or its body say one. Another than the task's
    is an error: a total is changed by `extend` only."""
    caller: Caller = NOBODY
    request_id: RequestId
    conversation: str = ""
    """What this conversation showed to the model before is not counted again."""
    input_estimate: int
    """Tokens of the whole input, history included, as well as they can be told before the call."""
    max_tokens: int
    """What the client asked for, or the model's own limit where it asked for none."""
    input_nanousd: int = 0
    """The most that the input can cost."""
    output_nanousd: int = 0
    """The most that one token of output can cost, rounded up."""
    simulated: bool = False


class TaskGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Leave for a call; the call must not write more than `max_tokens`. Settle it once, also after a failure."""

    task: str
    request_id: RequestId
    phase: str
    """The phase's own name, whatever alias was sent."""
    max_tokens: int
    limited_by: Literal["", "tokens", "usd"] = ""
    """What made `max_tokens` less than was asked for."""
    task_total: int
    first_total: int
    """The total that the task was made with. The vendor's own budget says it in every turn, also after an extension:
    another one would lose what is cached of the conversation."""
    left_tokens: int
    """Of the whole task, before this call."""
    phase_budget: int
    phase_left: int
    """Of this phase's own budget, before this call."""
    left_nanousd: int | None = None
    """`None`: the task has no limit of money."""
    first_of_phase: bool = False
    """The first call of the phase: the model may be told that it has begun."""
    first_of_task: bool = False
    strategy: str = ""
    scenario: str = ""
    """The kind of work that the task was made for; empty where it names none."""
    phases: tuple[tuple[str, int], ...] = ()
    """All phases in order with what is left of each one's own budget."""
    notes: tuple[str, ...] = ()
    """What was decided, as short sentences for the record: moves between phases, a smaller `max_tokens`."""


class TaskBudgets(Protocol):
    """The budgets of all tasks, as the engine asks for them."""

    async def begin(self, ask: TaskAsk) -> TaskGrant:
        """Hold what a call may use: one transaction of the store.

        Raises `NotFound` (no such task, or another key's), `RequestError` (no such phase), `Conflict` (another total),
        `TaskEnded`, `TaskBudgetSpent`, `RateLimited` (what is left is held for calls in flight), or `Unavailable` when
        the store does not answer in time.
        """
        ...

    def settle(self, grant: TaskGrant, spent: TaskSpent) -> None:
        """Replace what was held by what was used. Never waits and never raises; a second one for a grant changes
        nothing. `records.spent_of` makes it from the record; a call that was never made came to `TaskSpent()`."""
        ...


class TaskHeader(NamedTuple):
    """`x-trimtab-task: ID` or `ID; total=100000`."""

    task: str
    total: int | None = None


class PhaseHeader(NamedTuple):
    """`x-trimtab-phase: tools` or `tools; progress=0.4`."""

    phase: str
    progress_permille: int | None = None


def task_header(text: str) -> TaskHeader:
    """Read `x-trimtab-task`. Raises `RequestError`."""
    name, said = _parts("x-trimtab-task", text, "total")
    if not name:
        raise RequestError("x-trimtab-task: is empty; send the id that POST /trimtab/v1/tasks answered")
    if said is None:
        return TaskHeader(name)
    if not (said.isascii() and said.isdigit() and len(said) <= 16):
        raise RequestError(f"x-trimtab-task: total={printable(said, 40)!r}: must be a whole number of tokens")
    return TaskHeader(name, int(said))


def phase_header(text: str) -> PhaseHeader:
    """Read `x-trimtab-phase`. Raises `RequestError`."""
    name, said = _parts("x-trimtab-phase", text, "progress")
    if said is None:
        return PhaseHeader(name)
    whole, _, part = said.partition(".")
    plain = said.isascii() and len(said) <= 12 and (whole + part).isdigit()
    permille = int(whole or "0") * 1000 + int((part + "000")[:3]) if plain else -1
    if not 0 <= permille <= 1000:
        raise RequestError(
            f"x-trimtab-phase: progress={printable(said, 40)!r}: must be a number from 0 to 1, as 0.4"
        )
    return PhaseHeader(name, permille)


def _parts(header: str, text: str, known: str) -> tuple[str, str | None]:
    """The value before `;`, and that of the one parameter that is known."""
    if len(text) > MAX_HEADER_CHARS:
        raise RequestError(f"{header}: has {len(text)} characters; the most is {MAX_HEADER_CHARS}")
    name, *parameters = (part.strip() for part in text.split(";"))
    said: str | None = None
    for parameter in parameters:
        word, equals, value = parameter.partition("=")
        if word.strip().lower() != known or not equals or said is not None:
            raise RequestError(
                f"{header}: {printable(parameter, 80)!r}: only {known}=NUMBER, once, may follow"
            )
        said = value.strip()
    return name, said
