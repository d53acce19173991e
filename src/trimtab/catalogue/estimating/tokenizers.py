"""Tokenizers that an operator plugs in, in place of the estimates by content class.

What it is not: a tokenizer; none is bundled. Invariant: one that fails is not asked again in the same measurement, and
the estimate is then made as if it were not there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from trimtab.catalogue.tokens import Generation, generation_of
from trimtab.errors import printable


class Tokenizer(Protocol):
    """What an entry point of the group `trimtab.tokenizers` gives: an object, or a class without arguments."""

    name: str
    """For people and for the source of an estimate."""
    families: Sequence[str]
    """The catalogue's names of the tokenizers that it counts: `v3` (Claude 3 to 4.6), `v4.7`, `v4.8`."""

    def count(self, text: str) -> int:
        """Tokens of a text, without the frame of a message. Must not block on a network."""
        ...


class Tokenizers:
    """Those that are plugged in, by the generation that they count; the first one of each."""

    def __init__(self, plugged: Iterable[Tokenizer] = ()) -> None:
        """Raises `ValueError` for a family that nobody knows."""
        found: dict[Generation, Tokenizer] = {}
        for one in plugged:
            for family in one.families:
                found.setdefault(generation_of(family), one)
        self.by_generation: Mapping[Generation, Tokenizer] = found

    def counting(self) -> "Counting":
        """For one measurement."""
        return Counting(self.by_generation)


class Counting:
    """One measurement's view of the tokenizers: lets go of those that fail."""

    def __init__(self, by_generation: Mapping[Generation, Tokenizer]) -> None:
        self._usable = dict(by_generation)
        self.problems: list[str] = []

    @property
    def names(self) -> dict[Generation, str]:
        """Who counted each generation, from the first text to the last."""
        return {generation: one.name for generation, one in self._usable.items()}

    def counts(self, generation: Generation) -> bool:
        """Whether there is one for it that has not failed."""
        return generation in self._usable

    def count(self, generation: Generation, text: str) -> int | None:
        """Tokens, where a tokenizer is there and gives a number."""
        one = self._usable.get(generation)
        if one is None:
            return None
        try:
            counted = one.count(text)
            if isinstance(counted, bool) or not isinstance(counted, int) or counted < 0:
                raise ValueError(f"count gave {counted!r}")
        except Exception as problem:  # whatever a plug-in does, an estimate is made
            self.problems.append(
                f"tokenizer {printable(str(one.name), 60)}: {type(problem).__name__}: {printable(str(problem))}; "
                "estimated by content class instead"
            )
            self._usable = {other: kept for other, kept in self._usable.items() if kept is not one}
            return None
        return counted


NO_TOKENIZERS = Tokenizers()
