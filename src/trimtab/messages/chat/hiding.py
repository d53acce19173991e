"""Takes the chunk with usage out of a stream again, where the gateway asked for it and the client did not.

What it is not: a meter, which reads the stream before this. Invariant: every byte of every other event goes on as it
came; an event goes on once it is whole.
"""

import msgspec

from trimtab.errors import UpstreamBroken
from trimtab.messages.sse import EventTooLarge, SSEParser, parse_block
from trimtab.messages.tolerant import given, read


class _Chunk(msgspec.Struct):
    choices: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()


_CHUNK = msgspec.json.Decoder(_Chunk)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


class UsageHider:
    """Feed it every chunk of bytes of one stream, in order; `rest` at its proper end."""

    __slots__ = ("_parser",)

    def __init__(self) -> None:
        self._parser = SSEParser()

    def feed(self, chunk: bytes) -> bytes:
        """What goes on of the events that are whole now; may be empty. Raises `UpstreamBroken` for an event too long
        to be held."""
        try:
            blocks = self._parser.feed(chunk)
        except EventTooLarge as problem:
            raise UpstreamBroken(str(problem)) from None
        return b"".join(block for block in blocks if b'"usage"' not in block or not _only_usage(block))

    def rest(self) -> bytes:
        """What is left at the end: an event without its empty line."""
        return self._parser.tail


def _only_usage(block: bytes) -> bool:
    chunk = read(_CHUNK, parse_block(block).data)
    return chunk is not None and given(chunk.usage) and read(_LIST, chunk.choices) == []
