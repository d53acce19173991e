"""Reads usage, finish reason and completeness off a chat answer, on a copy: the bytes themselves go on untouched.

`ChatStreamMeter` for event streams, `ChatReplyMeter` for one JSON document, with what the engine asks of the meters
of Messages. A meter never raises: what it cannot read it leaves unknown, and the money side settles an estimate.

Source: OpenAI API reference, streaming (2026-11): each `data:` is a chunk, with `stream_options.include_usage` one more
with `usage` and no choices comes before `data: [DONE]`, which ends the stream. An error inside a stream is a `data:`
with an `error` object (official SDK 3.54 reads them so).
"""

import zlib

import msgspec

from trimtab.messages.chat.usage import chat_usage
from trimtab.messages.meter import Unpackable, Unpacked, inflater
from trimtab.messages.sse import parse_block
from trimtab.messages.tolerant import given, read, text_of
from trimtab.messages.usage import Usage, highest_usage, merge_usage

DONE = b"[DONE]"


class _Choice(msgspec.Struct):
    finish_reason: msgspec.Raw = msgspec.Raw()
    delta: msgspec.Raw = msgspec.Raw()


class _Chunk(msgspec.Struct):
    """Every member raw: an odd one must not hide the others."""

    model: msgspec.Raw = msgspec.Raw()
    choices: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class _Error(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()
    code: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()


_CHUNK = msgspec.json.Decoder(_Chunk)
_CHOICES = msgspec.json.Decoder(list[_Choice])
_DELTA = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ERROR = msgspec.json.Decoder(_Error)
_NOTHING = (b'""', b"null", b"[]", b"{}")
_OBJECT = ord("{")


class ChatStreamMeter(Unpacked):
    """Feed it every chunk of bytes of one stream, in order. Cost: about 1 us per event.

    Invariant: counts are final only where nothing but `[DONE]` came behind them. What comes after `[DONE]` and counts
    makes them unsure again, and lowers none.
    """

    __slots__ = (
        "_counted",
        "_late",
        "complete",
        "content_bytes",
        "error_type",
        "final",
        "model",
        "saw_content",
        "stop_reason",
        "usage",
    )

    ends_with = "[DONE]"
    server_tool_uses = 0
    tool_result_bytes = 0

    def __init__(self, content_encoding: bytes = b"") -> None:
        super().__init__(content_encoding)
        self.usage: Usage | None = None
        self.model: str | None = None
        self.stop_reason: str | None = None
        """The last finish reason."""
        self.error_type: str | None = None
        self.complete = False
        """`[DONE]` was seen."""
        self.saw_content = False
        """The first chunk with words, a call of a tool or a finish reason was seen: from here on the answer belongs to
        this attempt. Servers send the role before that, in a chunk of its own."""
        self.content_bytes = 0
        """Bytes of chunks with choices, framing included."""
        self.final = False
        """Input and output are known, and no choice came after."""
        self._counted = False
        self._late = False

    def _block(self, block: bytes) -> None:
        data = parse_block(block).data
        if not data:
            return  # a comment, which some servers send to keep the connection alive
        if data.strip() == DONE:
            self.complete = True
            self.final = self._counted and not self._late
        elif (chunk := read(_CHUNK, data)) is not None:
            self._chunk(chunk, len(block))

    def _chunk(self, chunk: _Chunk, size: int) -> None:
        choices = read(_CHOICES, chunk.choices) if given(chunk.choices) else None
        if given(chunk.error):
            self.error_type = _error(chunk.error)[0]
        if choices or (choices is None and given(chunk.choices)):
            if not self.saw_content:
                self.saw_content = choices is None or any(map(_says, choices))
            self.content_bytes += size
            self.final = self._counted = False
            self._late = self.complete
        if not self.complete:
            self.model = self.model or text_of(chunk.model)
            for choice in choices or ():
                self.stop_reason = text_of(choice.finish_reason) or self.stop_reason
        if (usage := chat_usage(chunk.usage)) is None:
            return
        if self.complete:
            self._late, self.final = True, False
            self.usage = highest_usage(self.usage, usage)
            return
        self.usage = merge_usage(self.usage, usage)
        self._counted = usage.output_tokens is not None
        self.final = self._counted and not choices


def _says(choice: _Choice) -> bool:
    """Whether there is something in it beside the role. What cannot be read is taken for words."""
    delta = read(_DELTA, choice.delta)
    return (
        given(choice.finish_reason)
        or delta is None
        or any(name != "role" and bytes(value) not in _NOTHING for name, value in delta.items())
    )


class ChatReplyMeter:
    """Reads one whole JSON answer."""

    __slots__ = ("error_message", "error_type", "final", "model", "stop_reason", "usage")

    has_content = True

    def __init__(self, body: bytes, content_encoding: bytes = b"") -> None:
        self.usage: Usage | None = None
        self.model: str | None = None
        self.stop_reason: str | None = None
        self.error_type: str | None = None
        self.error_message: str | None = None
        self.final = False
        """Input and output counts are both there."""
        inflate, readable = inflater(content_encoding)
        if not readable:
            return
        try:
            document = read(_CHUNK, b"".join(inflate.unpack(body)) if inflate else body)
        except (Unpackable, zlib.error):
            return
        if document is None:
            return
        self.model = text_of(document.model)
        for choice in read(_CHOICES, document.choices) or ():
            self.stop_reason = text_of(choice.finish_reason) or self.stop_reason
        self.usage = usage = chat_usage(document.usage)
        self.final = usage is not None and usage.output_tokens is not None
        if given(document.error):
            self.error_type, self.error_message = _error(document.error)


def _error(raw: msgspec.Raw) -> tuple[str, str | None]:
    """Type and message of an error; some servers write only a text, and some a number as `code`."""
    if memoryview(raw)[0] != _OBJECT:
        return "server_error", text_of(raw)
    error = read(_ERROR, raw)
    if error is None:
        return "server_error", None
    return text_of(error.type) or text_of(error.code) or "server_error", text_of(error.message)
