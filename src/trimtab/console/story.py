"""One request's whole story: the decision and its reasons, every attempt, what was changed, tokens, money and time, and
what became of it as people told.

What it is not: a way to ask again, or to change what is recorded.
"""

from typing import Any, Protocol

import msgspec

from trimtab.admin.request_steps import Steps, steps_of
from trimtab.console.answers import Bar, Story
from trimtab.console.application import Shown
from trimtab.console.figures import Figures
from trimtab.console.questions import Scope
from trimtab.console.situation import ContentPolicy, Situation
from trimtab.console.transcript import turns
from trimtab.console.visit import Visit
from trimtab.console.visitors import Role, Visitor
from trimtab.content import shown
from trimtab.errors import NotFound, shortened
from trimtab.records import Outcome
from trimtab.store.content import Content, Deletion
from trimtab.store.feedback import Feedback

BAR_WORDS = {
    "gateway": "reading, deciding, between attempts",
    "head": "until the platform began to answer",
    "content": "until the first content",
    "rest": "until the end",
}

CONTENT_ROLE: Role = "operator"

WIDE_PERCENT = 0.4
"""What is there can be seen, however short it was."""


class Kept(Protocol):
    """What the page needs of the store of content; both block and raise `StoreError`."""

    def find(self, request_id: str) -> Content | None:
        """What is kept of a request."""
        ...

    def deletion(
        self, request_id: str, at_ms: int, *, key: str, organisation: str, user: str
    ) -> Deletion | None:
        """The latest deletion that names a request."""
        ...


class Told(Protocol):
    """What the page needs of the store of feedback; blocks and raises `StoreError`."""

    def of_whole(self, request_id: str, task: str) -> tuple[Feedback, ...]:
        """What was told of a request, and of its task with other requests of it."""
        ...


class KeptContent(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of prompt and answer, and what the visitor may see of it."""

    policy: ContentPolicy
    """Now in force; what was kept of this request was kept under the policy of its time."""
    kept: str | None
    """`redacted` or `full`; `None` where nothing is kept of this request."""
    deleted: Deletion | None
    """Where nothing is kept: the deletion that names this request, for a week; who did it for those who may read."""
    may_read: bool
    """Whether the visitor's role lets it see them."""
    both: dict[str, Any] | None
    """As `/trimtab/v1/requests/{id}/content` has it."""


class StoryData(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows."""

    story: Story
    tried: Steps
    """Attempts step by step, why each was made, and what verifiers said."""
    content: KeptContent
    told: tuple[Feedback, ...]
    """What became of it; notes are for those who may read content."""
    notes_kept: bool
    """Whether there is a note that the visitor may not read."""


class Stretch(msgspec.Struct, frozen=True):
    """One piece of the timing bar, placed."""

    kind: str
    says: str
    lane: int
    """0 is our own work, 1 the first attempt."""
    from_ms: float
    took_ms: float
    left: float
    """Per cent of the whole."""
    wide: float


class StoryPage:
    """Reads one record and what surrounds it."""

    def __init__(self, figures: Figures, situation: Situation, content: Kept, feedback: Told) -> None:
        self._figures = figures
        self._feedback = feedback
        self._situation = situation
        self._kept = content

    def __call__(self, visit: Visit, visitor: Visitor, rest: str) -> Shown | None:
        """See `Page`; `rest` is the request's id."""
        story = self._figures.story(rest, scope=Scope(organisation=visitor.organisation))
        if story is None:
            raise NotFound(
                f"no request {shortened(rest)!r} is recorded here. One that is still being answered is recorded "
                "when it ends; the id is in the x-trimtab-request header of every answer"
            )
        record = story.record
        content = self._content(record, visitor)
        told = self._feedback.of_whole(record.id, record.task)
        notes_kept = not content.may_read and any(word.note for word in told)
        if notes_kept:
            told = tuple(msgspec.structs.replace(word, note="") for word in told)
        blocks, blocks_left_out = turns(content.both) if content.both is not None else ([], 0)
        return Shown(
            template="request.html",
            title=f"Request {record.id}",
            data=StoryData(
                story=story,
                tried=steps_of(record),
                content=content,
                told=told,
                notes_kept=notes_kept,
            ),
            values={
                "stretches": _stretches(story.bars, record.total_ms),
                "turns": blocks,
                "turns_left_out": blocks_left_out,
                "filtered": any(value for name, value in visit.asked.items() if name != "simulated"),
                "lanes": ["Trimtab", *(f"Attempt {number + 1}" for number in range(len(record.attempts)))],
            },
            simulated=record.simulated,
        )

    def _content(self, record: Outcome, visitor: Visitor) -> KeptContent:
        """Prompts say more than any figure, so a viewer is told no more than that they are kept."""
        found = self._kept.find(record.id)
        may_read = visitor.may(CONTENT_ROLE)
        deleted = None
        if found is None:
            deleted = self._kept.deletion(
                record.id,
                record.at_ms,
                key=record.key,
                organisation=record.organisation,
                user=record.user,
            )
        if deleted is not None and not may_read:
            deleted = msgspec.structs.replace(deleted, by=None)
        return KeptContent(
            policy=self._situation.settled.content,
            kept=None if found is None else found.mode,
            deleted=deleted,
            may_read=may_read,
            both=shown(found) if found is not None and may_read else None,
        )


def _stretches(bars: tuple[Bar, ...], total_ms: float) -> list[Stretch]:
    whole = max([total_ms, *(bar.to_ms for bar in bars)], default=0.0)
    if whole <= 0:
        return []
    return [_stretch(bar, whole) for bar in bars]


def _stretch(bar: Bar, whole: float) -> Stretch:
    wide = max(100 * (bar.to_ms - bar.from_ms) / whole, WIDE_PERCENT)
    left = min(100 * bar.from_ms / whole, 100 - wide)
    return Stretch(
        bar.kind,
        BAR_WORDS.get(bar.kind, bar.kind),
        0 if bar.attempt is None else bar.attempt + 1,
        bar.from_ms,
        max(0.0, bar.to_ms - bar.from_ms),
        round(left, 2),
        round(wide, 2),
    )
