"""Cases: requests that are put to both platforms. Ours are in `cases.yaml`; users bring their own as lines.

What it is not: what materials are made of (`materials`), or the judgement. Invariant: a file is read whole and
strictly, or a `ConfigError` names line or case, value and remedy.
"""

from importlib import resources
from typing import Annotated, Any, Literal

import msgspec

from trimtab.catalogue.reading import read_yaml, to_struct
from trimtab.errors import ConfigError, shortened

Place = Literal["each", "first", "second"]

Free = Literal["stop reason", "thinking", "blocks", "tools", "output"]
"""What a model may decide anew each time that it is asked."""

Name = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,80}$")]
"""It stands in a header, so it has no blanks."""

MAX_STEPS = 10


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One request of a case."""

    request: dict[str, Any]
    """The body less its model; an object with one key that begins with `$` is a material, see `materials`."""
    at: Place = "each"
    """Where it is asked: at each of the two platforms, or at one of them only, for both to go on from."""
    count: bool = False
    """Counts its tokens, and has no answer."""


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is asked, and what of the answer it leaves no choice of."""

    name: Name
    about: str = ""
    steps: Annotated[tuple[Step, ...], msgspec.Meta(min_length=1, max_length=MAX_STEPS)]
    betas: tuple[str, ...] = ()
    version: str = "2023-06-01"
    refused: bool = False
    """A refusal is what it is about, so that one on both sides needs no note."""
    fixed: tuple[Free, ...] = ()
    """What the request decides, so that one difference is one; the rest of `Free` is compared by rates."""


class _Cases(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cases: tuple[Case, ...]


def shipped_cases() -> tuple[Case, ...]:
    """The set that comes with Trimtab."""
    text = resources.files("trimtab.evals.parity").joinpath("cases.yaml").read_bytes()
    cases = to_struct(read_yaml(text, "cases.yaml"), _Cases, "cases.yaml").cases
    _check(cases, "cases.yaml")
    return cases


def cases_of_lines(content: bytes, where: str) -> tuple[Case, ...]:
    """Cases of a user's file, one JSON object a line: a case, or the body of a Messages request as it stands.

    Raises `ConfigError`.
    """
    cases = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        place = f"{where}: line {number}"
        try:
            raw = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise ConfigError(place, f"is not a JSON object: {problem}") from None
        if "messages" in raw:
            raw = {"name": f"line-{number}", "steps": [{"request": raw}]}
        try:
            cases.append(msgspec.convert(raw, Case))
        except msgspec.ValidationError as problem:
            raise ConfigError(
                place,
                f"{problem}; a line is the body of a Messages request, or a case as docs/parity.md has it",
            ) from None
    if not cases:
        raise ConfigError(where, "holds no case; write one JSON object a line")
    _check(cases, where)
    return tuple(cases)


def _check(cases: tuple[Case, ...] | list[Case], where: str) -> None:
    seen: set[str] = set()
    for case in cases:
        if case.name in seen:
            raise ConfigError(
                where, f"two cases are named {shortened(case.name)!r}; name one of them otherwise"
            )
        seen.add(case.name)
        if not any(step.at == "each" for step in case.steps):
            raise ConfigError(
                where,
                f"case {case.name!r}: no step is asked at each platform, so there is nothing to compare",
            )
