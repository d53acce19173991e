"""The `usage` object of the Messages API, tolerant of what is missing, null or new.

Source: anthropic SDK 2.11.0 `types/usage.py`, `types/beta/beta_usage.py`; streaming: `message_delta` usage is
cumulative and may leave out input fields (vendor streaming page).
"""

from typing import Annotated, TypeVar

import msgspec

MAX_COUNT = 1_000_000_000_000
MAX_TEXT_CHARS = 200
MAX_ITERATIONS = 1000

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
"""Tokens or requests. A platform that says a negative or absurd number is not believed at all."""

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARS)]
"""A word or a name. Records keep it, so it cannot be of any length."""


class CacheCreation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Cache writes by time to live, in tokens."""

    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class ServerToolUse(msgspec.Struct, frozen=True, omit_defaults=True):
    """Calls of the vendor's own tools, in requests."""

    web_search_requests: Count | None = None
    web_fetch_requests: Count | None = None


class OutputDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """Part of `output_tokens`, in tokens."""

    thinking_tokens: Count | None = None


class IterationUsage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One inner call (`message`, `compaction`, `advisor_message`, `fallback_message`), in tokens.

    Where iterations are present they are the bill: the top-level fields leave out compaction.
    """

    type: Text = "message"
    model: Text | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation: CacheCreation | None = None


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the platform says was used. `None` means that it did not say."""

    input_tokens: Count | None = None
    """Uncached input only; cache reads and writes are counted apart."""
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
    server_tool_use: ServerToolUse | None = None
    iterations: Annotated[list[IterationUsage], msgspec.Meta(max_length=MAX_ITERATIONS)] | None = None
    service_tier: Text | None = None
    speed: Text | None = None
    inference_geo: Text | None = None

    @property
    def input_said(self) -> bool:
        """Whether the platform said what went in. No prompt is empty: one that counts at the end only starts with 0."""
        if self.input_tokens is None:
            return False
        return bool(self.input_tokens or self.cache_read_input_tokens or self.cache_creation_input_tokens)


USAGE_FIELDS = Usage.__struct_fields__


def merge_usage(earlier: Usage | None, later: Usage) -> Usage:
    """Field by field, the later value where there is one. Streamed usage is cumulative: it is never added."""
    if earlier is None:
        return later
    return Usage(
        *[
            old if (new := getattr(later, name)) is None else new
            for name in USAGE_FIELDS
            for old in (getattr(earlier, name),)
        ]
    )


def highest_usage(earlier: Usage | None, later: Usage) -> Usage:
    """Field by field, the higher count: what says less may not take back what was said. Words stay the earlier ones."""
    return later if earlier is None else _highest(earlier, later)


_Counts = TypeVar("_Counts", bound=msgspec.Struct)


def _highest(earlier: _Counts, later: _Counts) -> _Counts:
    found = {}
    for name in earlier.__struct_fields__:
        old, new = getattr(earlier, name), getattr(later, name)
        if old is None or new is None:
            found[name] = new if old is None else old
        elif isinstance(old, int):
            found[name] = max(old, new)
        elif isinstance(old, msgspec.Struct):
            found[name] = _highest(old, new)
        else:  # iterations are cumulative too: the longer list holds the shorter one
            found[name] = new if isinstance(old, list) and len(new) > len(old) else old
    return type(earlier)(**found)
