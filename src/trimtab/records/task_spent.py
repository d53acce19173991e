"""What one request came to for the task that it is part of.

What it is not: the arithmetic of a task's budget (`budgets.tasks`). Invariant: what is not known is said to be so, and
then counts as all that was held.
"""

import msgspec

from trimtab.messages import Usage
from trimtab.records.answered import answered_by
from trimtab.records.outcome import Outcome


class TaskSpent(msgspec.Struct, frozen=True, gc=False):
    """Tokens that the model saw and wrote in the call whose answer stands, and the money of all calls."""

    input_tokens: int = 0
    """Everything that went in, whether it came out of the prompt cache or not: resent history is in it."""
    output_tokens: int = 0
    """Thinking is in it."""
    nanousd: int | None = 0
    """`None`: not known, so all that was held for the request counts."""
    known: bool = True
    """Whether the tokens are; if not, all that was held for the request counts."""


def spent_of(outcome: Outcome) -> TaskSpent:
    """What a recorded request came to. Of several attempts the answer that stands is that of the one that the client
    was given, else of the last one that may have been billed; the others cost money, but nothing of them is in the
    conversation."""
    given = answered_by(outcome) if outcome.answered is not None else None
    made = reversed(outcome.attempts)
    for attempt in made if given is None else (given, *made):
        if attempt.cost_source == "unbilled":
            continue
        usage = attempt.usage
        if usage is None or not usage.input_said:
            return TaskSpent(nanousd=outcome.cost_nanousd, known=False)
        return TaskSpent(input_total(usage), usage.output_tokens or 0, outcome.cost_nanousd)
    return TaskSpent(nanousd=outcome.cost_nanousd)


def input_total(usage: Usage) -> int:
    """Input of a call: uncached, written to the cache and read from it, in tokens."""
    return (
        (usage.input_tokens or 0)
        + (usage.cache_creation_input_tokens or 0)
        + (usage.cache_read_input_tokens or 0)
    )
