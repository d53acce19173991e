"""How many input tokens a body may come to, found without reading it.

What it is not: a count. Invariant: never less than what the platform will bill as input, unbounded server tools aside.
"""

from trimtab.catalogue import Model, upper_bound_tokens

MAX_IMAGE_TOKENS = 4784
"""Source: vendor image table (2026-11), high-resolution tier."""

MAX_TOOL_PROMPT_TOKENS = 6000
"""Tokens that the vendor's own tools add, at most. Source: vendor pricing page (2026-11): tool use up to 804, computer
toolset about 4,500."""


def input_bound(raw: bytes, model: Model) -> int:
    """Input tokens of a body, at most. Never more than the model's context, which a longer request cannot pass.

    A byte is at least one token's share of text; an image costs at most `MAX_IMAGE_TOKENS` however few bytes name
    it; tools add their own system prompt; documents and files have no such bound, so they count as a full context,
    and so does a body that spells plain letters as escapes, which could hide any of these. Cost: a few searches.
    """
    context = model.limits.context
    if holds(raw, b"\\u006") or holds(raw, b"\\u007"):
        return context
    bound = upper_bound_tokens(len(raw))
    if holds(raw, b'"source"'):  # which every image, document and file has
        if holds(raw, b'"document"') or holds(raw, b'"file"'):
            return context
        bound += MAX_IMAGE_TOKENS * raw.count(b'"image"')
    if b'"tools"' in raw:
        bound += MAX_TOOL_PROMPT_TOKENS
    return min(context, bound)


def holds(raw: bytes, sign: bytes) -> bool:
    """Whether a sign is in there. From the end CPython looks for the first byte, a quote or a backslash, and not for a
    common letter: 10 us for 53 KB, where `in` takes 25 to 125."""
    return raw.rfind(sign) >= 0
