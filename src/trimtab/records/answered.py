"""Under which arm each attempt of a request was made, and which of them its client was given.

What it is not: a decision. Invariant: of a request without a cascade it is the plan's arm, and the last attempt.
"""

from trimtab.catalogue import Arm
from trimtab.records.outcome import Attempt, Outcome


def answered_by(outcome: Outcome) -> Attempt | None:
    """The attempt whose answer, or error, the client was given; `None` where nothing was called."""
    attempts, place = outcome.attempts, outcome.answered
    if not attempts:
        return None
    return attempts[-1] if place is None or not 0 <= place < len(attempts) else attempts[place]


def arm_of(outcome: Outcome, attempt: Attempt | None) -> Arm | None:
    """The arm of one of its attempts, or of none; `None` where nothing was decided."""
    if attempt is not None and attempt.arm is not None:
        return attempt.arm
    return None if outcome.plan is None else outcome.plan.arm
