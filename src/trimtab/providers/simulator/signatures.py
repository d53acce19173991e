"""Signatures of simulated thinking blocks: opaque to clients, checked when a history comes back.

A signature carries a digest of the thinking it covers, the model that made it, and a MAC over both. So a block
whose thinking was left out (`display: omitted`) still verifies, and one whose thinking was edited does not.
What it is not: a secret. The key follows from the seed, so that simulators with the same seed agree.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Literal

_MARK = b"SIM1"
_DIGEST = 16
_MODEL = 8
_MAC = 32

Verdict = Literal["valid", "invalid", "edited", "other_model"]


class Signer:
    """Signs and verifies for one seed. Cost: about 3 us a signature."""

    def __init__(self, seed: int) -> None:
        self._key = f"trimtab simulator {seed}".encode()

    def sign(self, model: str, thinking: str) -> str:
        """The signature of a thinking block that this model made. `thinking` is the text before any omission."""
        payload = _MARK + _digest(model.encode(), _MODEL) + _digest(thinking.encode(), _DIGEST)
        return base64.b64encode(payload + hmac.digest(self._key, payload, "sha256")).decode()

    def verify(self, model: str, thinking: str, signature: str) -> Verdict:
        """Whether the block is one of ours, unedited. Empty thinking passes with any valid signature."""
        try:
            raw = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            return "invalid"
        payload, mac = raw[:-_MAC], raw[-_MAC:]
        if not hmac.compare_digest(hmac.digest(self._key, payload, "sha256"), mac):
            return "invalid"
        maker, covered = payload[len(_MARK) : len(_MARK) + _MODEL], payload[len(_MARK) + _MODEL :]
        if thinking and _digest(thinking.encode(), _DIGEST) != covered:
            return "edited"
        return "valid" if maker == _digest(model.encode(), _MODEL) else "other_model"


def _digest(data: bytes, size: int) -> bytes:
    return hashlib.blake2b(data, digest_size=size).digest()
