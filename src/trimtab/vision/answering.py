"""Puts the coordinates of an answer's computer actions where the client means them, in JSON answers and in streams.

What it is not: who decides that (`computer`). Invariants: only numbers in coordinates of computer tools change; of a
stream, events of these tools' input wait for the end of their block and go on as one event, in the place of the
first; every other event goes on as it came, once it is whole.
"""

from typing import Any

import msgspec

from trimtab.errors import RequestError, UpstreamBroken
from trimtab.messages.splice import apply_edits, top_level_edits
from trimtab.messages.sse import EventTooLarge, SSEParser, encode_event, parse_block
from trimtab.vision.computer import Frame, Tools, moved_back

MAX_INPUT_BYTES = 4 * 1024 * 1024
"""Of one action; the longest output of a model is an eighth of it."""

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY = msgspec.json.Decoder(dict[str, Any])
_SIGNS = (b"tool_use", b"input_json_delta", b"content_block_stop")


class MapBack(msgspec.Struct, frozen=True):
    """How the answer of one request is changed."""

    tools: Tools
    frame: Frame

    def whole(self, body: bytes) -> bytes:
        """A JSON answer; one that is not understood, such as an error, as it is."""
        try:
            fields = _OBJECT.decode(body)
            content = msgspec.json.decode(fields["content"])
            for block in content:
                if self.tools.made(block) and isinstance(block.get("input"), dict):
                    text = msgspec.json.encode(block["input"])
                    block["input"] = msgspec.json.decode(moved_back(text, self.frame))
            return apply_edits(body, top_level_edits(body, fields, {"content": content}, "content"))
        except (
            msgspec.DecodeError,
            RequestError,
            ValueError,
            KeyError,
            TypeError,
            RecursionError,
            AttributeError,
        ):
            return body

    def stream(self) -> "StreamedBack":
        """For one event stream."""
        return StreamedBack(self)


class _Held:
    """The input of one action, as far as it has come."""

    __slots__ = ("events", "parts", "size")

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.parts: list[str] = []
        self.size = 0


class StreamedBack:
    """Feed it every chunk of bytes of one stream, in order; `rest` at its proper end."""

    __slots__ = ("_held", "_how", "_parser")

    def __init__(self, how: MapBack) -> None:
        self._how = how
        self._parser = SSEParser()
        self._held: dict[int, _Held] = {}

    def feed(self, chunk: bytes) -> bytes:
        """What goes on of the events that are whole now; may be empty. Raises `UpstreamBroken` for one that is too
        long to be held."""
        try:
            blocks = self._parser.feed(chunk)
        except EventTooLarge as problem:
            raise UpstreamBroken(str(problem)) from None
        return b"".join([self._goes(block) for block in blocks])

    def rest(self) -> bytes:
        """What is left at the end: an event without its empty line."""
        return self._parser.tail

    def _goes(self, block: bytes) -> bytes:
        if not any(sign in block for sign in _SIGNS):
            return block
        try:
            event = _ANY.decode(parse_block(block).data)
            kind, index = event.get("type"), event.get("index")
            if type(index) is not int:
                return block
            if kind == "content_block_start" and self._how.tools.made(event["content_block"]):
                self._held[index] = _Held()
            elif kind == "content_block_delta" and index in self._held:
                delta = event["delta"]
                if delta.get("type") == "input_json_delta":
                    self._hold(self._held[index], block, str(delta["partial_json"]))
                    return b""
            elif kind == "content_block_stop" and index in self._held:
                return self._released(index, self._held.pop(index)) + block
        except (msgspec.DecodeError, ValueError, KeyError, TypeError, RecursionError, AttributeError):
            pass
        return block

    def _hold(self, held: _Held, block: bytes, part: str) -> None:
        held.events.append(block)
        held.parts.append(part)
        held.size += len(block)
        if held.size > MAX_INPUT_BYTES:
            raise UpstreamBroken(f"the input of a computer action has more than {MAX_INPUT_BYTES} bytes")

    def _released(self, index: int, held: _Held) -> bytes:
        text = "".join(held.parts).encode()
        moved = moved_back(text, self._how.frame)
        if moved == text:
            return b"".join(held.events)
        delta = {"type": "input_json_delta", "partial_json": moved.decode()}
        data = {"type": "content_block_delta", "index": index, "delta": delta}
        return encode_event("content_block_delta", msgspec.json.encode(data))
