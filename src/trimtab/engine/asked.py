"""A client's request that was read and decided; what goes out depends on the place.

What it is not: the reading, which each surface does its own way (`planning`, `chat`).
"""

import msgspec

from trimtab.engine.inbound import Inbound
from trimtab.engine.pictures import PreparedImages
from trimtab.messages import MessagesBody
from trimtab.routing import Ask, Decision

ASKED_NOTHING = Ask("")


class Asked(msgspec.Struct, frozen=True, gc=False):
    """Of any surface."""

    inbound: Inbound
    body: MessagesBody
    decision: Decision
    session: str
    ask: Ask = ASKED_NOTHING
    """What was asked of the router."""
    awaits: bool = False
    """Whether no effort is chosen before the scenario of its task is known."""
    images: PreparedImages | None = None
    """What was done with its images, `body` being the result; `None`: no policy holds for them."""
    beside: bool = False
    """Whether the conversation may go on without its answer: planning it takes no note of its model."""
