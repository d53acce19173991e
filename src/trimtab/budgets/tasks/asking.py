"""What the next call of a task may use.

What it is not: the settling of it (`settling`), or a place that waits. Invariants: what is granted is held, so that
calls in flight together stay within the total; of another phase's budget only its surplus is lent, and moved when it is
used; nothing is granted that is too little to be of use; a refused call changes nothing but being told of.
"""

from typing import Literal

import msgspec

from trimtab.budgets.tasks.changing import note_progress
from trimtab.budgets.tasks.draft import Draft, spent_up
from trimtab.budgets.tasks.making import own_name
from trimtab.budgets.tasks.model import MAX_HOLDS, Event, Hold, Loan, Task
from trimtab.budgets.tasks.settling import seen_by, settle
from trimtab.records import TaskSpent

Reason = Literal[
    "task_budget_exhausted",
    "phase_budget_exhausted",
    "task_usd_exhausted",
    "phase_usd_exhausted",
    "task_budget_held",
    "task_cancelled",
    "task_closed",
]
"""`phase_...`: something is left, but kept for the phases after this one. `task_budget_held`: calls in flight hold it,
and what they do not use comes back."""

CORRECTION_MOST = 2
"""How far the last call of a conversation may correct an estimate: estimates are within 15 % for text of one kind, and
twice or half as much for a kind that the table does not know."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A call that is about to be made. Fields as in `TaskAsk`."""

    id: str
    phase: str = ""
    progress: int | None = None
    conversation: str = ""
    input_estimate: int
    max_tokens: int
    input_nanousd: int = 0
    output_nanousd: int = 0
    simulated: bool = False
    at_ms: int


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """The task with the hold in it, and what the call may do."""

    task: Task
    events: tuple[Event, ...]
    phase: str
    max_tokens: int
    new_input: int
    limited_by: Literal["", "tokens", "usd"]
    left: int
    """Of the task, before this call."""
    phase_left: int
    first_of_phase: bool


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Why not, and what it would have taken. The task with the events stands all the same."""

    task: Task
    events: tuple[Event, ...]
    reason: Reason
    phase: str
    left: int
    """Of the task: neither spent nor held."""
    phase_left: int
    """What this phase may use: its own and what others can spare."""
    needs: int
    """What this call needs at the least: new input and a useful answer."""
    wanted: int
    """The same with the answer as long as was asked for."""
    left_nanousd: int | None = None
    """What this phase may use."""
    needs_nanousd: int = 0
    next_phase: str = ""
    next_needs: int = 0
    """What the next phase keeps: the least that it needs to finish."""
    next_planned: int = 0
    """What it was planned with."""


def ask(task: Task, wanted: Ask) -> Granted | Refused:
    """Hold what a call may use, or say why not. What a request of this id holds already is given back before.

    Raises `RequestError` for a phase that the task does not have.
    """
    task, _ = settle(task, wanted.id, TaskSpent(), wanted.at_ms)
    draft = Draft(task, wanted.at_ms)
    n = draft.place(own_name(wanted.phase)) if wanted.phase else max(0, task.at)
    if task.state in ("cancelled", "closed"):
        ended: Reason = "task_cancelled" if task.state == "cancelled" else "task_closed"
        return _refused(task, draft, wanted, n, ended)
    first = draft.enter(n)
    if wanted.progress is not None:
        note_progress(draft, n, wanted.progress)
    phase = draft.phases[n]
    new_input = expected_input(task, wanted.conversation, wanted.input_estimate)
    least = min(wanted.max_tokens, task.least_output)
    room = _room(draft, n)
    money, by_money = _money(draft, n), wanted.max_tokens
    if money is not None and wanted.output_nanousd:
        by_money = max(0, (money - wanted.input_nanousd) // wanted.output_nanousd)
    elif money is not None and money < wanted.input_nanousd:
        by_money = 0
    if task.state == "exhausted" or by_money < least:
        return _refused(task, draft, wanted, n, _short_of_money(task, draft, wanted, n, least))
    if room < new_input + least:
        return _refused(task, draft, wanted, n, _short_of_tokens(task, draft, n, new_input + least))
    if len(task.holds) >= MAX_HOLDS:
        return _refused(task, draft, wanted, n, "task_budget_held")
    granted = min(wanted.max_tokens, room - new_input, by_money)
    left, phase_left = task.left, max(0, phase.free)
    _hold(draft, wanted, n, new_input + granted, granted)
    held, events = draft.done()
    return Granted(
        task=held,
        events=events,
        phase=phase.name,
        max_tokens=granted,
        new_input=new_input,
        limited_by="" if granted == wanted.max_tokens else "usd" if granted == by_money else "tokens",
        left=left,
        phase_left=phase_left,
        first_of_phase=first,
    )


def expected_input(task: Task, conversation: str, estimate: int) -> int:
    """Input that this conversation has not shown before. The estimate is corrected by how the last one turned out."""
    for known in task.conversations:
        if known.name == conversation != "":
            if known.estimate > 0 and known.actual > 0:
                corrected = -(-estimate * known.actual // known.estimate)
                estimate = min(max(corrected, estimate // CORRECTION_MOST), estimate * CORRECTION_MOST)
            return max(0, estimate - known.seen)
    return estimate


def _hold(draft: Draft, wanted: Ask, n: int, tokens: int, output: int) -> None:
    phase = draft.phases[n]
    own = min(tokens, max(0, phase.free))
    money = wanted.input_nanousd + output * wanted.output_nanousd
    loans, missing = [], tokens - own
    for other in draft.lenders(n):
        part = min(missing, draft.phases[other].surplus)
        if part <= 0:
            break
        lender = draft.phases[other]
        draft.set(other, lent=lender.lent + part)
        loans.append(Loan(lender.name, part))
        missing -= part
    assert missing <= 0, "no more is granted than there is room for"
    draft.set(n, held=phase.held + own, held_nanousd=phase.held_nanousd + money)
    hold = Hold(
        id=wanted.id,
        phase=phase.name,
        own=own,
        loans=tuple(loans),
        conversation=wanted.conversation,
        estimate=wanted.input_estimate,
        seen=seen_by(draft.task, wanted.conversation),
        nanousd=money,
    )
    draft.task = msgspec.structs.replace(
        draft.task,
        holds=(*draft.task.holds, hold),
        refused="",
        simulated=draft.task.simulated or wanted.simulated,
    )
    draft.tell("reserved", phase.name, tokens, request=wanted.id, nanousd=money)


def _room(draft: Draft, n: int) -> int:
    """Tokens that a phase may use. After an overshoot the total stands before what phases were promised."""
    lent = sum(draft.phases[other].surplus for other in draft.lenders(n))
    return min(draft.phases[n].free + lent, draft.task.left)


def _money(draft: Draft, n: int) -> int | None:
    """Money that a phase may use: what is left, less what the floors of phases to come stand for."""
    task = draft.task
    left = task.left_nanousd
    if left is None or task.nanousd is None:
        return None
    for other in range(max(task.at, 0), len(draft.phases)):
        phase = draft.phases[other]
        if other != n:
            kept = task.nanousd * phase.floor // task.total
            left -= max(0, kept - phase.nanousd - phase.held_nanousd)
    return max(0, left)


def _short_of_tokens(task: Task, draft: Draft, n: int, needs: int) -> Reason:
    if task.holds and _room(_without_holds(draft), n) >= needs:
        return "task_budget_held"
    return "phase_budget_exhausted" if task.left + task.held >= needs else "task_budget_exhausted"


def _short_of_money(task: Task, draft: Draft, wanted: Ask, n: int, least: int) -> Reason:
    if task.state == "exhausted" and spent_up(task) == "task_budget_exhausted":
        return "task_budget_exhausted"
    needs, left = wanted.input_nanousd + least * wanted.output_nanousd, task.left_nanousd or 0
    if task.holds and (_money(_without_holds(draft), n) or 0) >= needs:
        return "task_budget_held"
    return "phase_usd_exhausted" if left + task.held_nanousd >= needs else "task_usd_exhausted"


def _without_holds(draft: Draft) -> Draft:
    """The task as it would be if its calls in flight came to nothing: what is refused then is worth no waiting."""
    idle = tuple(msgspec.structs.replace(one, held=0, held_nanousd=0, lent=0) for one in draft.phases)
    return Draft(msgspec.structs.replace(draft.task, phases=idle, holds=()), draft.at_ms)


def _refused(task: Task, draft: Draft, wanted: Ask, n: int, reason: Reason) -> Refused:
    """`draft` is the task as it would have been for this call."""
    phase = draft.phases[n]
    new_input = expected_input(task, wanted.conversation, wanted.input_estimate)
    least = min(wanted.max_tokens, task.least_output)
    room = _room(draft, n)
    money = _money(draft, n)
    told, kept = f"{reason}/{phase.name}", Draft(task, wanted.at_ms)
    if reason != "task_budget_held" and task.refused != told:
        kept.task = msgspec.structs.replace(task, refused=told)
        kept.tell("refused", phase.name, new_input + least, reason=reason, request=wanted.id)
    following = draft.phases[n + 1] if n + 1 < len(draft.phases) else None
    changed, events = kept.done()
    return Refused(
        task=changed,
        events=events,
        reason=reason,
        phase=phase.name,
        left=max(0, task.left),
        phase_left=max(0, room),
        needs=new_input + least,
        wanted=new_input + wanted.max_tokens,
        left_nanousd=money,
        needs_nanousd=wanted.input_nanousd + least * wanted.output_nanousd,
        next_phase="" if following is None else following.name,
        next_needs=0 if following is None else max(0, following.floor - following.spent),
        next_planned=0 if following is None else max(0, following.planned - following.spent),
    )
