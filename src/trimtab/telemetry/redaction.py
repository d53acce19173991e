"""Takes secrets out of text that leaves for a log: those that this process knows, and what looks like one.

What it is not: the guard of records or answers; no secret may reach those in the first place.
Invariants: it never raises, its time is linear in the text, and what it cannot handle it does not show.
"""

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from trimtab.config import Secret
from trimtab.telemetry.secret_patterns import long_words_of, lower_case, secrets_that_may_be_in

HIDDEN = "***"

MIN_KNOWN_CHARS = 4
"""A shorter value would blot out parts of ordinary words, and protects nothing."""


class Redactor:
    """Knows the secrets of one process. Safe to call from any thread."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._known: tuple[str, ...] = ()
        self.learn(secrets)

    def learn(self, secrets: Iterable[Secret]) -> None:
        """Hide these from now on too, in every form in which text carries them."""
        forms = set(self._known)
        for secret in secrets:
            value = secret.reveal()
            if len(value) >= MIN_KNOWN_CHARS:
                forms |= _forms(value)
        # The longest first: one secret may be the beginning of another.
        self._known = tuple(sorted(forms, key=lambda form: (-len(form), form)))

    def clean(self, text: str) -> str:
        """The text without secrets. Never raises."""
        try:
            for form in self._known:
                if form in text:
                    text = text.replace(form, HIDDEN)
            lowered = lower_case(text)
            for secret in secrets_that_may_be_in(text, lowered, long_words_of(text)):
                found = list(secret.findings(lowered if secret.lowered else text))
                if found:
                    text = _without(text, found)
                    lowered = lower_case(text)
        except Exception:
            return "(not shown: it could not be searched for secrets)"
        return text


def _without(text: str, found: Iterable[tuple[int, int]]) -> str:
    parts, at = [], 0
    for start, end in found:
        parts += [text[at:start], HIDDEN]
        at = end
    return "".join([*parts, text[at:]])


def _forms(value: str) -> set[str]:
    """A value as itself and as representations, encodings and addresses carry it."""
    encoded = value.encode()
    return {
        value,
        repr(value)[1:-1],
        json.dumps(value)[1:-1],
        quote(value, safe=""),
        quote(value),
        quote_plus(value),
        base64.b64encode(encoded).decode().rstrip("="),
        base64.urlsafe_b64encode(encoded).decode().rstrip("="),
    }
