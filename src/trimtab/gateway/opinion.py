"""What was just told of an answer, for whoever in this process goes by it, as a cascade that begins higher next time.

What it is not: the feedback that is kept (`store.feedback`). Invariant: it holds nothing of what was asked or answered.
"""

import msgspec

from trimtab.store.feedback import Covers

DISLIKED_BELOW = 0.5
"""A score below it says that the answer was more wrong than right; so does a corrected answer."""


class Opinion(msgspec.Struct, frozen=True):
    """What was told of an answer, for whoever in this process goes by it."""

    request: str
    session: str
    key: str
    covers: Covers
    score: float
    label: str
    edited: bool
    """Whether the answer was corrected."""

    @property
    def disliked(self) -> bool:
        """Whether it speaks against the answer."""
        return self.edited or self.score < DISLIKED_BELOW
