"""Passwords of the people who use the console: what makes one, and its hash.

What it is not: the secret of a key, which is random and needs no stretching (`secret`). Invariants: a password is kept
as an argon2id hash with a salt of its own; checking one costs the same whether or not anybody has it; nothing here puts
any part of a password into a message.
"""

import unicodedata

import argon2

from trimtab.errors import RequestError

MIN_CHARS = 12
MAX_CHARS = 256
MIN_DIFFERENT = 5

PASSES = 3
MEMORY_KIB = 32 * 1024
LANES = 1
"""argon2id: 32 MiB, read and written three times, by one thread. Measured: 0.086 s of one core (median of 15). More
than the least that is advised, 19 MiB and two passes (Source: OWASP Password Storage Cheat Sheet, 2026), and little
enough memory for a process that serves beside it."""

_NOBODYS = "$argon2id$v=19$m=32768,t=3,p=1$dHJpbXRhYiBub2JvZHkncw$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"""A hash with these parameters that no password is known to have: what is checked where there is no such user."""


class Passwords:
    """Hashes and checks. Keeps nothing; safe to use from any thread, and other threads run meanwhile."""

    def __init__(self) -> None:
        self._hasher = argon2.PasswordHasher(PASSES, MEMORY_KIB, LANES, type=argon2.Type.ID)

    def hash(self, password: str) -> str:
        """Blocks for 0.1 s of one core, and takes 32 MiB meanwhile."""
        return self._hasher.hash(_plain(password))

    def fits(self, password: str, hashed: str | None) -> bool:
        """Whether a hash is this password's; never where there is no hash, which takes as long. Blocks as `hash`."""
        try:
            right = self._hasher.verify(hashed or _NOBODYS, _plain(password[: MAX_CHARS + 1]))
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
        return right and hashed is not None and len(password) <= MAX_CHARS

    def is_old(self, hashed: str) -> bool:
        """Whether a hash was made with other parameters than those of today."""
        return self._hasher.check_needs_rehash(hashed)


def check_password(password: str, name: str) -> None:
    """Whether this may be somebody's password. Raises `RequestError`, which repeats nothing of it."""
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        has = f"{len(password)}" if len(password) <= MAX_CHARS else f"more than {MAX_CHARS}"
        raise RequestError(
            f"password: has {has} characters; it must have {MIN_CHARS} to {MAX_CHARS}. Several words that do not "
            "belong together make a good one"
        )
    if len(set(password)) < MIN_DIFFERENT:
        raise RequestError(
            f"password: must have at least {MIN_DIFFERENT} different characters; choose another"
        )
    if name.casefold() in password.casefold() and len(password) - len(name) < MIN_CHARS // 2:
        raise RequestError("password: is hardly more than the user's name; choose another")


def _plain(password: str) -> bytes:
    """The same bytes, however a keyboard composes letters with accents."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
