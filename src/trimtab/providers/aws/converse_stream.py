"""Converse's event stream as the vendor's: other events, starts that are not sent, usage after the end.

What it is not: the framing (`frames`) or exceptions (`event_stream`). Invariant: what comes out is a stream of the
vendor's API, with one `message_start`, blocks one after another from index 0, one `message_delta` with reason and
usage, and `message_stop`; a stream that ends before usage was said is broken.

Source: Amazon Bedrock API reference, ConverseStream (2026-11).
"""

import base64
import binascii
from typing import Any

import msgspec

from trimtab.errors import UpstreamBroken
from trimtab.messages import encode_event
from trimtab.providers.aws.converse_answer import (
    EXTRA,
    UNREADABLE,
    TokenUsage,
    end_of,
    message_id,
    no_words,
    usage_of,
)
from trimtab.providers.aws.event_stream import EventStream

_NOT_STARTED = {"input_tokens": 0, "output_tokens": 0}
"""Usage of `message_start`: Converse says it at the end. Counts of `message_delta` take its place."""

MAX_HELD_BYTES = 16 * 1024 * 1024
"""Of signatures and redacted thinking, which are held to the end of their block."""


class _Tool(msgspec.Struct, rename="camel"):
    tool_use_id: str
    name: str
    type: str | None = None


class _Started(msgspec.Struct, rename="camel"):
    start: dict[str, msgspec.Raw]
    content_block_index: int


