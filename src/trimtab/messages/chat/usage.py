"""The `usage` object of chat answers, as the `Usage` that is priced and recorded.

What it is not: a price. Invariant: no token that the object names is left out; where its figures contradict each other
the reading with more tokens at full price is taken.

Source: OpenAI API reference (2026-11): `prompt_tokens` holds cached and cache-write tokens, `completion_tokens` holds
reasoning; servers exist (2026-11, xAI) whose reasoning is only in `total_tokens`.
"""

import msgspec

from trimtab.messages.tolerant import MAX_USAGE_BYTES, count_of, given, read
from trimtab.messages.usage import OutputDetails, Usage


class _Usage(msgspec.Struct):
    prompt_tokens: msgspec.Raw = msgspec.Raw()
    completion_tokens: msgspec.Raw = msgspec.Raw()
    total_tokens: msgspec.Raw = msgspec.Raw()
    prompt_tokens_details: msgspec.Raw = msgspec.Raw()
    completion_tokens_details: msgspec.Raw = msgspec.Raw()


class _Details(msgspec.Struct):
    cached_tokens: msgspec.Raw = msgspec.Raw()
    cache_write_tokens: msgspec.Raw = msgspec.Raw()
    reasoning_tokens: msgspec.Raw = msgspec.Raw()


_USAGE = msgspec.json.Decoder(_Usage)
_DETAILS = msgspec.json.Decoder(_Details)
_NOTHING = _Details()


def chat_usage(raw: msgspec.Raw) -> Usage | None:
    """Usage as far as it can be read; `None` where it is absent or names no input."""
    if not given(raw) or len(memoryview(raw)) > MAX_USAGE_BYTES:
        return None
    said = read(_USAGE, raw)
    if said is None or (prompt := count_of(said.prompt_tokens)) is None:
        return None
    into = read(_DETAILS, said.prompt_tokens_details) or _NOTHING
    out = read(_DETAILS, said.completion_tokens_details) or _NOTHING
    cached, written = count_of(into.cached_tokens), count_of(into.cache_write_tokens)
    if (cached or 0) + (written or 0) > prompt:
        cached = None  # more than there is: what is called cached is priced as if it were not
    completion, total = count_of(said.completion_tokens), count_of(said.total_tokens)
    if completion is not None and total is not None:
        completion = max(completion, total - prompt)
    reasoning = count_of(out.reasoning_tokens)
    return Usage(
        input_tokens=max(prompt - (cached or 0) - (written or 0), 0),
        output_tokens=completion,
        cache_creation_input_tokens=written,
        cache_read_input_tokens=cached,
        output_tokens_details=OutputDetails(thinking_tokens=reasoning) if reasoning is not None else None,
    )
