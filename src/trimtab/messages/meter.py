"""Reads usage, stop reason and completeness off a reply, on a copy: the bytes themselves go on untouched.

`StreamMeter` for event streams, `ReplyMeter` for one JSON document. A meter never raises: what it cannot read
it leaves unknown (`usage is None`), and the money side then settles an estimate.
"""

import re
import zlib
from collections.abc import Iterator

import msgspec

from trimtab.messages.sse import NEWLINES, EventTooLarge, SSEParser, parse_block
from trimtab.messages.tolerant import given, read, text_of, usage_of
from trimtab.messages.usage import Usage, highest_usage, merge_usage

_DELTA_FRAME_BYTES = 108
"""`event: content_block_delta` + `data: {"type":...,"index":0,"delta":{"type":"text_delta","text":""}}` and line
ends; the rest of such an event is content. Only used to estimate calls that were cut before their last usage."""

MAX_UNPACKED_BYTES = 64 * 1024 * 1024
"""Of one compressed reply, as much is unpacked at most; the same as the engine takes of a whole JSON answer."""

FREE_UNPACKED_BYTES = 1024 * 1024
MAX_UNPACKED_RATIO = 200
"""Event streams pack about 1:10 to 1:60: an event of 120 bytes takes 2 at the least. A bomb reaches 1:1000."""

_SLICE_BYTES = 16 * 1024
"""Compressed bytes taken at a time: after each the bounds are checked, before anything looks at what came out."""

_PLAIN_BLOCKS = {
    "text",
    "thinking",
    "redacted_thinking",
    "tool_use",
    "server_tool_use",
    "mcp_tool_use",
}
_EMPTY_LIST = re.compile(rb"\[[ \t\r\n]*\]")


