"""What vendors claim in public, each with its source, beside what was measured here.

What it is not: a source of truth for code. Nothing computes with a claim; reports print it.
Invariant: a claim without a source and a date is refused.
"""

import datetime
from importlib import resources
from typing import Annotated

import msgspec

from trimtab.catalogue.reading import read_yaml, to_struct

_Text = Annotated[str, msgspec.Meta(min_length=1)]


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same quantity, measured for Trimtab."""

    figure: _Text
    method: _Text


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One published figure."""

    id: _Text
    vendor: _Text
    what: _Text
    figure: _Text
    unit: _Text
    source: _Text
    date: _Text
    """When it was published or read, as precisely as known (`2026-06`, `2026-11-20`)."""
    measured: Measured | None = None
    """`None`: not measured here."""
    note: str | None = None


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    as_of: datetime.date
    claims: tuple[Claim, ...]


def load_claims() -> tuple[Claim, ...]:
    """The shipped claims, in the file's order."""
    content = (resources.files("trimtab.catalogue") / "claims.yaml").read_bytes()
    return to_struct(read_yaml(content, "claims.yaml"), _Document, "claims.yaml").claims
