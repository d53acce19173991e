"""What a model answered.

What it is not: the message as the platform sent it (`assembly`), or its cost (`meter`).
"""

from typing import Any, Literal

import msgspec

Stop = Literal[
    "end",
    "tool_use",
    "max_tokens",
    "context",
    "stop_sequence",
    "refusal",
    "paused",
    "error",
    "none",
    "unknown",
]
"""Why a model stopped, whatever its API calls it. `max_tokens` and `context`: it was cut. `paused`: it is to be asked
to go on (`pause_turn`). `error`: the answer ends in an error. `none`: it was cut off before it said why. `unknown`: the
API says something that is not known here."""


MAX_STOP_CHARS = 80


class ToolCall(msgspec.Struct, frozen=True):
    """One call of a tool that the client has to make."""

    id: str
    """Of the legacy `function_call`, which has none, it is that word."""
    name: str
    arguments: bytes
    """As written: JSON, or what a cut or careless model left of it."""
    input: Any = None
    """The arguments as JSON values; `None` where they cannot be read."""
    readable: bool = True
    """Whether the arguments are JSON."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """One answer; a Chat Completions request may ask for several."""

    text: str = ""
    """What is said to the client, all text joined; thinking is not part of it."""
    tool_calls: tuple[ToolCall, ...] = ()
    stop: Stop = "none"
    stop_reason: str = ""
    """As the API wrote it, at most `MAX_STOP_CHARS`; of an error its type."""
    refusal: str = ""
    """What a model that refuses says of it, where its API has a place for that."""
    thought: bool = False
    """Whether there was thinking."""
    complete: bool = True
    """Whether all of it came, as far as its framing shows."""
