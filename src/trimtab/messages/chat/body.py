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


class ChatBody(MessagesBody):
    """One parsed request body. Immutable; `asking` makes the changed bytes.

    It has what a `MessagesBody` has that both surfaces share; of the rest (thinking, effort) it says that there is
    none.
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

    def _effort(self) -> None:
        self.has_effort = False

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

    def asking(self, *, model: str, usage: bool = False) -> bytes:
        """The body for the server's own name of the model; with `usage`, a stream is asked for its usage too.

        Every other byte stays; no change gives `raw` itself. Raises `RequestError` where `stream_options` holds a key
        twice.
        """
        changes: dict[str, object] = {}
        if model != self.model:
            changes["model"] = model
        if usage and not self.wants_usage:
            field = self.fields.get(_STREAM_OPTIONS)
            options: dict[str, Any] = msgspec.json.decode(field) if field is not None and given(field) else {}
            changes[_STREAM_OPTIONS] = {**options, "include_usage": True}
        if not changes:
            return self.raw
        return apply_edits(self.raw, top_level_edits(self.raw, self.fields, changes, "model"))
