"""One request's whole story: the decision and its reasons, every attempt, what was changed, tokens, money and time, and
what became of it as people told.

What it is not: a way to ask again, or to change what is recorded.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from trimtab.admin.request_steps import Steps, steps_of
from trimtab.console.answers import Story
from trimtab.console.application import Shown
from trimtab.console.figures import Figures
from trimtab.console.questions import Scope
from trimtab.console.situation import ContentPolicy, Situation
from trimtab.console.timing import lanes, stretches
from trimtab.console.transcript import answered_text, edited_text, turns
from trimtab.console.visit import Visit
from trimtab.console.visitors import Role, Visitor
from trimtab.content import shown
from trimtab.errors import NotFound, shortened
from trimtab.records import Outcome, Verdict
from trimtab.records.verdict import quotes
from trimtab.store.content import Content, Deletion
from trimtab.store.feedback import Feedback

CONTENT_ROLE: Role = "operator"


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

    def with_edited(self, words: Sequence[Feedback]) -> tuple[Feedback, ...]:
        """The same words with the edited answers that are kept of them."""
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
    evidence_kept: bool
    """Whether there is evidence that the visitor may not read: where prompts and answers are kept, texts of an answer
    may stand in it."""


class Edit(msgspec.Struct, frozen=True):
    """An answer and its correction, as text, each cut to what a page shows."""

    answered: str
    """Empty: it is not kept."""
    edited: str


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
        content = self._content(story.record, visitor)
        hidden = not content.may_read and (content.kept is not None or content.policy.keep != "off")
        record = without_texts(story.record) if hidden else story.record
        evidence_kept = hidden and record != story.record
        story = msgspec.structs.replace(story, record=record)
        told = self._feedback.of_whole(record.id, record.task)
        if content.may_read:
            told = self._feedback.with_edited(told)
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
                evidence_kept=evidence_kept,
            ),
            values={
                "stretches": stretches(story.bars, record.total_ms),
                "edits": _edits(told, content.both),
                "turns": blocks,
                "turns_left_out": blocks_left_out,
                "filtered": any(value for name, value in visit.asked.items() if name != "simulated"),
                "lanes": lanes(record.attempts),
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


def _edits(told: Sequence[Feedback], both: dict[str, Any] | None) -> dict[str, Edit]:
    """By who judged, what was answered and what it should have been; what of the first is not kept, is not shown."""
    answered = "" if both is None else answered_text(both)
    return {
        f"{word.request} {word.source}": Edit(answered, edited_text(word.edited))
        for word in told
        if word.edited is not msgspec.UNSET
    }


def without_texts(record: Outcome) -> Outcome:
    """A record whose verdicts say what was found, but no text that may be of the answer."""

    def figures(verdict: Verdict) -> Verdict:
        plain = {name: fact for name, fact in verdict.evidence.items() if not quotes(name, fact)}
        return msgspec.structs.replace(verdict, evidence=plain)

    return msgspec.structs.replace(
        record,
        attempts=tuple(
            msgspec.structs.replace(attempt, verdicts=tuple(map(figures, attempt.verdicts)))
            for attempt in record.attempts
        ),
    )
