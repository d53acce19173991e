"""A request of one API put to the other, for an independent second opinion.

What it is not: translation for clients. What comes of it is compared and never goes back as an answer, and so
thinking, effort, sampling, caching and streaming are left to the other model. Invariant: the question
that it asks is the same, as `question_of` reads it, or it is not put at all, and the reason is told.
"""

from typing import Any

import msgspec

from trimtab.messages.exchange.carried import Uncrossable
from trimtab.messages.exchange.reading import Surface
from trimtab.messages.exchange.to_chat import chat_fields
from trimtab.messages.exchange.to_messages import messages_fields
from trimtab.messages.exchange.values import decoded, written


class Crossed(msgspec.Struct, frozen=True):
    """A request for the other API, or why there is none."""

    body: bytes | None
    reason: str = ""


def as_other_surface(body: bytes, to: Surface, *, model: str, max_tokens: int) -> Crossed:
    """A request of the other API, for the API `to` and this model of it: one answer, not streamed.

    `max_tokens` holds where the request names none and the other API wants one. Never raises. Cost: decodes the body,
    images included.
    """
    said, readable = decoded(body)
    if not readable or not isinstance(said, dict):
        return Crossed(None, "the request cannot be read")
    try:
        fields = chat_fields(said) if to == "chat" else messages_fields(said, max_tokens)
    except Uncrossable as why:
        return Crossed(None, f"{why} cannot be put to the {_NAMES[to]} API")
    except RecursionError:
        return Crossed(None, "the request cannot be read")
    made: dict[str, Any] = {"model": model, **fields}
    return Crossed(written(made) or None)


_NAMES: dict[Surface, str] = {"chat": "Chat Completions", "messages": "Messages"}
