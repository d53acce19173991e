"""Names in the vendor's form (`msg_01...`, `toolu_01...`, `req_011...`), the same for the same seed and order."""

import hashlib
from collections.abc import Iterator
from itertools import count

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_CHARS = 19


class Ids:
    """Gives ids one after another. `Sim` stands in each, so that nobody takes one for the vendor's."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers: Iterator[int] = count()

    def next(self, prefix: str) -> str:
        """A new id. Cost: about 3 us."""
        digest = hashlib.blake2b(f"{self._seed}:{next(self._numbers)}".encode(), digest_size=_CHARS).digest()
        return prefix + "Sim" + "".join([_ALPHABET[byte % 58] for byte in digest])
