"""A verifier that knows the right answer and is wrong as often as it is told: what a cascade must make of it is known.

What it is not: installed with Trimtab. `installed` puts it into a folder as the package of somebody else, with an entry
point in the group of verifiers, for processes that have the folder on their path. Its draws are hashes of the answer, the
arm and the question: the same answer is always judged the same.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from trimtab.config import fail
from trimtab.verification import Case, Finding, Spends

KIND = "known_rates"


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one `[verifiers.NAME]`."""

    right: str
    """The right answer."""
    miss: float = 0.0
    """How often it accepts a wrong one."""
    false_alarm: float = 0.0
    """How often it escalates a right one."""
    unsure: float = 0.0
    """How often it is unsure, whatever the answer."""


class KnownRates:
    """See `verification.Verifier`."""

    spends: Spends = "nothing"

    def __init__(self, options: Options) -> None:
        self._options = options

    async def check(self, case: Case) -> Finding:
        """Judge one answer."""
        options, text = self._options, case.answer.text
        parts = (case.arm, case.question.asked, text)
        if drawn("unsure", *parts) < options.unsure:
            return Finding("unsure", "it was to be unsure")
        is_right = text == options.right
        mistaken = drawn("mistaken", *parts) < (options.false_alarm if is_right else options.miss)
        if is_right != mistaken:
            return Finding("accept", "it was to be accepted")
        return Finding("escalate", "it was to be escalated", {"right": is_right})


def drawn(*parts: str) -> float:
    """A number from 0 up to 1 that depends on the parts only."""
    digest = hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64


def build(options: Mapping[str, Any], where: Callable[[str], str]) -> KnownRates:
    """See `verification.Factory`."""
    try:
        return KnownRates(msgspec.convert(dict(options), Options))
    except msgspec.ValidationError as problem:
        fail(where(""), dict(options), str(problem))


def installed(folder: Path) -> Path:
    """The same folder, with this verifier in it as a package that an installer left there."""
    info = folder / "known_rates-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "known_rates.py").write_bytes(Path(__file__).read_bytes())
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: known-rates\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[trimtab.verifiers]\n{KIND} = known_rates:build\n")
    return folder
