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
    r"passw|passphrase|passcode|secret(?!ar)|api[-_ ]?key|authorization|credential|cookie|bearer"
    r"|(?:private|access|account|encryption|signing|master|ssh|subscription|shared[-_ ]?access)[-_ ]?key"
    r"|(?:access|refresh|auth|session|security|id|csrf|xsrf|personal|bot|client|device|reset|deploy|webhook|jwt|sas|oauth"
    r"|user|admin|service|registration|verification|github|gitlab|npm|pypi|hf|slack)[-_ ]?token"
    r"|connection[-_ ]?string|shared[-_ ]?access[-_ ]?signature"
    r"|\A(?:token|pwd|pass|pin|cvv|cvc|otp|totp|ssn|jwt|auth|sig)\Z|[-_](?:pwd|pass|pin)\Z",
    re.IGNORECASE,
)
"""A member of this name holds a secret, whatever it looks like."""

_SCHEMA_VALUES = frozenset(("default", "const", "enum", "examples", "example"))
"""Of a schema, what is a value and not a description of one."""
_SCHEMA_MEMBERS = _SCHEMA_VALUES | frozenset(
    re.findall(
        r"\S+",
        "type description title $ref $comment format pattern minLength maxLength minimum maximum minItems maxItems "
        "uniqueItems items properties required additionalProperties anyOf allOf oneOf not nullable readOnly writeOnly "
        "deprecated contentEncoding contentMediaType",
    )
)

_NAME_MEMBERS = ("name", "key", "Name", "Key")
_VALUE_MEMBERS = ("value", "Value")
_HIDDEN = "[redacted: secret]"

MEDIA_CHARS = 80
MAX_PAIR_MEMBERS = 6


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
    named = _names_secret(found)
    for name, value in found.items():
        shown = redacted_text(mended_text(name))
        while shown in made:
            shown += "'"  # two names that became one
        if holds_media and name == "data" and isinstance(value, str):
            media = redacted_text(mended_text(found["media_type"])[:MEDIA_CHARS])
            made[shown] = f"[redacted: {media}, {len(value)} characters]"
        elif (named and name in _VALUE_MEMBERS) or _SECRET_NAME.search(name):
            made[shown] = _walk_schema(value) if _is_schema(value) else _hidden(value)
        else:
            made[shown] = _walk(value)
    return made


def _hidden(value: Any) -> Any:
    """What a secret's name holds: all texts and numbers in it, however deep. Names of members may stay."""
    if isinstance(value, dict):
        return dict(zip(_walk(dict.fromkeys(value)), map(_hidden, value.values()), strict=True))
    if isinstance(value, list):
        return [_hidden(one) for one in value]
    return value if value is None or isinstance(value, bool) else _HIDDEN


def _is_schema(value: Any) -> bool:
    """Whether it says what a secret is like, as the schemas of tools do, and holds nothing else."""
    return isinstance(value, dict) and bool(value) and _SCHEMA_MEMBERS.issuperset(value)


def _walk_schema(schema: dict[str, Any]) -> dict[str, Any]:
    values = {name: _hidden(value) for name, value in schema.items() if name in _SCHEMA_VALUES}
    return {**_walk(schema), **values}


def _names_secret(found: dict[str, Any]) -> bool:
    """Whether it is a pair of a name and a value, as variables and headers often are, and the name is a secret's."""
    for member in _NAME_MEMBERS:
        name = found.get(member)
        if isinstance(name, str) and len(found) <= MAX_PAIR_MEMBERS and _SECRET_NAME.search(name):
            return True
    return False
