"""Compares the catalogue with what a platform lists today, for `trimtab models --check`.

What it is not: an HTTP client; the list comes in as decoded JSON, of which nothing is trusted to have a shape.
Invariant: a difference names both values; what the platform leaves out or sends malformed is no difference.
"""

import datetime
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from trimtab.catalogue.arm import EFFORTS
from trimtab.catalogue.catalogue import Catalogue
from trimtab.catalogue.model import Model

DifferenceKind = Literal["not_in_catalogue", "not_live", "differs"]


class Difference(msgspec.Struct, frozen=True):
    """One point on which the catalogue and the platform disagree."""

    kind: DifferenceKind
    model: str
    field: str | None = None
    """What differs, in the platform's words; `None` where a whole model is missing."""
    ours: str | None = None
    theirs: str | None = None

    @property
    def text(self) -> str:
        """The difference as a sentence."""
        if self.kind == "not_in_catalogue":
            return "the platform lists it, the catalogue does not: add it to the overlay"
        if self.kind == "not_live":
            return "the catalogue has it as active, the platform does not list it"
        return f"{self.field}: catalogue {self.ours or 'none'}, platform {self.theirs or 'none'}"


def compare_live(
    catalogue: Catalogue, live: list[dict[str, Any]], today: datetime.date | None = None
) -> list[Difference]:
    """Differences with a platform's `GET /v1/models` data, which must be the whole list, all pages.

    `today` picks the life cycle to compare; without it, the catalogue's date.
    """
    day = today or catalogue.as_of
    found: list[Difference] = []
    seen: set[str] = set()
    for entry in live:
        name = entry.get("id") if isinstance(entry, Mapping) else None
        if not isinstance(name, str):
            continue
        model = catalogue.find(name)
        if model is None:
            found.append(Difference("not_in_catalogue", name))
        elif model.id not in seen:
            seen.add(model.id)
            found.extend(_differences(model, entry, day))
    found.extend(
        Difference("not_live", model.id)
        for model in catalogue.models
        if model.id not in seen and model.availability == "general" and model.status_on(day) == "active"
    )
    return found


def _differences(model: Model, entry: Mapping[str, Any], day: datetime.date) -> Iterator[Difference]:
    limits = (("max_input_tokens", model.limits.context), ("max_tokens", model.limits.max_output))
    for field, ours in limits:
        theirs = entry.get(field)
        if isinstance(theirs, int) and not isinstance(theirs, bool) and theirs != ours:
            yield Difference("differs", model.id, field, str(ours), str(theirs))
    ours_status = model.status_on(day)
    status = entry.get("lifecycle")
    if isinstance(status, str) and status != ours_status:
        yield Difference("differs", model.id, "lifecycle", ours_status, status)
    if "retires_at" in entry:
        ours_day = model.lifecycle.retires if ours_status != "active" else None
        theirs_day = _date(entry["retires_at"])
        if theirs_day != ours_day and (theirs_day is not None or entry["retires_at"] is None):
            yield Difference("differs", model.id, "retires_at", _text(ours_day), _text(theirs_day))
    theirs_levels = _effort_levels(entry)
    if theirs_levels is not None and theirs_levels != model.effort_levels:
        yield Difference(
            "differs", model.id, "effort", ", ".join(model.effort_levels), ", ".join(theirs_levels)
        )


def _effort_levels(entry: Mapping[str, Any]) -> tuple[str, ...] | None:
    capabilities = entry.get("capabilities")
    effort = capabilities.get("effort") if isinstance(capabilities, Mapping) else None
    if not isinstance(effort, Mapping) or "supported" not in effort:
        return None
    if effort["supported"] is False:
        return ()
    return tuple(
        level
        for level in EFFORTS
        if isinstance(effort.get(level), Mapping) and effort[level].get("supported") is True
    )


def _date(value: object) -> datetime.date | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.date.fromisoformat(value[:10])
    except ValueError:
        return None


def _text(day: datetime.date | None) -> str | None:
    return day.isoformat() if day is not None else None
