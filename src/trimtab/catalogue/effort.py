"""Effort as a policy: levels that a model lacks, how they are said otherwise, and scenarios that name an effort.

What it is not: who wins where several name an effort (`routing`), or the change of a body (`normaliser`).
Invariant: whatever is asked for, `fitted` gives a level that the model has, and with `down` none above what was asked
unless the model has nothing lower.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from trimtab.catalogue.arm import EFFORTS, Effort
from trimtab.catalogue.model import Tokens
from trimtab.catalogue.reading import read_yaml, to_struct
from trimtab.config import fail
from trimtab.errors import ConfigError

Clamp = Literal["down", "up"]

ThinkingPolicy = Literal["as_sent", "off", "adaptive", "summarized"]
"""What is said about thinking where the client says nothing. `as_sent`: nothing, so the model's default holds. `off`:
not to think. `adaptive`: to think as it sees fit, by a budget where the model has only those. `summarized`: the same,
and to show a summary of it."""

THINKING_POLICIES: tuple[ThinkingPolicy, ...] = ("as_sent", "off", "adaptive", "summarized")

MAX_NAME = 64
"""Characters of a scenario's name, which goes into every record."""


class EffortSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section `[effort]` of the configuration."""

    clamp: Clamp = "down"
    """Where a model lacks a level: the next lower one that it has, or the next higher one, which costs more."""
    without: Literal["guidance", "budget", "off"] = "guidance"
    """Where a model has no levels at all. `guidance`: one sentence in the system prompt; thinking is never added.
    `budget`: a thinking budget, where model and request have room for one, else guidance. `off`: it is left out."""
    most: Effort | None = None
    """No request works at a higher effort, whoever asks for it."""


class EffortWords(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an effort is said to a model without levels, as data."""

    budgets: dict[Effort, Tokens]
    least_budget: Tokens
    usual_output: dict[Effort, Tokens]
    """Tokens of output that a call is expected to come to before anything was measured; of no use for anything else."""
    guidance: dict[Effort, str]


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kind of work, and the effort that it takes unless somebody says otherwise."""

    effort: Effort
    thinking: ThinkingPolicy = "as_sent"
    note: str = ""
    """For people."""
    phases: dict[str, int | float] | None = None
    """Phases of its tasks that name none, with their shares in percent."""


Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


def is_higher(effort: Effort, other: Effort) -> bool:
    """Whether one level is above the other."""
    return EFFORTS.index(effort) > EFFORTS.index(other)


def fitted(
    wanted: Effort, levels: Sequence[Effort], clamp: Clamp = "down", most: Effort | None = None
) -> Effort:
    """The level that a model with these (at least one) works at when this one is wanted, never above `most` unless it
    has nothing lower."""
    if most is not None and is_higher(wanted, most):
        wanted, clamp = most, "down"
    if wanted in levels:
        return wanted
    lower = [level for level in EFFORTS if level in levels and is_higher(wanted, level)]
    higher = [level for level in EFFORTS if level in levels and is_higher(level, wanted)]
    if clamp == "up" and higher and (most is None or not is_higher(higher[0], most)):
        return higher[0]
    return lower[-1] if lower else higher[0]


def load_words(content: bytes) -> EffortWords:
    """`effort.yaml`. Raises `ConfigError`."""
    words = to_struct(read_yaml(content, "effort.yaml"), EffortWords, "effort.yaml")
    for key in ("budgets", "guidance", "usual_output"):
        if set(getattr(words, key)) != set(EFFORTS):
            raise ConfigError(f"effort.yaml: {key}", f"must name each of {', '.join(EFFORTS)}")
    return words


def load_scenarios(content: bytes) -> dict[str, Scenario]:
    """`scenarios.yaml`. Raises `ConfigError`."""
    return to_struct(read_yaml(content, "scenarios.yaml"), dict[Name, Scenario], "scenarios.yaml")


def with_own(
    shipped: Mapping[str, Scenario], own: Mapping[str, Scenario | Effort], where: str
) -> dict[str, Scenario]:
    """The shipped scenarios with an operator's above them; a bare effort stands for a scenario of that effort. Raises
    `ConfigError` at `where` for a name that cannot stand in a header."""
    for name in own:
        if not is_plain_name(name):
            fail(
                where,
                name,
                f"a name has 1 to {MAX_NAME} of a-z, 0-9, '-' and '_', and begins with none of the last two",
            )
    for name, one in own.items():
        phases = one.phases if isinstance(one, Scenario) else None
        if phases is not None and (min(phases.values(), default=0) <= 0 or sum(phases.values()) > 100.001):
            fail(f"{where}.{name}.phases", phases, "shares are above 0 percent, and come to at most 100")
    return {
        **shipped,
        **{name: Scenario(one) if isinstance(one, str) else one for name, one in own.items()},
    }


def is_plain_name(name: str) -> bool:
    """Whether a scenario or a route may have this name."""
    plain = name.replace("-", "a").replace("_", "a")
    return (
        0 < len(name) <= MAX_NAME
        and name[0] not in "-_"
        and plain.isascii()
        and plain.isalnum()
        and name == name.lower()
    )
