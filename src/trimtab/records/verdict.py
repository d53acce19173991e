"""What a verifier said of an answer."""

from typing import Literal

import msgspec

from trimtab.records.ids import RequestId

Says = Literal["accept", "escalate", "unsure"]
"""`accept`: nothing speaks against the answer. `escalate`: it is wrong or not usable, and a stronger arm may do better.
`unsure`: it could not be told, or the verifier crashed, or it took too long; never taken for `accept`."""

MAX_EVIDENCE = 12
MAX_EVIDENCE_CHARS = 200
"""Evidence is small: it stands in every record."""

Fact = str | int | float | bool

PLAIN_FACTS = frozenset(
    (
        "begins",
        "code_language",
        "compare",
        "ended",
        "judge",
        "must_contain",
        "must_end_with",
        "must_start_with",
        "other_arm",
        "rule",
        "schema",
        "stop",
        "tool_choice",
    )
)
"""Facts of these names hold words of a configuration, an API or a catalogue: no text of a prompt or an answer."""


def quotes(name: str, fact: Fact) -> bool:
    """Whether a fact may hold text of a prompt or an answer."""
    return isinstance(fact, str) and name not in PLAIN_FACTS


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """One verifier's, of one attempt's answer."""

    verifier: str
    says: Says
    reason: str = ""
    """One short sentence."""
    evidence: dict[str, Fact] = {}
    """What it rests on, at most `MAX_EVIDENCE` facts. Texts of an answer stand here only where content is
    kept in full."""
    confidence: float | None = None
    """The probability that the answer is right, where the verifier knows it from measurement."""
    cost_nanousd: int = 0
    """Of the calls that it made, which are recorded with this request as their parent."""
    calls: tuple[RequestId, ...] = ()
    """Those calls."""
    ms: float = 0.0
    failed: bool = False
    """Whether it crashed or ran out of time, so that it is `unsure`."""


UNJUDGED = ("all", "held_back")
"""Verifiers of these names are none: the engine says so that an answer was not judged at all."""


def overall(verdicts: tuple[Verdict, ...]) -> Says:
    """What all of them come to: one that says `escalate` decides, else one that is unsure. None at all accept."""
    said = {verdict.says for verdict in verdicts}
    return "escalate" if "escalate" in said else "unsure" if "unsure" in said else "accept"
