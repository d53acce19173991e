"""Prompt caching, simulated: which prefix was seen before, what is read and what is written.

It remembers hashes of prefixes at breakpoints, never content. Memory is bounded; the oldest prefix goes first.

Source: vendor page on prompt caching (2026-11): at most 4 breakpoints, 20 blocks of look-back, a minimum per model,
5 minutes or 1 hour renewed by each read; tool choice, thinking and effort belong to the prefix of the messages.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from trimtab.providers.simulator.prompt import Prompt
from trimtab.providers.simulator.tokens import Segment, Ttl

_LOOK_BACK = 20
_DEFAULT_MINIMUM = 1024
_LIFE_S: dict[Ttl, float] = {"5m": 300.0, "1h": 3600.0}


class CacheUse(NamedTuple):
    """Input tokens by how they are billed, and what to remember if the call goes through."""

    uncached: int
    read: int = 0
    write_5m: int = 0
    write_1h: int = 0
    remember: tuple[tuple[bytes, Ttl], ...] = ()

    @property
    def limited(self) -> int:
        """What counts against the input rate limit: all but reads."""
        return self.uncached + self.write_5m + self.write_1h


class PromptCache:
    """One simulated organisation's cache."""

    def __init__(self, entries: int, clock: Callable[[], float]) -> None:
        self._entries = entries
        self._clock = clock
        self._lives: dict[bytes, float] = {}
        """Prefix hash to the moment it dies; in order of use."""

    def plan(self, prompt: Prompt, segments: Sequence[Segment]) -> CacheUse:
        """How this prompt splits now. Changes nothing."""
        total = sum([segment.tokens for segment in segments])
        marks = _marks(prompt, segments)
        if not marks:
            return CacheUse(total)
        last = marks[-1][0]
        keys, upto = _prefixes(prompt, segments[: last + 1])
        minimum = prompt.model.features.prompt_cache_min or _DEFAULT_MINIMUM
        start = self._longest_known(marks, keys)
        reached = upto[start] if start >= 0 else 0
        written: dict[Ttl, int] = {"5m": 0, "1h": 0}
        remember: list[tuple[bytes, Ttl]] = []
        read = reached
        for index, ttl in marks:
            if upto[index] < minimum:
                continue
            remember.append((keys[index], ttl))
            if index > start:
                written[ttl] += upto[index] - reached
                reached = upto[index]
        return CacheUse(total - reached, read, written["5m"], written["1h"], tuple(remember))

    def commit(self, use: CacheUse) -> None:
        """The call went through: its prefixes live on."""
        now = self._clock()
        for key, ttl in use.remember:
            self._lives[key] = max(now + _LIFE_S[ttl], self._lives.pop(key, 0.0))
        while len(self._lives) > self._entries:
            del self._lives[next(iter(self._lives))]

    def _longest_known(self, marks: list[tuple[int, Ttl]], keys: list[bytes]) -> int:
        """Index of the last segment of the longest live prefix, or -1."""
        now = self._clock()
        for index, _ in reversed(marks):
            for candidate in range(index, max(index - _LOOK_BACK, -1), -1):
                if self._lives.get(keys[candidate], 0.0) > now:
                    return candidate
        return -1


def _marks(prompt: Prompt, segments: Sequence[Segment]) -> list[tuple[int, Ttl]]:
    if not prompt.has_cache_marks:
        return []
    marks = [(index, segment.mark) for index, segment in enumerate(segments) if segment.mark is not None]
    automatic = prompt.raw.get("cache_control")
    if automatic is not None and segments and segments[-1].mark is None:
        marks.append((len(segments) - 1, "1h" if automatic.get("ttl") == "1h" else "5m"))
    return marks


def _prefixes(prompt: Prompt, segments: Sequence[Segment]) -> tuple[list[bytes], list[int]]:
    """Per segment: the hash of everything up to it, and the tokens up to it."""
    digest = hashlib.blake2b(prompt.model.id.encode(), digest_size=16)
    keys: list[bytes] = []
    upto: list[int] = []
    tokens = 0
    level = "tools"
    for segment in segments:
        if segment.level != level:
            level = segment.level
            digest.update(b"\0" + level.encode())
            if level == "messages":
                thinking, choice = prompt.thinking, prompt.tool_choice
                digest.update(
                    f"{prompt.effort}|{thinking.type}|{thinking.budget_tokens}|{choice.type}|{choice.name}".encode()
                )
        source = segment.source
        if isinstance(source, dict) and "cache_control" in source:
            source = {key: value for key, value in source.items() if key != "cache_control"}
        digest.update(b"\0" + msgspec.json.encode(source))
        tokens += segment.tokens
        keys.append(digest.copy().digest())
        upto.append(tokens)
    return keys, upto
