"""From the events of a streamed answer to the message that they spell, as a client that does not stream would get it.

What it is not: the way of a stream to its client, or a check of it (`validator`); it is for people who read what was
kept. Invariants: it never raises, whatever a platform wrote; of a stream that was cut it gives what had come; how the
bytes were cut into chunks and deltas makes no difference.

Source: vendor streaming page (2026-11): `message_start`, then for each block start, deltas and stop, then
`message_delta` and `message_stop`.
"""

from collections import defaultdict
from typing import Any, TypeGuard

import msgspec

from trimtab.messages.sse import events_of
from trimtab.messages.tolerant import MAX_CONTAINERS, document, is_small_enough, mended

MAX_BLOCKS = 10_000
"""Blocks of one answer; what a broken stream names beyond them is not shown."""


FREE_CONTAINERS = 4
"""Objects and lists in an event that do not count; deltas of text have two. All that goes beyond them stays in memory,
at fifty times its bytes, and may be `MAX_CONTAINERS` in one answer."""


class Assembled(msgspec.Struct, frozen=True):
    """What a stream spelled."""

    message: dict[str, Any] | None
    """The message as JSON values; `None` where the stream held none of it. Tool input that does not parse, because the
    stream was cut, is a text in `partial_json`."""
    complete: bool
    """`message_stop` was seen."""
    error: Any = None
    """What an `error` event said."""


def assembled(stream: bytes) -> Assembled:
    """Read a whole stream, or as much of it as there is. Pure; about 2 us an event."""
    reading = _Reading()
    room = MAX_CONTAINERS
    for event in events_of(stream):
        room -= max(0, event.data.count(b"{") + event.data.count(b"[") - FREE_CONTAINERS)
        if room < 0:
            break
        if isinstance(found := document(event.data), dict):
            reading.take(found)
    return reading.end()


class _Reading:
    def __init__(self) -> None:
        self._message: dict[str, Any] | None = None
        self._blocks: dict[int, dict[str, Any]] = {}
        self._texts: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        """By block and field, what deltas add to it."""
        self._complete = False
        self._error: Any = None

    def take(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "message_start":
                if isinstance(message := event.get("message"), dict) and self._message is None:
                    self._message = message
            case "content_block_start":
                index, block = event.get("index"), event.get("content_block")
                if _is_index(index) and isinstance(block, dict) and len(self._blocks) < MAX_BLOCKS:
                    self._blocks.setdefault(index, block)
            case "content_block_delta":
                index, delta = event.get("index"), event.get("delta")
                if _is_index(index) and isinstance(delta, dict):
                    self._delta(index, delta)
            case "message_delta":
                self._message_delta(event)
            case "message_stop":
                self._complete = True
            case "error":
                self._error = event.get("error")

    def _delta(self, index: int, delta: dict[str, Any]) -> None:
        """Texts are joined, whatever kind of delta brings them, so that new kinds read like those there are."""
        if index not in self._blocks:
            if len(self._blocks) >= MAX_BLOCKS:
                return
            self._blocks[index] = {}
        for name, value in delta.items():
            if name == "type":
                continue
            if isinstance(value, str):
                self._texts[index][name].append(value)
            elif name == "citation":
                cited = self._blocks[index].get("citations")
                self._blocks[index]["citations"] = [*(cited if isinstance(cited, list) else []), value]
            else:
                self._blocks[index][name] = value

    def _message_delta(self, event: dict[str, Any]) -> None:
        message = self._message = self._message if self._message is not None else {"type": "message"}
        for name, value in event.items():
            if name == "type":
                continue
            if name == "delta" and isinstance(value, dict):
                message.update(value)
            elif name == "usage" and isinstance(value, dict) and isinstance(message.get("usage"), dict):
                message["usage"] = {
                    **message["usage"],
                    **{kind: count for kind, count in value.items() if count is not None},
                }
            else:
                message[name] = value

    def end(self) -> Assembled:
        message = self._message
        if self._blocks:
            message = message if message is not None else {"type": "message"}
            message["content"] = [self._block(index) for index in sorted(self._blocks)]
        try:
            return Assembled(mended(message), self._complete, mended(self._error))
        except RecursionError:
            return Assembled(None, self._complete)

    def _block(self, index: int) -> dict[str, Any]:
        block = self._blocks[index]
        for name, parts in self._texts[index].items() if index in self._texts else ():
            text = "".join(parts)
            if name == "partial_json":
                written = text.encode(errors="surrogatepass")
                found = document(written) if text and is_small_enough(msgspec.Raw(written)) else None
                if found is not None:
                    block["input"] = found
                elif text:
                    block[name] = text
            else:
                before = block.get(name)
                block[name] = (before if isinstance(before, str) else "") + text
        return block


def _is_index(index: Any) -> TypeGuard[int]:
    return isinstance(index, int) and not isinstance(index, bool)
