"""Reads usage, stop reason and completeness off a reply, on a copy: the bytes themselves go on untouched.

`StreamMeter` for event streams, `ReplyMeter` for one JSON document. A meter never raises: what it cannot read
it leaves unknown (`usage is None`), and the money side then settles an estimate.
"""

import zlib

import msgspec

from trimtab.messages.sse import EventTooLarge, SSEParser, parse_block
from trimtab.messages.usage import Usage, merge_usage

_DELTA_FRAME_BYTES = 108
"""`event: content_block_delta` + `data: {"type":...,"index":0,"delta":{"type":"text_delta","text":""}}` and line
ends; the rest of such an event is content. Only used to estimate calls that were cut before their last usage."""


class _Error(msgspec.Struct):
    type: str = "api_error"


class _Delta(msgspec.Struct):
    stop_reason: str | None = None


class _Message(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    usage: Usage | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    message: _Message | None = None
    delta: _Delta | None = None
    usage: Usage | None = None
    error: _Error | None = None


class _Document(msgspec.Struct):
    type: str = ""
    model: str | None = None
    usage: Usage | None = None
    stop_reason: str | None = None
    error: _Error | None = None
    content: list[msgspec.Raw] | None = None


_EVENT = msgspec.json.Decoder(_Event)
_DOCUMENT = msgspec.json.Decoder(_Document)


class StreamMeter:
    """Feed it every chunk of one stream, in order. Cost: about 0.3 us per event without usage."""

    __slots__ = (
        "_inflate",
        "_parser",
        "complete",
        "content_bytes",
        "error_type",
        "model",
        "readable",
        "saw_content",
        "stop_reason",
        "usage",
    )

    def __init__(self, content_encoding: bytes = b"") -> None:
        self._parser = SSEParser()
        self._inflate, self.readable = _inflater(content_encoding)
        self.usage: Usage | None = None
        self.model: str | None = None
        self.stop_reason: str | None = None
        self.error_type: str | None = None
        self.complete = False
        """`message_stop` was seen."""
        self.saw_content = False
        """The first content delta was seen: from here on the answer belongs to this attempt."""
        self.content_bytes = 0
        """Bytes of content deltas, less their framing."""

    @property
    def at_boundary(self) -> bool:
        """Whether the stream stands between two events, where another event may be written."""
        return self._inflate is None and self._parser.at_boundary

    def feed(self, chunk: bytes) -> None:
        """Read one chunk."""
        if not self.readable:
            return
        try:
            if self._inflate is not None:
                chunk = self._inflate.decompress(chunk)
            for block in self._parser.feed(chunk):
                self._block(block)
        except (EventTooLarge, zlib.error):
            self.readable = False

    def _block(self, block: bytes) -> None:
        if block.startswith(b"event: content_block_delta"):
            self.saw_content = True
            self.content_bytes += max(len(block) - _DELTA_FRAME_BYTES, 1)
        elif block.startswith(b"event: content_block_st") or block.startswith(b"event: ping"):
            self.content_bytes += max(len(block) - _DELTA_FRAME_BYTES, 0)
        else:
            self._read(block)

    def _read(self, block: bytes) -> None:
        data = parse_block(block).data
        if not data:
            return
        try:
            event = _EVENT.decode(data)
        except (msgspec.DecodeError, RecursionError):
            return
        match event.type:
            case "message_start" if event.message is not None:
                self.model = event.message.model
                if event.message.usage is not None:
                    self.usage = merge_usage(self.usage, event.message.usage)
            case "message_delta":
                if event.usage is not None:
                    self.usage = merge_usage(self.usage, event.usage)
                if event.delta is not None and event.delta.stop_reason is not None:
                    self.stop_reason = event.delta.stop_reason
            case "message_stop":
                self.complete = True
            case "content_block_delta":  # a stream that names its events in the data only
                self.saw_content = True
                self.content_bytes += max(len(block) - _DELTA_FRAME_BYTES, 1)
            case "error" if event.error is not None:
                self.error_type = event.error.type


class ReplyMeter:
    """Reads one whole JSON reply."""

    __slots__ = ("error_type", "has_content", "model", "stop_reason", "usage")

    def __init__(self, body: bytes, content_encoding: bytes = b"") -> None:
        inflate, readable = _inflater(content_encoding)
        self.usage: Usage | None = None
        self.model: str | None = None
        self.stop_reason: str | None = None
        self.error_type: str | None = None
        self.has_content = True
        """False only when the answer shows an empty content list."""
        if not readable:
            return
        try:
            document = _DOCUMENT.decode(inflate.decompress(body) if inflate else body)
        except (msgspec.DecodeError, zlib.error, RecursionError):
            return
        self.model = document.model
        self.stop_reason = document.stop_reason
        self.usage = document.usage
        self.has_content = document.content is None or bool(document.content)
        if document.error is not None:
            self.error_type = document.error.type


def _inflater(content_encoding: bytes) -> "tuple[zlib._Decompress | None, bool]":
    """(decompressor or None, readable). We ask platforms for identity; some compress all the same."""
    match content_encoding.strip().lower():
        case b"" | b"identity":
            return None, True
        case b"gzip" | b"x-gzip" | b"deflate":
            return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32), True
        case _:
            return None, False
