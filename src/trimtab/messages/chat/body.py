"""A Chat Completions request body: read as far as a gateway needs, changed only by splicing.

What it is not: a check of the whole schema, which each server has its own of. Read as `MessagesBody` is: one scan, and
a top-level key that stands twice is refused.

Source: OpenAI API reference, "Create chat completion" (2026-11).
"""

from typing import Any

import msgspec

from trimtab.errors import RequestError
from trimtab.messages.body import MAX_MAX_TOKENS, MAX_SHOWN_CHARS, MessagesBody
from trimtab.messages.splice import apply_edits, top_level_edits
from trimtab.messages.tolerant import count_of, given

MAX_ANSWERS = 128
"""Of `n`. Source: OpenAI API reference (2026-11)."""

_OPTIONS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STREAM_OPTIONS = "stream_options"
EFFORT = "reasoning_effort"


def _instructs(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") in ("system", "developer")


class ChatBody(MessagesBody):
    """One parsed request body. Immutable; `asking` makes the changed bytes.

    It has what a `MessagesBody` has that both surfaces share; its effort is `reasoning_effort`. Of the rest (thinking)
    it says that there is none.
    """

    __slots__ = ("answers", "wants_usage")

    def __init__(self, raw: bytes) -> None:
        """Parse and check the fields that routing and money depend on. Raises `RequestError`."""
        super().__init__(raw, max_tokens_required=False)
        self.answers = self._whole("n", MAX_ANSWERS, least=1) or 1
        """How many answers are asked for; each is billed."""
        self.wants_usage = self._wants_usage()
        """Whether the client asked for a chunk with usage at the end of a stream."""

    def _max_tokens(self) -> int | None:
        """The most of one answer: the larger of the two fields, as servers differ in which one they go by."""
        found = [self._whole(name, MAX_MAX_TOKENS) for name in ("max_completion_tokens", "max_tokens")]
        return max((limit for limit in found if limit is not None), default=None)

    def _effort(self) -> str | None:
        field = self.fields.get(EFFORT)
        self.has_effort = field is not None
        return None if field is None or not given(field) else self.text_field(EFFORT) or ""

    def _whole(self, name: str, most: int, least: int = 0) -> int | None:
        field = self.fields.get(name)
        if field is None or not given(field):
            return None
        number = count_of(field)
        if number is None or not least <= number <= most:
            shown = bytes(memoryview(field)[:MAX_SHOWN_CHARS]).decode(errors="replace")
            raise RequestError(f"{name}: {shown}: must be a whole number from {least} to {most}")
        return number

    def _wants_usage(self) -> bool:
        field = self.fields.get(_STREAM_OPTIONS)
        if field is None or not given(field):
            return False
        try:
            return bytes(_OPTIONS.decode(field).get("include_usage", b"")) == b"true"
        except (msgspec.DecodeError, RecursionError):
            raise RequestError(f"{_STREAM_OPTIONS}: must be an object") from None

    def user_id(self) -> str | None:
        """`safety_identifier`, or `user`, which it replaces."""
        return self.text_field("safety_identifier") or self.text_field("user") or None

    def guided(self, text: str) -> "ChatBody | None":
        """The body with a text behind its leading instructions, or as the first one where it has none; every other byte
        stays. `None` where its messages are in no form that can be added to."""
        try:
            messages = msgspec.json.decode(self.fields["messages"])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        last = -1
        while last + 1 < len(messages) and _instructs(messages[last + 1]):
            last += 1
        if last < 0:
            start = self._places()["messages"][0] + 1
            first = msgspec.json.encode({"role": "system", "content": text}) + (b"," if messages else b"")
            return ChatBody(apply_edits(self.raw, [(start, start, first)]))
        content = messages[last].get("content")
        if isinstance(content, str):
            longer: object = f"{content}\n\n{text}" if content else text
        elif isinstance(content, list):
            longer = [*content, {"type": "text", "text": text}]
        else:
            return None
        turns = [*messages[:last], {**messages[last], "content": longer}, *messages[last + 1 :]]
        return ChatBody(self.changed({"messages": turns}))

    def asking(self, *, model: str, usage: bool = False, effort: str | None = None) -> bytes:
        """The body for the server's own name of the model; with `usage`, a stream is asked for its usage too; `effort`
        becomes `reasoning_effort`, also in the place of the client's.

        Every other byte stays; no change gives `raw` itself. Raises `RequestError` where `stream_options` holds a key
        twice.
        """
        changes: dict[str, object] = {}
        if model != self.model:
            changes["model"] = model
        if effort is not None:
            changes[EFFORT] = effort
        if usage and not self.wants_usage:
            field = self.fields.get(_STREAM_OPTIONS)
            options: dict[str, Any] = msgspec.json.decode(field) if field is not None and given(field) else {}
            changes[_STREAM_OPTIONS] = {**options, "include_usage": True}
        if not changes:
            return self.raw
        return apply_edits(self.raw, top_level_edits(self.raw, self.fields, changes, "model"))
