"""What an operator should know about the age of models: retired, about to retire, past the earliest date.

What it is not: a check with the platform; `compare_live` is.
Invariant: a note names a date from the catalogue, never a guess.
"""

import datetime
from typing import Literal

import msgspec

from trimtab.catalogue.catalogue import Catalogue
from trimtab.catalogue.model import Model

NOTICE_DAYS = 60
"""How long before a retirement it is announced to operators. Source: the vendor promises at least 60 days' notice
(deprecations page, 2026-11)."""

LifecycleKind = Literal["retired", "retires_soon", "past_earliest", "deprecated"]

_ORDER: tuple[LifecycleKind, ...] = ("retired", "retires_soon", "past_earliest", "deprecated")


class LifecycleNote(msgspec.Struct, frozen=True):
    """One thing to know about one model."""

    model: str
    kind: LifecycleKind
    date: datetime.date | None
    """The day it is about; `None` where none is known."""
    text: str
    platform: str | None = None
    """The platform it is about; `None` means the vendor's own API."""


def lifecycle_notes(catalogue: Catalogue, today: datetime.date) -> list[LifecycleNote]:
    """Notes on every model that needs one: retired first, then by date."""
    notes = [note for model in catalogue.models for note in _notes(model, today)]
    return sorted(notes, key=lambda note: (_ORDER.index(note.kind), note.date or today, note.model))


def _notes(model: Model, today: datetime.date) -> list[LifecycleNote]:
    life = model.lifecycle
    notes: list[LifecycleNote] = []
    left = model.days_left(today)
    if model.retired_on(today):
        since = f" since {life.retires}" if life.retires else ""
        notes.append(_note(model, "retired", life.retires, f"retired{since}: calls to the Claude API fail"))
    elif left is not None and left <= NOTICE_DAYS:
        text = f"retires on {life.retires}, in {_days(left)}"
        notes.append(_note(model, "retires_soon", life.retires, text))
    elif model.status_on(today) == "deprecated":
        text = (
            f"deprecated; retires on {life.retires}"
            if life.retires
            else "deprecated; no retirement date confirmed"
        )
        notes.append(_note(model, "deprecated", life.retires or life.deprecated, text))
    elif life.retires_not_before is not None and today >= life.retires_not_before and life.retires is None:
        text = (
            f"may retire any day: its earliest retirement date was {life.retires_not_before}; "
            "`trimtab models --check` asks the platform"
        )
        notes.append(_note(model, "past_earliest", life.retires_not_before, text))
    for platform, day in sorted(life.platform_retires.items()):
        days = (day - today).days
        if 0 < days <= NOTICE_DAYS:
            text = f"retires on {platform} on {day}, in {_days(days)}"
            notes.append(_note(model, "retires_soon", day, text, platform))
        elif days <= 0:
            notes.append(_note(model, "retired", day, f"retired on {platform} since {day}", platform))
    return notes


def _note(
    model: Model, kind: LifecycleKind, date: datetime.date | None, text: str, platform: str | None = None
) -> LifecycleNote:
    return LifecycleNote(model.id, kind, date, text, platform)


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
