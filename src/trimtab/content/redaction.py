"""Prompts and answers with placeholders: JSON in, JSON out.

What it is not: a promise that nothing personal is left (docs/content.md says what is looked for), or part of the path
of a request: it runs in a thread. Invariants: what comes out is valid JSON, or nothing; a stream is put together before
it is searched, so that nothing hides by being cut in two; what cannot be read is not kept.
"""

import re
from typing import Any

import msgspec

from trimtab.content.patterns import luhn, redacted_text
from trimtab.messages import assembled
from trimtab.messages.meter import unpacked
from trimtab.messages.tolerant import document, mended_text

_SECRET_NAME = re.compile(
    r"passw|passphrase|secret|api[-_ ]?key|authorization|credential|private[-_ ]?key|access[-_ ]?token|"
    r"refresh[-_ ]?token|auth[-_ ]?token|session[-_ ]?token|bearer|cookie|\A(?:token|pwd|pin|cvv|cvc)\Z",
    re.IGNORECASE,
)
"""A member of this name holds a secret, whatever it looks like."""

MEDIA_CHARS = 80


def redacted_request(body: bytes) -> bytes | None:
    """A request's JSON; `None` where it cannot be read."""
    return _redacted(document(body))


def redacted_answer(answer: bytes, *, event_stream: bool, encoding: bytes) -> bytes | None:
    """An answer's JSON; of a stream the message that it spells, an `error` event as its `error`."""
    plain = unpacked(answer, encoding)
    if not plain:
        return None
    if not event_stream:
        return _redacted(document(plain))
    found = assembled(plain)
    message = found.message
    if found.error is not None:
        message = {**(message or {"type": "error"}), "error": found.error}
    return _redacted(message)


def _redacted(found: Any) -> bytes | None:
    if found is None:
        return None
    try:
        return msgspec.json.encode(_walk(found))
    except (RecursionError, OverflowError, UnicodeEncodeError):
        return None


def _walk(value: Any) -> Any:
    if isinstance(value, str):
        return redacted_text(mended_text(value))
    if isinstance(value, dict):
        return _walk_object(value)
    if isinstance(value, list):
        return [_walk(one) for one in value]
    if isinstance(value, int) and not isinstance(value, bool) and value > 10**11 and luhn(str(value)):
        return "[redacted: card]"
    return value


def _walk_object(found: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    holds_media = isinstance(found.get("media_type"), str)
    for name, value in found.items():
        shown = redacted_text(mended_text(name))
        while shown in made:
            shown += "'"  # two names that became one
        if holds_media and name == "data" and isinstance(value, str):
            media = redacted_text(mended_text(found["media_type"])[:MEDIA_CHARS])
            made[shown] = f"[redacted: {media}, {len(value)} characters]"
        elif isinstance(value, str | int) and not isinstance(value, bool) and _SECRET_NAME.search(name):
            made[shown] = "[redacted: secret]"
        else:
            made[shown] = _walk(value)
    return made
