"""The text form of a key's secret: made once, shown once, and known afterwards by its SHA-256 only.

`tt-`, 32 random bytes as 43 url-safe characters, and 4 characters of checksum, so that a secret that was cut or
mistyped is told from one that nobody has.

What it is not: a password. 256 random bits cannot be guessed, so a plain hash without salt or stretching keeps them.
Invariant: nothing here puts any part of a secret into a message but the mark `tt-`.
"""

import base64
import hashlib
import string
from collections.abc import Callable

from trimtab.errors import AuthenticationFailed

MARK = "tt-"
BODY_CHARS = 43
CHECK_CHARS = 4
"""24 bits: one typing mistake in 16 million goes unnoticed here, and is then just a secret that nobody has."""
SECRET_CHARS = len(MARK) + BODY_CHARS + CHECK_CHARS
PREFIX_CHARS = 9
"""What is kept for people: the mark and 36 bits, which leaves 220 bits unknown."""

_ALPHABET = frozenset(string.ascii_letters + string.digits + "-_")


def make_secret(random_bytes: Callable[[int], bytes]) -> str:
    """A new secret. `random_bytes` must be fit for keys (`secrets.token_bytes`)."""
    body = base64.urlsafe_b64encode(random_bytes(32)).decode().rstrip("=")
    return MARK + body + _check(body)


def digest_of(secret: str) -> bytes:
    """What the store keeps. Cost: below a microsecond."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def prefix_of(secret: str) -> str:
    """What people see of a secret afterwards."""
    return secret[:PREFIX_CHARS]


def check_form(shown: str) -> None:
    """Whether this can be a secret of ours at all. Raises `AuthenticationFailed`, which says what is wrong with it."""
    if not shown.startswith(MARK):
        raise AuthenticationFailed(
            f"the key shown is not one of this server's, which begin with {MARK!r}; a platform's own key does not "
            "belong here"
        )
    if not _ALPHABET.issuperset(shown):
        raise AuthenticationFailed(
            f"the key shown holds characters that no key has; copy it again, all {SECRET_CHARS} characters and "
            "nothing around them"
        )
    if len(shown) != SECRET_CHARS:
        what = "was cut off" if len(shown) < SECRET_CHARS else "has something added"
        raise AuthenticationFailed(
            f"the key shown has {len(shown):,} characters instead of {SECRET_CHARS}: it {what}; copy it again"
        )
    body = shown[len(MARK) : -CHECK_CHARS]
    if shown[-CHECK_CHARS:] != _check(body):
        raise AuthenticationFailed(
            "the key shown has a wrong character somewhere: its checksum does not fit; copy it again"
        )


def _check(body: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(b"trimtab key " + body.encode()).digest()[:3]).decode()
