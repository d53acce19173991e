"""Takes secrets out of text that leaves for a log: those that this process knows, and what looks like one.

What it is not: the guard of records or answers; no secret may reach those in the first place.
Invariants: it never raises, its time is linear in the text, and what it cannot handle it does not show.
"""

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from trimtab.config import Secret

HIDDEN = "***"

MIN_KNOWN_CHARS = 4
"""A shorter value would blot out parts of ordinary words, and protects nothing."""

# Every pattern is linear: where one fails, it fails within a bounded number of characters, or at a mark from which no
# second search starts.
_NAMES = (
    r"(?:authorization|x-api-key|api[-_]?key|x-goog-api-key|password|passwd|client[-_]secret|access[-_]token"
    r"|refresh[-_]token|secret[-_]access[-_]key)"
)
_NAME_MARKS = (
    "authorization",
    "apikey",
    "passw",
    *(word.replace("-", mark) for word in ("api-key", "client-secret", "secret-access") for mark in "-_"),
    *(word.replace("-", mark) for word in ("access-token", "refresh-token") for mark in "-_"),
)
_LEAD = r"""(?:["']\s{0,4},|["']?\s{0,4}[=:])\s{0,4}(?:b?["'])?"""
"""What stands between a name and its value in a header, a query, JSON or a Python repr."""
_SCHEME = r"(?:(?:bearer|basic|digest|token)\s{1,4})?"

SECRETS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    # (marks, pattern, what stands for it). A text that holds none of the marks, in lower case, is not searched: most
    # lines hold none, and looking for a mark costs a hundredth of the search (21 us for 100 characters).
    # Vendors' keys, whole or cut short; `sk-` alone only where a word begins ("task-list" is none).
    (("sk-",), re.compile(r"(?:sk-ant-|(?<![A-Za-z0-9])sk-)[A-Za-z0-9_\-]{6,}"), HIDDEN),
    # Our own keys (43 characters and more after the prefix), whole or cut short.
    (("tt-",), re.compile(r"(?<![A-Za-z0-9])tt-[A-Za-z0-9_\-]{20,}"), HIDDEN),
    (("bearer",), re.compile(r"\b(bearer\s{1,4})[^\s\"',;]{6,}", re.IGNORECASE), rf"\1{HIDDEN}"),
    # The marks are nearly the names: a prompt speaks of keys and tokens all the time. References, as in
    # `api_key: 'env:NAME'`, stay readable.
    (
        _NAME_MARKS,
        re.compile(rf"({_NAMES}{_LEAD})(?!env:|file:){_SCHEME}[^\s\"',;&]+", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    (("cookie",), re.compile(rf"(cookie{_LEAD})[^\"'\r\n]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    # The password of an address, as postgresql://name:password@host.
    (("://",), re.compile(r"(://[^\s/:@]*:)[^\s/]*@"), rf"\1{HIDDEN}@"),
)


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
            lowered = text.casefold()
            for marks, pattern, shown in SECRETS:
                if any(mark in lowered for mark in marks):
                    text = pattern.sub(shown, text)
        except Exception:
            return "(not shown: it could not be searched for secrets)"
        return text


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
