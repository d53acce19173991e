"""How many input tokens a body may come to, found without reading it.

What it is not: a count. Invariant: never less than what the platform will bill as input, unbounded server tools aside.
"""

from trimtab.catalogue import Model, upper_bound_tokens
from trimtab.messages import MessagesBody

MAX_IMAGE_TOKENS = 4784
"""Source: vendor image table (2026-11), high-resolution tier."""

MAX_TOOL_PROMPT_TOKENS = 6000
"""Tokens that the vendor's own tools add, at most. Source: vendor pricing page (2026-11): tool use up to 804, computer
toolset about 4,500."""

STEP = 16 * 1024
"""Bytes that are passed over where no quote and no backslash is among them, as in an image: 1 us, where the searches
take 18. In other text the first of them ends the look."""

LONGEST_SIGN = 16
"""Bytes; a sign that begins in one step may end in the next."""


def input_bound(body: MessagesBody, model: Model) -> int:
    """Input tokens of a body, at most. Never more than the model's context, which a longer request cannot pass.

    A byte is at least one token's share of text; an image costs at most `MAX_IMAGE_TOKENS` however few bytes name
    it; tools add their own system prompt; documents and files have no such bound, so they count as a full context,
    and so does a body that spells plain letters as escapes, which could hide any of these. Cost: two searches, 18 us
    at 53 KB, and three more where images are.
    """
    raw = body.raw
    context = model.limits.context
    bound = upper_bound_tokens(len(raw))
    if "tools" in body.fields:
        bound += MAX_TOOL_PROMPT_TOKENS
    if bound >= context:
        return context
    has_source = False
    parts = _written(raw)
    for start, end in parts:
        # Most bodies have no escape that begins so, and then one search does for both.
        if raw.rfind(b"\\u00", start, end) >= 0 and (
            raw.rfind(b"\\u006", start, end) >= 0 or raw.rfind(b"\\u007", start, end) >= 0
        ):
            return context
        has_source = has_source or raw.rfind(b'"source"', start, end) >= 0
    if not has_source:  # which every image, document and file has
        return bound
    for start, end in parts:
        if raw.rfind(b'"document"', start, end) >= 0 or raw.rfind(b'"file"', start, end) >= 0:
            return context
        while bound < context and (end := raw.rfind(b'"image"', start, end)) >= 0:
            bound += MAX_IMAGE_TOKENS
    return min(context, bound)


def holds(raw: bytes, sign: bytes) -> bool:
    """Whether a sign is in there. From the end CPython looks for the first byte, a quote or a backslash, and not for a
    common letter: 10 us for 53 KB, where `in` takes 25 to 125."""
    return raw.rfind(sign) >= 0


def _written(raw: bytes) -> list[tuple[int, int]]:
    """Where signs can stand, start and end: all but steps without a quote or backslash, with which every one begins.

    Each part reaches as far into what is passed over as a sign may.
    """
    size = len(raw)
    if size <= STEP:
        return [(0, size)]
    parts: list[tuple[int, int]] = []
    start = -1
    for at in range(0, size, STEP):
        end = at + STEP
        if raw.find(b'"', at, end) >= 0 or raw.find(b"\\", at, end) >= 0:
            if start < 0:
                start = at
        elif start >= 0:
            parts.append((start, at + LONGEST_SIGN))
            start = -1
    if start >= 0:
        parts.append((start, size))
    return parts
