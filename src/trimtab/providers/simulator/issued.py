"""Short-lived credentials that the simulator gives out, and knows again: tokens with an end, and AWS keys with one.

What it is not: who gets them (`faces.issuers`), or a secret: all follows from the seed, so that simulators with the
same seed agree, also after a restart. Invariant: what was given out is good until its end and not after; whatever else
has the same beginning is forged.
"""

import base64
import hmac
from collections.abc import Iterator
from itertools import count
from typing import Literal

import msgspec

Whose = Literal["google", "azure", "aws", "imds"]
Verdict = Literal["good", "expired", "forged", "foreign"]
"""`foreign`: not of the simulator's making."""

KEY_PREFIX = "ASIASIM"
"""Of access keys that end. `ASIA` is AWS's own, for keys that need a session token."""

LIFE_S = 3600
"""As long as Google's and Azure's tokens and AWS's keys of an assumed role are good where nobody asks otherwise."""


class TemporaryKeys(msgspec.Struct, frozen=True):
    """Keys of AWS."""

    access_key: str
    secret: str
    token: str
    """The session token, which calls carry too."""
    ends_s: int
    """Unix seconds."""


class Issued:
    """Makes credentials and judges them. Cost: about 5 us each."""

    def __init__(self, seed: int = 0, life_s: int = LIFE_S) -> None:
        """`life_s` is how long credentials are good."""
        self.life_s = life_s
        self._key = f"trimtab simulator credentials {seed}".encode()
        self._numbers: Iterator[int] = count()

    def token(self, whose: Whose, now_s: float, life_s: int | None = None) -> str:
        """A new token, good from now on."""
        ends = int(now_s) + (self.life_s if life_s is None else life_s)
        front = f"sim-{whose}.{ends}.{next(self._numbers)}"
        return f"{front}.{self._mac(front)}"

    def keys(self, now_s: float, life_s: int | None = None) -> TemporaryKeys:
        """New keys of AWS."""
        return self._keys_of(self.token("aws", now_s, life_s))

    def verdict(self, whose: Whose, token: str, now_s: float) -> Verdict:
        """What to think of a token."""
        if not token.startswith(f"sim-{whose}."):
            return "foreign"
        front, _, mac = token.rpartition(".")
        if not hmac.compare_digest(self._mac(front).encode(), mac.encode("utf-8", "replace")):
            return "forged"
        return "good" if now_s < _end(token) else "expired"

    def keys_behind(self, token: str) -> TemporaryKeys | None:
        """The keys that a session token was given out with, good or expired; `None` where it was not."""
        return None if self.verdict("aws", token, 0.0) != "good" else self._keys_of(token)

    def _keys_of(self, token: str) -> TemporaryKeys:
        name = base64.b32encode(self._digest(f"access {token}")).decode()[:13]
        secret = base64.b64encode(self._digest(f"secret {token}")).decode()[:40]
        return TemporaryKeys(KEY_PREFIX + name, secret, token, _end(token))

    def _mac(self, text: str) -> str:
        return self._digest(text).hex()[:32]

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode("utf-8", "replace"), "sha256")


def _end(token: str) -> int:
    return int(token.split(".")[1])
