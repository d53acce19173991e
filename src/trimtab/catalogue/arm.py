"""An arm: a model, optionally with an effort level and adaptive thinking, as people write it.

What it is not: a check that the model exists or takes that effort; `resolve_tiers` does that.
Invariant: `Arm.parse(str(arm)) == arm` for every arm that `parse` returns.
"""

from typing import Literal, cast

import msgspec

Effort = Literal["low", "medium", "high", "xhigh", "max"]

EFFORTS: tuple[Effort, ...] = ("low", "medium", "high", "xhigh", "max")
"""Every effort level, from least to most. Source: vendor effort page (2026-11)."""

_THINKING_SUFFIX = "+adaptive"


class Arm(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rung of a ladder: `model`, `model@effort`, `model+adaptive` or `model@effort+adaptive`."""

    model: str
    """Catalogue id or alias, as written."""
    effort: Effort | None = None
    """`None` leaves effort to the client, and then to the model's default."""
    thinking: Literal["adaptive"] | None = None
    """`None` adds nothing; an effort alone never turns thinking on."""

    @classmethod
    def parse(cls, text: str) -> "Arm":
        """Read an arm. Raises `ValueError` whose message says what was expected."""
        rest = text
        thinking: Literal["adaptive"] | None = None
        if "+" in rest:
            if not rest.endswith(_THINKING_SUFFIX):
                raise ValueError("only '+adaptive' may follow the model and effort")
            rest = rest.removesuffix(_THINKING_SUFFIX)
            thinking = "adaptive"
        model, at, level = rest.partition("@")
        if at and level not in EFFORTS:
            raise ValueError(f"effort must be one of {', '.join(EFFORTS)}")
        if not model:
            raise ValueError("a model id is missing; write it as 'model' or 'model@effort'")
        if any(character in model for character in " \t\r\n+@") or not model.isprintable():
            raise ValueError("a model id holds no spaces, '+' or control characters")
        return cls(model, cast(Effort, level) if at else None, thinking)

    def __str__(self) -> str:
        effort = f"@{self.effort}" if self.effort else ""
        return f"{self.model}{effort}{_THINKING_SUFFIX if self.thinking else ''}"
