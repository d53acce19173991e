"""A state machine for Messages event streams, for tests and debug mode.

It knows the order of events and which delta fits which block. Unknown event, block and delta types are allowed:
the vendor adds them, and pass-through is the rule.

Source: vendor streaming page (2026-11); anthropic SDK 2.11.0 `types/raw_message_stream_event.py`,
`types/beta/beta_raw_content_block_delta.py`.
"""

from typing import Any

import msgspec

from trimtab.messages.sse import NEWLINES, EventTooLarge, SSEEvent, SSEParser
from trimtab.messages.tolerant import UNREADABLE

_DELTA_FITS = {
    "text_delta": {"text"},
    "citations_delta": {"text"},
    "input_json_delta": {"tool_use", "server_tool_use", "mcp_tool_use"},
    "thinking_delta": {"thinking"},
    "signature_delta": {"thinking"},
    "compaction_delta": {"compaction"},
}
_EVENT = msgspec.json.Decoder(dict[str, Any])

MAX_PROBLEMS = 20
_MAX_SHOWN_CHARS = 80
_MAX_INDEX = 1_000_000_000


class StreamValidator:
    """Feed chunks, then `finish`; `problems` lists what broke the rules, in order. It never raises.

    At most `MAX_PROBLEMS` are kept, and then a note that there were more.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._parser = SSEParser()
        self._state = "start"  # start, open, delta (message_delta seen), stop, error
        self._block: tuple[int, str] | None = None
        self._next_index = 0
        self._json: list[str] = []
        self._signed = False
        self._lost = False

    def feed(self, chunk: bytes) -> None:
        """Check the events that this chunk completes."""
        if self._lost:
            return
        try:
            events = self._parser.events(chunk)
        except EventTooLarge as problem:
            self._lost = True
            self._bad(str(problem))
            return
        for event in events:
            if event.name or event.data:
                self._event(event)

    def finish(self) -> list[str]:
        """Call at the end of the stream; returns `problems`."""
        if self._lost:
            return self.problems
        if not self._parser.at_boundary:
            self._bad(
                f"the stream ends inside an event: {self._parser.tail.lstrip(NEWLINES)[:_MAX_SHOWN_CHARS]!r}"
            )
        if self._state not in ("stop", "error"):
            self._bad(f"the stream ends in state {self._state!r}, without message_stop or error")
        return self.problems

    def _bad(self, problem: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)
        elif len(self.problems) == MAX_PROBLEMS:
            self.problems.append("... and more")

    def _event(self, event: SSEEvent) -> None:
        name = event.name[:_MAX_SHOWN_CHARS].decode("utf-8", "replace")
        try:
            data = _EVENT.decode(event.data)
        except UNREADABLE as problem:
            self._bad(f"data of {name!r} is not a JSON object: {_shown(str(problem))}")
            return
        kind = _text(data, "type")
        if event.name != kind.encode():
            self._bad(f"event name {name!r} and data type {_shown(data.get('type'))!r} differ")
        if self._state in ("stop", "error"):
            self._bad(f"{_shown(kind)} after the end of the stream")
        elif kind == "error":
            self._state = "error"
        elif kind == "message_start":
            self._message_start(data)
        elif kind == "ping":
            pass
        elif self._state == "start":
            self._bad(f"{_shown(kind)} before message_start")
        else:
            self._inside(kind, data)

    def _message_start(self, data: dict[str, Any]) -> None:
        if self._state != "start":
            self._bad("a second message_start")
            return
        self._state = "open"
        message = self._object(data, "message")
        content = message.get("content")
        if not isinstance(content, list) or content:
            self._bad("message_start has content")
        if not isinstance(message.get("usage"), dict):
            self._bad("message_start has no usage")

    def _inside(self, kind: str, data: dict[str, Any]) -> None:
        if kind.startswith("content_block_") and self._state == "delta":
            self._bad(f"{_shown(kind)} after message_delta")
        match kind:
            case "content_block_start":
                self._block_start(data)
            case "content_block_delta":
                self._block_delta(data)
            case "content_block_stop":
                self._block_stop(data)
            case "message_delta":
                if self._block is not None:
                    self._bad("message_delta while a block is open")
                if not isinstance(data.get("usage"), dict):
                    self._bad("message_delta has no usage")
                self._state = "delta"
            case "message_stop":
                if self._state != "delta":
                    self._bad("message_stop without message_delta")
                self._state = "stop"

    def _block_start(self, data: dict[str, Any]) -> None:
        index = data.get("index")
        if self._block is not None:
            self._bad(f"block {_shown(index)} starts while block {self._block[0]} is open")
        if index != self._next_index:
            self._bad(f"block index {_shown(index)}, expected {self._next_index}")
        if isinstance(index, int) and 0 <= index <= _MAX_INDEX:
            self._next_index = index  # one gap is one problem, not one per block
        self._next_index += 1
        block = self._object(data, "content_block")
        self._block = (self._next_index - 1, _text(block, "type"))
        self._json = []
        self._signed = False

    def _block_delta(self, data: dict[str, Any]) -> None:
        if self._block is None or data.get("index") != self._block[0]:
            self._bad(
                f"delta for block {_shown(data.get('index'))}, open is {self._block and self._block[0]}"
            )
            return
        delta = self._object(data, "delta")
        kind = _text(delta, "type")
        if kind in _DELTA_FITS and self._block[1] not in _DELTA_FITS[kind]:
            self._bad(f"{kind} inside a {_shown(self._block[1])} block")
        if self._signed and kind in ("thinking_delta", "signature_delta"):
            self._bad(f"{kind} after the signature")
        self._signed = self._signed or kind == "signature_delta"
        if kind == "input_json_delta":
            self._json.append(_text(delta, "partial_json"))

    def _block_stop(self, data: dict[str, Any]) -> None:
        if self._block is None or data.get("index") != self._block[0]:
            self._bad(f"stop of block {_shown(data.get('index'))}, open is {self._block and self._block[0]}")
            return
        joined = "".join(self._json)
        if joined:
            try:
                msgspec.json.decode(joined)
            except UNREADABLE as problem:
                self._bad(f"tool input of block {self._block[0]} is not JSON: {_shown(str(problem))}")
        self._block = None

    def _object(self, data: dict[str, Any], name: str) -> dict[str, Any]:
        value = data.get(name)
        if isinstance(value, dict):
            return value
        self._bad(f"{_shown(data.get('type'))} has no object {name!r}")
        return {}


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _shown(value: object) -> object:
    """Something short of any value: a platform's own data may be huge, or too deep or too long to print."""
    if isinstance(value, str):
        return value[:_MAX_SHOWN_CHARS]
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and abs(value) <= _MAX_INDEX:
        return value
    return f"<{type(value).__name__}>"
