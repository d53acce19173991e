"""The settings of the benchmark of cascades: everything that is known of each before the first request.

Failures, tokens and mistakes of verifiers are made up so that they cover what matters; prices are the catalogue's. What
must come of a setting is worked out from this alone (`tests/support/cascade_expected.py`).
"""

from dataclasses import dataclass, field
from typing import Literal

from trimtab.routing.cascade import Mode

Form = Literal["messages", "messages stream", "chat", "chat stream"]

HAIKU, SONNET, OPUS = "claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-7"
FEW_TOKENS = (1_000, 500)


@dataclass(frozen=True)
class Rung:
    """An arm, and what each of its answers comes to."""

    arm: str
    """`model@effort`."""
    right: float
    """How often an answer that can be read is right."""
    tokens: tuple[int, int] = FEW_TOKENS
    """Input and output."""
    broken: float = 0.0
    """Which share of its answers cannot be read."""


@dataclass(frozen=True)
class Known:
    """The verifier that knows the right answer (`tests/support/known_verifier.py`)."""

    miss: float = 0.0
    false_alarm: float = 0.0
    unsure: float = 0.0


@dataclass(frozen=True)
class Opinion:
    """A second opinion of another arm."""

    voice: Rung


@dataclass(frozen=True)
class Schema:
    """The built-in check of JSON against the request's schema."""


@dataclass(frozen=True)
class Refusing:
    """The built-in check of refusals; `broken` of a rung are refusals then, which are not billed.

    Source: vendor refusal page (2026-11): none before any output is."""


PERFECT, TEN_TEN, NOISY = Known(), Known(0.1, 0.1), Known(0.3, 0.2)


@dataclass(frozen=True)
class Setting:
    """One route of the gateway."""

    name: str
    about: str
    rungs: tuple[Rung, ...]
    check: Known | Opinion | Schema | Refusing = PERFECT
    mode: Mode = "quality"
    form: Form = "messages"
    together: bool = False
    """Whether all arms fail at the same questions."""
    releases_unsure: bool = False
    steps: int = 3
    begins_at: int = 0
    """On which rung a request must begin: above 0 a cascade from the first is refused, because it cannot pay."""
    wrong: int = field(default=1)
    """So many wrong answers there are."""


def _pair(
    weak: float, strong: float, tokens: tuple[tuple[int, int], tuple[int, int]] = (FEW_TOKENS, FEW_TOKENS)
) -> tuple[Rung, ...]:
    """Sonnet before Opus: 0.6 times the price with the same tokens."""
    return (Rung(SONNET, weak, tokens[0]), Rung(OPUS, strong, tokens[1]))


def _wide(weak: float, strong: float) -> tuple[Rung, ...]:
    """Haiku before Opus: 0.2 times the price with the same tokens, 0.14 with 1.35 times as many of Opus's tokenizer."""
    return (Rung(HAIKU, weak), Rung(OPUS, strong, (1_400, 700)))


NARROW = ((1_540, 770), (1_200, 600))
"""Tokens with which Sonnet costs 0.77 times what Opus does: an agent that needs more calls."""

_THREE = (Rung(HAIKU, 0.55), Rung(SONNET, 0.75), Rung(OPUS, 0.92))
_EFFORTS = (
    Rung(f"{SONNET}@low", 0.60, (1_000, 300)),
    Rung(f"{SONNET}@medium", 0.72, (1_000, 700)),
    Rung(f"{SONNET}@high", 0.80, (1_000, 1_500)),
)

