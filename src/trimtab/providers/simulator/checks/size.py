"""How much a body holds, told from its bytes before anything is built of it.

Invariant: what is refused here would be refused in any case: a JSON string cannot hold `"type"` with bare quotes, so
each one found is a key or a value, and so many of them fit no context window.
"""

import msgspec

from trimtab.providers.simulator.checks.history import MAX_BLOCKS, MAX_MESSAGES
from trimtab.providers.simulator.checks.params import MAX_STOPS
from trimtab.providers.simulator.checks.shapes import refuse

_SMALL_BYTES = MAX_STOPS * len('"a",')
"""A shorter body cannot hold too many of anything."""


class _Outline(msgspec.Struct):
    """The lists of a body, their members left as they are."""

    messages: list[msgspec.Raw] = []
    stop_sequences: list[msgspec.Raw] | None = None


def check_size(body: bytes) -> None:
    """Refuse too many messages, content blocks and stop sequences. Cost: tens of milliseconds for the largest body."""
    if len(body) < _SMALL_BYTES:
        return
    if body.count(b'"type"') > MAX_BLOCKS:
        raise refuse("messages", f"should have at most {MAX_BLOCKS} content blocks")
    try:
        outline = msgspec.json.decode(body, type=_Outline)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return  # The checks that follow say what is wrong.
    if len(outline.messages) > MAX_MESSAGES:
        raise refuse("messages", f"List should have at most {MAX_MESSAGES} items")
    if len(outline.stop_sequences or ()) > MAX_STOPS:
        raise refuse("stop_sequences", f"List should have at most {MAX_STOPS} items")
