"""Tokenizers that operators installed beside Trimtab, found by the entry points of their packages.

What it is not: a tokenizer. Invariant: whatever an installed package does, nothing fails because of it: what cannot be
used is told in one line, and estimates are made by content class.
"""

import importlib.metadata
from collections.abc import Iterable
from typing import Any

import msgspec

from trimtab.catalogue.estimating import NO_TOKENIZERS, Tokenizers
from trimtab.catalogue.tokens import Generation
from trimtab.errors import printable

GROUP = "trimtab.tokenizers"

TRIED = "The quick brown fox jumps over the lazy dog."
"""Every tokenizer makes between 5 and 44 tokens of this."""


class FoundTokenizers(msgspec.Struct, frozen=True):
    """What is installed."""

    tokenizers: Tokenizers = NO_TOKENIZERS
    problems: tuple[str, ...] = ()
    """One line for each that cannot be used."""

    @property
    def names(self) -> dict[Generation, str]:
        """Who counts each generation."""
        return {generation: str(one.name) for generation, one in self.tokenizers.by_generation.items()}


def find_tokenizers(entries: Iterable[importlib.metadata.EntryPoint] | None = None) -> FoundTokenizers:
    """Load what the group names, in the order of names; the first of each generation is used.

    Imports the packages that operators installed, so it is called where tokens are estimated, and not to serve.
    Never raises. `entries` are those of this environment unless given.
    """
    if entries is None:
        entries = importlib.metadata.entry_points(group=GROUP)
    usable: list[Any] = []
    problems: list[str] = []
    taken: dict[Generation, str] = {}
    for entry in sorted(entries, key=lambda one: (one.name, one.value)):
        try:
            one = _loaded(entry)
            generations = Tokenizers([one]).by_generation
        except Exception as problem:  # a package of somebody else's: anything may happen in it
            words = printable(str(problem)) or "without a word"
            problems.append(
                f"tokenizer {printable(entry.name, 60)!r} ({printable(entry.value, 80)}) is not used: "
                f"{type(problem).__name__}: {words}; mend or uninstall its package"
            )
            continue
        again = [generation for generation in generations if generation in taken]
        if again:
            problems.append(
                f"tokenizer {printable(entry.name, 60)!r} also counts {', '.join(again)}; that of "
                f"{taken[again[0]]!r} is used, as its name comes first; uninstall one of them"
            )
        for generation in generations:
            taken.setdefault(generation, entry.name)
        usable.append(one)
    return FoundTokenizers(Tokenizers(usable), tuple(problems))


def _loaded(entry: importlib.metadata.EntryPoint) -> Any:
    """The object, tried once. Raises what it raises, `TypeError` and `ValueError`."""
    one = entry.load()
    if isinstance(one, type) or (callable(one) and not hasattr(one, "count")):
        one = one()
    name, families = getattr(one, "name", None), getattr(one, "families", None)
    if not isinstance(name, str) or not name or not name.isprintable() or len(name) > 60:
        raise TypeError(f"its name is {name!r}; it must be a text of 1 to 60 characters")
    if isinstance(families, str) or not families:
        raise TypeError(f"its families are {families!r}; name some, as ('v4.7',)")
    counted = one.count(TRIED)
    if isinstance(counted, bool) or not isinstance(counted, int):
        raise TypeError(f"count({TRIED!r}) gave {counted!r}; it must give a whole number")
    if not 5 <= counted <= len(TRIED):
        raise ValueError(f"count({TRIED!r}) gave {counted}; no tokenizer makes so many tokens of it")
    return one