SETTINGS = (
    Setting("pair-perfect", "Sonnet, Opus; the verifier is never wrong", _pair(0.70, 0.93)),
    Setting("pair-10-10", "Sonnet, Opus; misses 10 %, rejects 10 % wrongly", _pair(0.70, 0.93), TEN_TEN),
    Setting("pair-30-20", "Sonnet, Opus; 30 %, 20 %", _pair(0.70, 0.93), NOISY),
    Setting(
        "weak-best",
        "Sonnet, Opus, of which the first is the better one; 10 %, 10 %",
        _pair(0.90, 0.70),
        TEN_TEN,
    ),
    Setting("wide-perfect", "Haiku, Opus; never wrong", _wide(0.60, 0.94)),
    Setting("wide-10-10", "Haiku, Opus; 10 %, 10 %", _wide(0.60, 0.94), TEN_TEN),
    Setting("three-perfect", "Haiku, Sonnet, Opus; never wrong", _THREE),
    Setting("three-10-10", "Haiku, Sonnet, Opus; 10 %, 10 %", _THREE, TEN_TEN),
    Setting("three-30-20", "Haiku, Sonnet, Opus; 30 %, 20 %", _THREE, NOISY),
    Setting("three-two-steps", "three rungs, two steps", _THREE, TEN_TEN, steps=2),
    Setting("efforts", "Sonnet low, medium, high; 10 %, 10 %", _EFFORTS, TEN_TEN),
    Setting(
        "effort-then-model",
        "Sonnet medium, high, Opus high; 10 %, 10 %",
        (*_EFFORTS[1:], Rung(f"{OPUS}@high", 0.95, (1_350, 1_200))),
        TEN_TEN,
    ),
    Setting("unsure-escalates", "20 % unsure, which escalates", _THREE, Known(0.1, 0.1, 0.2)),
    Setting(
        "unsure-released",
        "20 % unsure, which is released",
        _THREE,
        Known(0.1, 0.1, 0.2),
        releases_unsure=True,
    ),
    Setting("together", "both fail at the same questions", _pair(0.60, 0.85), TEN_TEN, together=True),
    Setting(
        "opinion",
        "second opinion of Haiku, four wrong answers",
        _pair(0.70, 0.93),
        Opinion(Rung(HAIKU, 0.65)),
        wrong=4,
    ),
    Setting(
        "opinion-together",
        "second opinion of one that fails at the same questions",
        _pair(0.70, 0.93),
        Opinion(Rung(HAIKU, 0.65)),
        together=True,
    ),
    Setting(
        "opinion-of-top",
        "second opinion of the top rung itself",
        _pair(0.70, 0.93),
        Opinion(Rung(OPUS, 0.93)),
        wrong=4,
    ),
    Setting(
        "json",
        "json_schema, 25 % and 5 % of answers malformed",
        (Rung(SONNET, 0.8, broken=0.25), Rung(OPUS, 0.9, broken=0.05)),
        Schema(),
    ),
    Setting(
        "refusals",
        "not_refused, 20 % and 10 % refused",
        (Rung(SONNET, 0.8, broken=0.2), Rung(OPUS, 0.9, broken=0.1)),
        Refusing(),
    ),
    Setting(
        "stream",
        "held-back stream; Sonnet, Opus; 10 %, 10 %",
        _pair(0.70, 0.93),
        TEN_TEN,
        form="messages stream",
    ),
    Setting(
        "stream-three", "held-back stream; three rungs; 30 %, 20 %", _THREE, NOISY, form="messages stream"
    ),
    Setting("chat", "Chat Completions; 10 %, 10 %", _pair(0.70, 0.93), TEN_TEN, form="chat"),
    Setting("chat-stream", "Chat Completions, held-back stream", _THREE, TEN_TEN, form="chat stream"),
    Setting("cost-pays", "mode cost, Haiku, Opus: pays", _wide(0.70, 0.94), TEN_TEN, "cost"),
    Setting("cost-three-pays", "mode cost, three rungs: pays", _THREE, TEN_TEN, "cost"),
    Setting(
        "cost-refused",
        "mode cost, 0.77 times the price, 29 % fail: refused",
        _pair(0.706, 0.744, NARROW),
        PERFECT,
        "cost",
        begins_at=1,
    ),
    Setting(
        "cost-refused-noisy",
        "mode cost, a verifier that rejects 35 % wrongly: refused",
        _pair(0.80, 0.93),
        Known(0.1, 0.35),
        "cost",
        begins_at=1,
    ),
    Setting(
        "cost-refused-opinion",
        "mode cost, a second voice as dear as the top: refused",
        _pair(0.70, 0.93),
        Opinion(Rung(f"{OPUS}@low", 0.9, (1_000, 400))),
        "cost",
        wrong=4,
        begins_at=1,
    ),
    Setting(
        "cost-in-part",
        "mode cost, Haiku fails at nearly all: begun at Sonnet",
        (Rung(HAIKU, 0.05, (2_500, 1_250)), Rung(SONNET, 0.85), Rung(OPUS, 0.92, (1_400, 700))),
        TEN_TEN,
        "cost",
        begins_at=1,
    ),
)
