"""What a process remembers of conversations: where they are on their ladder, what is in the platform's cache, what was
asked before, and which answers were disliked.

What it is not: a record, or shared: a conversation that another process serves is new there. Used on the event loop
only. Invariants: bounded in conversations and in what is kept of each; no text is kept, only digests; what is forgotten
costs a saving, never an answer.
"""

from collections import OrderedDict
from hashlib import blake2b

import msgspec

from trimtab.catalogue import Arm

MOST = 20_000
"""Conversations, about 12 MB. Beyond it the one that was not heard of for longest is forgotten."""

STICK_S = 3600.0
"""A conversation is forgotten so long after its last answer. Ours, not measured: who comes back later begins anew."""

CACHE_S = 300.0
"""The platform's prompt cache lives for so long after its last use. Source: vendor prompt caching page (2026-11); the
one-hour cache is not counted on."""

MOST_ASKED = 16
"""Questions of one conversation that are told apart; the oldest is forgotten."""

SHORT = 24
"""Characters below which a question says nothing by itself ("continue", "yes, go on"): it is the same only where it is
asked again at the same place."""

HASHED = 32_768
"""Characters of each end of a question that are looked at, so that a long one costs 0.1 ms."""


class Remembered(msgspec.Struct, frozen=True):
    """What is known of a conversation, as `Facts` have it."""

    on_rung: Arm | None = None
    cached_tokens: int = 0
    escalated: bool = False
    chain_on: Arm | None = None
    disliked_on: tuple[Arm, ...] = ()


NEW = Remembered()


class _Conversation:
    __slots__ = ("asked", "cached_tokens", "chain_on", "disliked_on", "escalated", "heard", "on_rung")

    def __init__(self) -> None:
        self.heard = 0.0
        self.on_rung: Arm | None = None
        self.cached_tokens = 0
        self.escalated = False
        self.chain_on: Arm | None = None
        self.disliked_on: tuple[Arm, ...] = ()
        self.asked: dict[bytes, int] = {}


class Conversations:
    """Of one process; outlives a change of configuration. All times are seconds of one clock, given by the caller."""

    def __init__(self, limit: int = MOST) -> None:
        self._limit = limit
        self._known: OrderedDict[str, _Conversation] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def known(self, conversation: str, now: float) -> Remembered:
        """Where it is. Cost: 1 us."""
        found = self._found(conversation, now)
        if found is None:
            return NEW
        warm = now - found.heard <= CACHE_S
        return Remembered(
            found.on_rung,
            found.cached_tokens if warm else 0,
            found.escalated,
            found.chain_on,
            found.disliked_on,
        )

    def repeated(self, conversation: str, question: bytes, now: float) -> int:
        """How often this question (`digest_of`) was answered before in the conversation; ask at a person's turn."""
        found = self._found(conversation, now)
        return 0 if found is None else found.asked.get(question, 0)

    def answered(
        self,
        conversation: str,
        arm: Arm,
        now: float,
        *,
        cached_tokens: int = 0,
        escalated: bool = False,
        question: bytes | None = None,
    ) -> None:
        """An answer of this arm went out. `cached_tokens`: what of the prompt the platform has in its cache now.
        `escalated`: a lower rung's answer was not accepted before. `question`: at a person's turn, its digest."""
        if not conversation:
            return
        found = self._found(conversation, now) or self._begun(conversation)
        self._known.move_to_end(conversation)
        found.escalated = escalated or (found.escalated and found.on_rung == arm)
        found.heard, found.on_rung, found.cached_tokens = now, arm, cached_tokens
        if question is not None:
            found.chain_on = arm
            found.asked[question] = found.asked.pop(question, 0) + 1
            if len(found.asked) > MOST_ASKED:
                del found.asked[next(iter(found.asked))]

    def forget(self, conversation: str) -> None:
        """It begins anew."""
        self._known.pop(conversation, None)

    def disliked(self, conversation: str, arm: Arm, now: float) -> None:
        """An answer that this arm gave was disliked. Of a conversation that is not known nothing is noted."""
        found = self._found(conversation, now)
        if found is not None and arm not in found.disliked_on:
            found.disliked_on = (*found.disliked_on, arm)

    def _found(self, conversation: str, now: float) -> _Conversation | None:
        found = self._known.get(conversation)
        if found is None:
            return None
        if now - found.heard > STICK_S:
            del self._known[conversation]
            return None
        return found

    def _begun(self, conversation: str) -> _Conversation:
        made = self._known[conversation] = _Conversation()
        if len(self._known) > self._limit:
            self._known.popitem(last=False)
        return made


def digest_of(question: str, turn: int) -> bytes:
    """What tells questions apart: their text without what surrounds it; of short ones also the number of turns before
    them. The text itself is not kept."""
    text = question.strip()
    if len(text) > 2 * HASHED:
        text = f"{text[:HASHED]}{len(text)}{text[-HASHED:]}"
    elif len(text) < SHORT:
        text = f"{turn}\0{text}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()