class _Error(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()


class _Delta(msgspec.Struct):
    stop_reason: msgspec.Raw = msgspec.Raw()


class _Message(msgspec.Struct):
    model: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()


class _Block(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()
    name: msgspec.Raw = msgspec.Raw()


class _Event(msgspec.Struct):
    """Every member raw: an odd one must not hide the others."""

    type: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()
    delta: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    content_block: msgspec.Raw = msgspec.Raw()


class _Document(msgspec.Struct):
    model: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    stop_reason: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    content: msgspec.Raw = msgspec.Raw()


_ERROR = msgspec.json.Decoder(_Error)
_DELTA = msgspec.json.Decoder(_Delta)
_MESSAGE = msgspec.json.Decoder(_Message)
_BLOCK = msgspec.json.Decoder(_Block)
_EVENT = msgspec.json.Decoder(_Event)
_DOCUMENT = msgspec.json.Decoder(_Document)


class Unpacked:
    """The events of a stream, of whatever packing. Each kind of stream reads its own (`_block`)."""

    __slots__ = ("_inflate", "_parser", "readable")

    def __init__(self, content_encoding: bytes) -> None:
        self._parser = SSEParser()
        self._inflate, self.readable = inflater(content_encoding)

    @property
    def at_boundary(self) -> bool:
        """Whether the stream stands between two events, where another event may be written."""
        return self._inflate is None and self._parser.at_boundary

    def feed(self, chunk: bytes) -> None:
        """Read one chunk."""
        if not self.readable:
            return
        # How many newlines stand around an event depends on how a run of them was cut into chunks.
        try:
            if self._inflate is None:
                for block in self._parser.feed(chunk):
                    self._block(block.strip(NEWLINES))
                return
            for piece in self._inflate.unpack(chunk):
                for block in self._parser.feed(piece):
                    self._block(block.strip(NEWLINES))
        except (EventTooLarge, Unpackable, zlib.error):
            self.readable = False

    def _block(self, block: bytes) -> None:
        raise NotImplementedError


class StreamMeter(Unpacked):
    """Feed it every chunk of one stream, in order. Cost: about 0.3 us per event without usage.

    Invariant: for a stream that is not compressed, what is read does not depend on how it is cut into chunks.

    After `message_stop` there is nothing more, by the vendor's rules, but a `ping` may come anywhere, and events of
    kinds to come are to be borne: these and whatever counts nothing change nothing. Content or counts that come all
    the same are not covered by the counts before; then these are not final, and none of them is lowered.
    """

    __slots__ = (
        "_counted",
        "_counted_late",
        "complete",
        "content_bytes",
        "error_type",
        "final",
        "model",
        "saw_content",
        "server_tool_uses",
        "stop_reason",
        "tool_result_bytes",
        "usage",
    )

    ends_with = "message_stop"
    """What a whole stream ends with."""

    def __init__(self, content_encoding: bytes = b"") -> None:
        super().__init__(content_encoding)
        self.usage: Usage | None = None
        self.model: str | None = None
        self.stop_reason: str | None = None
        self.error_type: str | None = None
        self.complete = False
        """`message_stop` was seen."""
        self.saw_content = False
        """The first content delta was seen: from here on the answer belongs to this attempt."""
        self.content_bytes = 0
        """Bytes of content events, less their framing."""
        self.final = False
        """The counts are the last ones: input is known, a `message_delta` said the output, no content came after, and
        the answer had stopped. Only then is usage what the platform will bill."""
        self._counted = False
        self._counted_late = False
        self.server_tool_uses = 0
        """Web searches that were begun. They are billed one by one, also when the stream is cut."""
        self.tool_result_bytes = 0
        """Bytes of blocks that arrive whole in their start event: results of server tools, billed as input."""

    def _block(self, block: bytes) -> None:
        if block.startswith(b"event: content_block_delta"):
            self._content(block)
        elif block.startswith(b"event: content_block_start"):
            if b'"server_tool_use"' in block or b'_tool_result"' in block:
                self._read(block)
            else:
                self._start(block)
        elif block.startswith(b"event: content_block_st"):
            self._start(block)
        elif b"{" in block and not block.startswith(b"event: ping"):
            self._read(block)

    def _content(self, block: bytes) -> None:
        self.saw_content = True
        self.final = self._counted = False  # whatever was counted before is not the end
        self.content_bytes += max(len(block) + 2 - _DELTA_FRAME_BYTES, 1)

    def _start(self, block: bytes) -> None:
        self.final = self._counted = False
        self.content_bytes += max(len(block) + 2 - _DELTA_FRAME_BYTES, 0)

    def _read(self, block: bytes) -> None:
        event = read(_EVENT, parse_block(block).data)
        if event is None:
            return
        match text_of(event.type):
            case "message_start":
                if (message := read(_MESSAGE, event.message)) is not None:
                    self.model = self.model if self.complete else text_of(message.model)
                    self._usage(message.usage)
            case "message_delta":
                self._message_delta(event)
            case "message_stop":
                self.complete = True
                self.final = self._counted and not self._counted_late
            case "content_block_start":
                self._start(block)
                self._tool(event, len(block) + 2)
            case "content_block_delta":  # a stream that names its events in the data only
                self._content(block)
            case "error":
                self.error_type = _error_type(read(_ERROR, event.error))

    def _usage(self, raw: msgspec.Raw) -> Usage | None:
        usage = usage_of(raw)
        if self.complete and given(raw):
            self._counted_late, self.final = True, False
            if usage is not None:
                self.usage = highest_usage(self.usage, usage)
        elif usage is not None:
            self.usage = merge_usage(self.usage, usage)
        return usage

    def _message_delta(self, event: _Event) -> None:
        delta = read(_DELTA, event.delta)
        stop_reason = text_of(delta.stop_reason) if delta is not None else None
        if stop_reason is not None and not self.complete:
            self.stop_reason = stop_reason
        if not given(event.usage):
            return
        usage = self._usage(event.usage)
        counted = usage is not None and usage.output_tokens is not None
        known = self.usage is not None and self.usage.input_tokens is not None
        self._counted = counted and known
        self.final = self._counted and self.stop_reason is not None and not self._counted_late

    def _tool(self, event: _Event, size: int) -> None:
        block = read(_BLOCK, event.content_block)
        if block is None:
            return
        kind = text_of(block.type)
        if kind == "server_tool_use" and text_of(block.name) == "web_search":
            self.server_tool_uses += 1
        elif kind not in _PLAIN_BLOCKS:
            self.tool_result_bytes += size


class ReplyMeter:
    """Reads one whole JSON reply."""

    __slots__ = ("error_message", "error_type", "final", "has_content", "model", "stop_reason", "usage")

    def __init__(self, body: bytes, content_encoding: bytes = b"") -> None:
        self.usage: Usage | None = None
        self.model: str | None = None
        self.stop_reason: str | None = None
        self.error_type: str | None = None
        self.error_message: str | None = None
        self.has_content = True
        """False only when the answer shows an empty content list."""
        self.final = False
        """Input and output counts are both there."""
        inflate, readable = inflater(content_encoding)
        if not readable:
            return
        try:
            document = read(_DOCUMENT, b"".join(inflate.unpack(body)) if inflate else body)
        except (Unpackable, zlib.error):
            return
        if document is None:
            return
        self.model = text_of(document.model)
        self.stop_reason = text_of(document.stop_reason)
        self.usage = usage = usage_of(document.usage)
        self.final = usage is not None and None not in (usage.input_tokens, usage.output_tokens)
        self.has_content = _EMPTY_LIST.match(memoryview(document.content)) is None
        if given(document.error):
            error = read(_ERROR, document.error)
            self.error_type = _error_type(error)
            self.error_message = text_of(error.message) if error is not None else None


def _error_type(error: _Error | None) -> str:
    return (text_of(error.type) if error is not None else None) or "api_error"


class Unpackable(ValueError):
    """A compressed reply grows past its bounds."""


class Inflater:
    """Unpacks a gzip or zlib stream within bounds, so that a small reply cannot cost much time or memory."""

    __slots__ = ("_inflate", "_packed", "_unpacked")

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        self._packed = 0
        self._unpacked = 0

    def unpack(self, chunk: bytes) -> Iterator[bytes]:
        """What a chunk unpacks to, in pieces. Raises `Unpackable` past the bounds, `zlib.error` for other bytes."""
        for at in range(0, len(chunk), _SLICE_BYTES):
            if self._inflate.eof:
                return  # what follows a stream's end is not ours to read
            piece = chunk[at : at + _SLICE_BYTES]
            self._packed += len(piece)
            allowed = min(MAX_UNPACKED_BYTES, FREE_UNPACKED_BYTES + MAX_UNPACKED_RATIO * self._packed)
            out = self._inflate.decompress(piece, allowed - self._unpacked + 1)
            self._unpacked += len(out)
            if self._unpacked > allowed:
                raise Unpackable(f"a compressed reply unpacks to more than {allowed} bytes")
            if out:
                yield out


def unpacked(reply: bytes, content_encoding: bytes) -> bytes | None:
    """A reply as it was before a platform packed it, as much as there is of it; `None` where that cannot be read."""
    inflate, readable = inflater(content_encoding)
    if not readable:
        return None
    if inflate is None:
        return reply
    try:
        return b"".join(inflate.unpack(reply))
    except (Unpackable, zlib.error):
        return None


def inflater(content_encoding: bytes) -> tuple[Inflater | None, bool]:
    """(decompressor or None, readable). We ask platforms for identity; some compress all the same."""
    match content_encoding.strip().lower():
        case b"" | b"identity":
            return None, True
        case b"gzip" | b"x-gzip" | b"deflate":
            return Inflater(), True
        case _:
            return None, False
