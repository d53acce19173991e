"""How many input tokens a body may come to, found without reading more of it than where its images stand.

What it is not: a count. Invariant: never less than what the platform will bill as input, unbounded server tools aside.
"""

from typing import NamedTuple

from trimtab.catalogue import Model, image_tokens, upper_bound_tokens
from trimtab.messages import MessagesBody
from trimtab.messages.condensed import Condensed, written_parts
from trimtab.messages.image_blocks import image_blocks

MAX_IMAGE_TOKENS = 4784
"""Source: vendor image table (2026-11), high-resolution tier."""

MAX_TOOL_PROMPT_TOKENS = 6000
"""Tokens that the vendor's own tools add, at most. Source: vendor pricing page (2026-11): tool use up to 804, computer
toolset about 4,500."""


class InputSize(NamedTuple):
    """What is known of the input before it is sent."""

    bound: int
    """Tokens, at most."""
    images: int = 0
    image_tokens: int = 0
    """Of the images whose size is known: what the platform will count for them."""
    unknown: int = 0
    """Images whose size is not known here: by URL or file id, or of bytes that say nothing."""

    def note(self) -> str:
        """In words, for the record."""
        rest = f", and {self.unknown} of unknown size" if self.unknown else ""
        return f"images: {self.images}, {self.image_tokens} tokens{rest}"


def input_bound(body: MessagesBody, model: Model) -> int:
    """Input tokens of a body, at most; see `input_size`."""
    return input_size(body, model).bound


def input_size(body: MessagesBody, model: Model) -> InputSize:
    """What a body comes to as input. The bound is never more than the model's context, which no request can pass.

    A byte is at least one token's share of text. An image whose size is read off its bytes costs exactly its tokens,
    and its base64 is no text; any other costs at most `MAX_IMAGE_TOKENS` however few bytes name it. Tools add their
    own system prompt; documents and files have no such bound, so they count as a full context, and so does a body that
    spells plain letters as escapes, which could hide any of these. Cost: two searches, 18 us at 53 KB, and where
    images are 0.1 ms for each.
    """
    raw = body.raw
    context = model.limits.context
    bound = upper_bound_tokens(len(raw))
    if "tools" in body.fields:
        bound += MAX_TOOL_PROMPT_TOKENS
    if bound >= context and not holds(raw, b'"image"'):
        return InputSize(context)
    parts = written_parts(raw)
    has_source = unbounded = False
    for start, end in parts:
        # Most bodies have no escape that begins so, and then one search does for both.
        if raw.rfind(b"\\u00", start, end) >= 0 and (
            raw.rfind(b"\\u006", start, end) >= 0 or raw.rfind(b"\\u007", start, end) >= 0
        ):
            unbounded = True
        has_source = has_source or raw.rfind(b'"source"', start, end) >= 0
    if not has_source:  # which every image, document and file has
        return InputSize(context if unbounded else min(context, bound))
    signs = 0
    for start, end in parts:
        if raw.rfind(b'"document"', start, end) >= 0 or raw.rfind(b'"file"', start, end) >= 0:
            unbounded = True
        while (end := raw.rfind(b'"image"', start, end)) >= 0:
            signs += 1
    blocks = image_blocks(raw, Condensed(raw, parts)) if signs else ()
    tokens = unknown = 0
    for block in blocks:
        head = block.head
        if head is None or model.vision == "none":
            unknown += 1
            continue
        cost = image_tokens(head.width, head.height, model.vision)
        tokens += cost
        # Of an animation a decoder may make a larger picture than its head says.
        bound += (MAX_IMAGE_TOKENS if head.media_type == "image/gif" else cost) - block.size
    bound += (signs - len(blocks) + unknown) * MAX_IMAGE_TOKENS
    return InputSize(context if unbounded else min(context, bound), len(blocks), tokens, unknown)


def holds(raw: bytes, sign: bytes) -> bool:
    """Whether a sign is in there. From the end CPython looks for the first byte, a quote or a backslash, and not for a
    common letter: 10 us for 53 KB, where `in` takes 25 to 125."""
    return raw.rfind(sign) >= 0
