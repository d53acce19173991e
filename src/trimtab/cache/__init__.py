"""Answers that are kept to be given again to whoever asks the very same: the rules, the key, the shelves.

What it is not: the vendor's prompt cache, or the answers that idempotency keys replay. Invariants: off unless the
operator turns it on; never across keys unless the operator says so; open on failure.
"""

from trimtab.cache.question import Question
from trimtab.cache.repeats import Awaited, Repeat, Repeats, Shelf
from trimtab.cache.settings import CacheSettings, check_cache
from trimtab.cache.shelves import Shelves

__all__ = [
    "Awaited",
    "CacheSettings",
    "Question",
    "Repeat",
    "Repeats",
    "Shelf",
    "Shelves",
    "check_cache",
]
