"""What the engine needs of whoever decides on ladders.

What it is not: the decisions (`routing.cascade`).
"""

from collections.abc import Sequence
from typing import Protocol

from trimtab.catalogue import Arm
from trimtab.engine.inbound import Inbound
from trimtab.messages import MessagesBody
from trimtab.messages.exchange import Question
from trimtab.records import Attempt
from trimtab.routing import Decision
from trimtab.routing.cascade import Beginning, Ladder, Made, Next


class Climb(Protocol):
    """One request on its ladder."""

    @property
    def beginning(self) -> Beginning: ...

    def next(self, made: Sequence[Made], *, left_s: float | None, spent_nanousd: int) -> Next:
        """Whether it goes on after these steps. Pure."""
        ...

    def ended(self, rung: Arm, released: Attempt) -> None:
        """Take note of the attempt that gave the answer, and of its rung, for the conversation's next request. Never
        waits or raises."""
        ...


class Deciding(Protocol):
    """Decides where requests begin. One per configuration version."""

    def begin(
        self,
        ladder: Ladder,
        inbound: Inbound,
        body: MessagesBody,
        decision: Decision,
        session: str,
        question: Question,
        *,
        judged: bool,
        simulated: bool,
    ) -> Climb:
        """`judged`: whether its answers are judged before they go out. Raises `RequestError` for headers that make no
        sense."""
        ...


class Pinned:
    """A request with one rung. Implements `Climb`."""

    def __init__(self, arm: Arm) -> None:
        self.beginning = Beginning(rungs=(arm,))

    def next(self, made: Sequence[Made], *, left_s: float | None, spent_nanousd: int) -> Next:
        """Nowhere."""
        return Next(None, "there is no other rung: the request pins its model or tier")

    def ended(self, rung: Arm, released: Attempt) -> None:
        """Nothing is to be remembered."""
