"""The behaviour model: how likely an answer is right, how many tokens it thinks, how long it takes.

Every number is in `behaviour.yaml` and made up; what this module keeps is the shape and the determinism.
Invariant: a draw depends on the seed, model, effort and prompt only, so the same request gets the same answer.
"""

import hashlib
import math
from importlib import resources

import msgspec

from trimtab.catalogue import Effort
from trimtab.catalogue.model import Model
from trimtab.catalogue.reading import read_yaml, to_struct


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of the data file."""


class Skill(_Row, frozen=True):
    """In logits."""

    models: dict[str, float]
    lines: dict[str, float]
    other: float
    effort: dict[Effort, float]
    thinking: float


class ToolPrompt(_Row, frozen=True):
    """In tokens, by tool choice."""

    auto_none: int
    any_tool: int


class TokenShape(_Row, frozen=True):
    """In tokens, but for the factors and `sentences`."""

    thinking_base: int
    thinking_per_difficulty: int
    thinking_effort: dict[Effort, float]
    sentences: dict[Effort, int]
    message_frame: int
    tool_prompt: ToolPrompt


class Pace(_Row, frozen=True):
    """In milliseconds."""

    first_token_ms: float
    token_ms: float


class Latency(_Row, frozen=True):
    """By class."""

    fastest: Pace
    fast: Pace
    moderate: Pace
    slower: Pace
    longest_ms: float


class ShownLimits(_Row, frozen=True):
    """Per minute."""

    requests: int
    input_tokens: int
    output_tokens: int


class RateLimitData(_Row, frozen=True):
    """What headers show; which models share a bucket is in the catalogue."""

    shown: ShownLimits


class Behaviour(_Row, frozen=True):
    """`behaviour.yaml`."""

    version: int
    skill: Skill
    tokens: TokenShape
    latency: Latency
    rate_limits: RateLimitData

    @classmethod
    def load(cls) -> "Behaviour":
        """Read the shipped file."""
        content = (resources.files("trimtab.providers.simulator") / "behaviour.yaml").read_bytes()
        return to_struct(read_yaml(content, "behaviour.yaml"), cls, "behaviour.yaml")

    def skill_of(self, model: Model, effort: Effort | None, thinking: bool) -> float:
        """In logits, on the scale of difficulties."""
        skill = self.skill
        base = skill.models.get(model.id)
        if base is None:
            base = skill.lines.get(model.line or "", skill.other)
        if effort is not None:
            base += skill.effort.get(effort, 0.0)
        return base + (skill.thinking if thinking else 0.0)

    def is_correct(
        self, model: Model, effort: Effort | None, thinking: bool, difficulty: float, drawn: float
    ) -> bool:
        """Whether this draw (0 to 1) is a right answer."""
        logit = self.skill_of(model, effort, thinking) - difficulty
        return drawn < 1.0 / (1.0 + math.exp(max(min(-logit, 60.0), -60.0)))

    def thinking_tokens(self, effort: Effort | None, difficulty: float, budget: int | None) -> int:
        """How long the model thinks, within a `budget_tokens` where one is sent."""
        shape = self.tokens
        factor = shape.thinking_effort.get(effort or "high", 1.0)
        tokens = round((shape.thinking_base + shape.thinking_per_difficulty * difficulty) * factor)
        return max(1, tokens if budget is None else min(tokens, budget))

    def sentences_of(self, effort: Effort | None) -> int:
        """Sentences of a free-text answer."""
        return self.tokens.sentences.get(effort or "high", 1)

    def pace_of(self, model: Model) -> Pace:
        """First-token and per-token time of the model's class."""
        match model.latency:
            case "fastest":
                return self.latency.fastest
            case "moderate":
                return self.latency.moderate
            case "slower":
                return self.latency.slower
        return self.latency.fast


def draw(seed: int, *parts: str) -> int:
    """64 bits that depend on the seed and the parts only."""
    text = "\x1f".join((str(seed), *parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def unit(bits: int) -> float:
    """Those bits as a number from 0 up to 1."""
    return bits / 2.0**64
