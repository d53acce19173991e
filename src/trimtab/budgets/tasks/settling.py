"""What a call came to, in place of what was held for it.

Invariants: a hold settles once, by its id; what was used beyond the phase's own budget is moved there, from those who
lent it first; resent history is counted once for each conversation; what is not known counts as all that was held.
"""

import msgspec

from trimtab.budgets.tasks.draft import Draft
from trimtab.budgets.tasks.model import MAX_CONVERSATIONS, Conversation, Event, Hold, Task
from trimtab.records import TaskSpent


def settle(task: Task, request: str, spent: TaskSpent, at_ms: int) -> tuple[Task, tuple[Event, ...]]:
    """Replace a request's hold by what it used. A request that holds nothing changes nothing."""
    hold = next((one for one in task.holds if one.id == request), None)
    if hold is None:
        return task, ()
    draft = Draft(task, at_ms)
    draft.task = msgspec.structs.replace(task, holds=tuple(one for one in task.holds if one.id != request))
    n = draft.place(hold.phase)
    used = visible(task, hold, spent)
    nanousd = hold.nanousd if spent.nanousd is None else spent.nanousd
    _release(draft, n, hold)
    _cover(draft, n, hold, used)
    phase = draft.phases[n]
    draft.set(
        n,
        spent=phase.spent + used,
        calls=phase.calls + 1 if used or nanousd else phase.calls,
        nanousd=phase.nanousd + nanousd,
    )
    draft.tell(
        "settled",
        phase.name,
        used,
        request=request,
        nanousd=nanousd,
        reason=_remark(hold, used, known=spent.known),
    )
    if spent.known and spent.input_tokens and hold.conversation:
        _remember(draft, hold, spent)
    draft.flow_on("unused by {} after it was over")
    return draft.done()


def visible(task: Task, hold: Hold, spent: TaskSpent) -> int:
    """Tokens that the model had not seen before, and those that it wrote."""
    if not spent.known:
        return hold.tokens
    # Another call of the conversation may have ended meanwhile: with more of it, or with less because it was cut short.
    seen = max(hold.seen, seen_by(task, hold.conversation))
    return max(0, spent.input_tokens - seen) + spent.output_tokens


def seen_by(task: Task, conversation: str) -> int:
    """What a conversation has shown to the model; nothing where it has no name or is not known any more."""
    return next((one.seen for one in task.conversations if one.name == conversation != ""), 0)


def _release(draft: Draft, n: int, hold: Hold) -> None:
    phase = draft.phases[n]
    draft.set(n, held=phase.held - hold.own, held_nanousd=phase.held_nanousd - hold.nanousd)
    for loan in hold.loans:
        place = draft.place(loan.phase)
        draft.set(place, lent=draft.phases[place].lent - loan.tokens)


def _cover(draft: Draft, n: int, hold: Hold, used: int) -> None:
    """Move to the phase what it used beyond its own budget, as far as others can spare it."""
    missing = used - draft.phases[n].free if used else 0
    name = draft.phases[n].name
    for loan in hold.loans:
        if missing <= 0:
            return
        # What was lent was surplus then and is free again now; a floor does not rise while a task goes on but by
        # extension, which brings its own tokens.
        place = draft.place(loan.phase)
        part = min(missing, loan.tokens, draft.phases[place].surplus)
        draft.move(place, n, part, f"{name} ran out")
        missing -= part
    if missing > 0:
        draft.borrow(n, missing, f"{name} used more than was held for its call")


def _remember(draft: Draft, hold: Hold, spent: TaskSpent) -> None:
    """The conversation as it is now goes last; of too many the first is forgotten."""
    now = Conversation(
        hold.conversation,
        spent.input_tokens + spent.output_tokens,
        estimate=hold.estimate,
        actual=spent.input_tokens,
    )
    others = tuple(one for one in draft.task.conversations if one.name != hold.conversation)
    draft.task = msgspec.structs.replace(draft.task, conversations=(*others, now)[-MAX_CONVERSATIONS:])


def _remark(hold: Hold, used: int, *, known: bool) -> str:
    if not known:
        return "not known, so all that was held counts"
    return "used more than was held" if used > hold.tokens else ""
