"""How many input tokens a Chat Completions body may come to, found without reading more of it than where its images
stand.

What it is not: a count. Invariant: never less than what the server will bill as input, for models whose images are
counted as the catalogue says; where that is not known, a request with images is held for as much as the model takes.
"""

from trimtab.catalogue import Model, image_tokens, upper_bound_tokens
from trimtab.engine.bounds import MAX_IMAGE_TOKENS, MAX_TOOL_PROMPT_TOKENS, InputSize
from trimtab.messages.chat import ChatBody, chat_image_blocks
from trimtab.messages.condensed import Condensed, written_parts

MAX_TEMPLATE_TOKENS = 2000
"""What a server's template puts around messages (roles, dates, a system prompt of its own), at most; those of open
models that were read (2026-11) come to 20 to 600."""

_IMAGE = b'"image_url"'
SIGNS_EACH = 2
"""An image has its type and the member of that name."""

_NOT_TEXT = (
    b'"input_audio"',
    b'"file"',
    b'"video_url"',
    b'"audio_url"',
    b"\\u005",
    b"\\u006",
    b"\\u007",
)
"""Signs of parts whose tokens do not follow from their bytes, and of escapes of the letters that could hide one."""


def chat_input_bound(body: ChatBody, model: Model) -> int:
    """Input tokens of a body, at most; see `chat_input_size`."""
    return chat_input_size(body, model).bound


def chat_input_size(body: ChatBody, model: Model) -> InputSize:
    """What a body comes to as input. The bound is never more than the model's context, which no request can pass.

    A byte is at least one token's share of text. An image whose size is read off its bytes costs exactly its tokens,
    and its base64 is no text; any other of a model whose images the catalogue knows costs at most `MAX_IMAGE_TOKENS`.
    Images of other models, sounds and files have no bound that holds on all servers, and a template of the caller's may
    repeat what it likes, so these count as a full context. Cost: some searches, and where images are 0.1 ms for each.
    """
    raw, context = body.raw, model.limits.context
    if "chat_template" in body.fields:
        return InputSize(context)
    parts = written_parts(raw)
    signs, unbounded = 0, False
    for start, end in parts:
        unbounded = unbounded or any(raw.rfind(sign, start, end) >= 0 for sign in _NOT_TEXT)
        while (end := raw.rfind(_IMAGE, start, end)) >= 0:
            signs += 1
    bound = upper_bound_tokens(len(raw)) + MAX_TEMPLATE_TOKENS
    if "tools" in body.fields or "functions" in body.fields:
        bound += MAX_TOOL_PROMPT_TOKENS
    if not signs:
        return InputSize(context if unbounded else min(context, bound))
    blocks = chat_image_blocks(raw, Condensed(raw, parts))
    if model.vision == "none":
        return InputSize(context, len(blocks), 0, len(blocks))
    tokens = unknown = 0
    for block in blocks:
        if (head := block.head) is None:
            unknown += 1
            continue
        cost = image_tokens(head.width, head.height, model.vision)
        tokens += cost
        # Of an animation a decoder may make a larger picture than its head says.
        bound += (MAX_IMAGE_TOKENS if head.media_type == "image/gif" else cost) - block.size
    bound += (signs - SIGNS_EACH * len(blocks) + unknown) * MAX_IMAGE_TOKENS
    return InputSize(context if unbounded else min(context, bound), len(blocks), tokens, unknown)


def size_note(size: InputSize, model: Model) -> str:
    """What a record says of the images of a request."""
    if model.vision != "none":
        return size.note()
    return f"images: {size.images}; what they cost on {model.id} is not in the catalogue: held for its whole context"