class _Reasoning(msgspec.Struct, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Input(msgspec.Struct):
    input: str


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    tool_use: _Input | None = None
    reasoning_content: _Reasoning | None = None


class _Delta(msgspec.Struct, rename="camel"):
    delta: _Part
    content_block_index: int


class _Stopped(msgspec.Struct, rename="camel"):
    content_block_index: int


class _MessageStop(msgspec.Struct, rename="camel"):
    stop_reason: str
    additional_model_response_fields: msgspec.Raw = msgspec.Raw()


class _Metadata(msgspec.Struct):
    usage: TokenUsage


_STARTED = msgspec.json.Decoder(_Started)
_TOOL = msgspec.json.Decoder(_Tool)
_DELTA = msgspec.json.Decoder(_Delta)
_STOPPED = msgspec.json.Decoder(_Stopped)
_MESSAGE_STOP = msgspec.json.Decoder(_MessageStop)
_METADATA = msgspec.json.Decoder(_Metadata)
_OWN = msgspec.json.Decoder(dict[str, msgspec.Raw])

_EVENTS = (
    "messageStart",
    "contentBlockStart",
    "contentBlockDelta",
    "contentBlockStop",
    "messageStop",
    "metadata",
)


class ConverseStream(EventStream):
    """See `providers.translated.Translation`. One for each reply."""

    def __init__(self, request_id: str, model: str) -> None:
        """`request_id` is the platform's, for ids and an error event; `model` its id of the model."""
        super().__init__(request_id)
        self._model = model
        self._begun = False
        self._open: str | None = None
        """The kind of the block that is open (`text`, `thinking`, `redacted_thinking`, `tool_use`)."""
        self._theirs = -1
        """The platform's index of it."""
        self._ours = -1
        self._held: list[str] = []
        self._held_bytes = 0
        self._stop: _MessageStop | None = None
        self._metadata: _Metadata | None = None
        self._own: dict[str, msgspec.Raw] = {}

    def event(self, kind: str, payload: bytes) -> bytes:
        """See `EventStream`."""
        if kind not in _EVENTS:
            return b""
        try:
            return self._event(kind, payload)
        except UNREADABLE as problem:
            raise UpstreamBroken(
                f"an event {kind} of the platform's stream cannot be read: {problem}"
            ) from None

    def ended(self) -> None:
        """See `EventStream`."""
        raise UpstreamBroken("the platform ended its stream before it said why and what was used")

    def _event(self, kind: str, payload: bytes) -> bytes:
        if kind == "messageStart":
            if self._begun:
                raise UpstreamBroken("the platform's stream starts a second message")
            return self._begin()
        made = b"" if self._begun else self._begin()
        if kind == "metadata":
            if self._metadata is not None:
                raise UpstreamBroken("the platform's stream says twice what was used")
            self._metadata = _METADATA.decode(payload)
            self._keep(payload, "usage")
            return made + self._end()
        if self._stop is not None:
            raise UpstreamBroken(f"the platform's stream goes on with {kind} after its end")
        if kind == "contentBlockDelta":
            return made + self._delta(_DELTA.decode(payload), payload)
        if kind == "contentBlockStart":
            return made + self._start(_STARTED.decode(payload))
        if kind == "contentBlockStop":
            # One that never began was empty: the vendor has no such block.
            ends = self._open is not None and _STOPPED.decode(payload).content_block_index == self._theirs
            return made + (self._close() if ends else b"")
        self._stop = _MESSAGE_STOP.decode(payload)
        self._keep(payload)
        return made + self._close() + self._end()

    def _begin(self) -> bytes:
        self._begun = True
        message: dict[str, Any] = {
            "id": message_id(self._request_id),
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _NOT_STARTED,
        }
        return _said("message_start", message=message)

    def _start(self, started: _Started) -> bytes:
        for kind, raw in started.start.items():
            if kind != "toolUse":
                raise no_words(kind)
            tool = _TOOL.decode(raw)
            if tool.type is not None:
                raise no_words(f"toolUse.{tool.type}")
            block = {"type": "tool_use", "id": tool.tool_use_id, "name": tool.name, "input": {}}
            return self._close() + self._opened("tool_use", started.content_block_index, block)
        return b""  # its first delta says what it is

    def _delta(self, said: _Delta, payload: bytes) -> bytes:
        part, theirs = said.delta, said.content_block_index
        if part.text is not None:
            made = self._in("text", theirs, {"type": "text", "text": ""})
            return made + self._part({"type": "text_delta", "text": part.text})
        if part.tool_use is not None:
            if self._open != "tool_use" or theirs != self._theirs:
                raise UpstreamBroken("the platform's stream has input for a tool call that is not open")
            return self._part({"type": "input_json_delta", "partial_json": part.tool_use.input})
        thought = part.reasoning_content
        if thought is None:
            raise no_words(" ".join(_OWN.decode(_OWN.decode(payload)["delta"])) or "a delta without a kind")
        if thought.redacted_content is not None:
            made = b""
            if self._open != "redacted_thinking" or theirs != self._theirs:
                made = self._close()
                self._open, self._theirs = "redacted_thinking", theirs
            self._hold(thought.redacted_content)
            return made
        made = self._in("thinking", theirs, {"type": "thinking", "thinking": "", "signature": ""})
        if thought.text is not None:
            made += self._part({"type": "thinking_delta", "thinking": thought.text})
        if thought.signature is not None:
            self._hold(thought.signature)
        return made

    def _in(self, kind: str, theirs: int, block: dict[str, Any]) -> bytes:
        """What must be said so that a block of this kind is open; Converse starts only calls of tools."""
        if self._open == kind and self._theirs == theirs:
            return b""
        return self._close() + self._opened(kind, theirs, block)

    def _opened(self, kind: str, theirs: int, block: dict[str, Any]) -> bytes:
        self._open, self._theirs = kind, theirs
        self._ours += 1
        return _said("content_block_start", index=self._ours, content_block=block)

    def _part(self, delta: dict[str, Any]) -> bytes:
        return _said("content_block_delta", index=self._ours, delta=delta)

    def _hold(self, piece: str) -> None:
        self._held_bytes += len(piece)
        if self._held_bytes > MAX_HELD_BYTES:
            raise UpstreamBroken(f"the platform's stream has signatures of over {MAX_HELD_BYTES} bytes")
        self._held.append(piece)

    def _close(self) -> bytes:
        kind, self._open = self._open, None
        if kind is None:
            return b""
        held, self._held, self._held_bytes = self._held, [], 0
        made = b""
        if kind == "redacted_thinking":
            made = self._opened(kind, self._theirs, {"type": kind, "data": _joined(held)})
            self._open = None
        elif held:  # the vendor's stream has a signature once, and as the last of its block
            made = self._part({"type": "signature_delta", "signature": "".join(held)})
        return made + _said("content_block_stop", index=self._ours)

    def _keep(self, payload: bytes, *but: str) -> None:
        own = _OWN.decode(payload)
        self._own |= {name: raw for name, raw in own.items() if name not in (*but, "p")}

    def _end(self) -> bytes:
        if self._stop is None or self._metadata is None:
            return b""
        self._over = True
        return _said(
            "message_delta",
            delta=end_of(self._stop.stop_reason, self._stop.additional_model_response_fields),
            usage=usage_of(self._metadata.usage),
        ) + _said("message_stop", **{EXTRA: self._own})


def _said(kind: str, **members: Any) -> bytes:
    data = msgspec.json.encode({"type": kind, **members})
    if b"\n" in data or b"\r" in data:  # between the platform's own values only: JSON text holds none
        data = data.replace(b"\n", b" ").replace(b"\r", b" ")
    return encode_event(kind, data)


def _joined(pieces: list[str]) -> str:
    """Base64 of several pieces, each of which is base64 by itself; a single one stays as it came."""
    if len(pieces) == 1:
        return pieces[0]
    try:
        whole = b"".join(base64.b64decode(piece, validate=True) for piece in pieces)
    except (binascii.Error, ValueError):
        raise UpstreamBroken("the platform's stream has redacted thinking that is not base64") from None
    return base64.b64encode(whole).decode()
