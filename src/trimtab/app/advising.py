"""Advice that follows from records, as a change of the configuration that a person applies.

What it is not: the statistics (`efforts`), or anything that changes a file. Invariants: what is proposed loads: the
changed text is read as a configuration before it is shown; where a place has several advices, the highest effort of
them is written.
"""

from pathlib import Path

import msgspec

from trimtab.app.clock import unix_ms
from trimtab.app.opening import open_named
from trimtab.app.settings import DEFAULT_FILE, Held, load_settings
from trimtab.catalogue import EFFORTS, Effort
from trimtab.catalogue.effort import fitted
from trimtab.config import Document
from trimtab.config.editing import unified, with_value
from trimtab.efforts.advice import EffortAdvice, Place, advise
from trimtab.errors import ConfigError
from trimtab.store.figures.efforts import AskedOnce, EffortsWanted, requests_for_efforts

DAY_MS = 86_400_000


class Advised(msgspec.Struct, frozen=True, kw_only=True):
    """What is advised, and the change that does it."""

    simulated: bool
    from_ms: int
    to_ms: int
    efforts: tuple[EffortAdvice, ...] = ()
    diff: str = ""
    """Empty where nothing is to be changed."""
    by_hand: tuple[str, ...] = ()
    """What cannot be written as a diff, each with the remedy."""


Edit = tuple[tuple[str, ...], str, object, str]
"""Table, key, value, and what must stand beside it (`config.editing`)."""


def advise_efforts(config: Path | None, *, days: float, simulated: bool, margin: float) -> Advised:
    """Which efforts the records speak for. Blocks. Raises `ConfigError`, `StoreError`."""
    settings = load_settings(config)
    to_ms = unix_ms()
    wanted = EffortsWanted(from_ms=to_ms - round(days * DAY_MS), to_ms=to_ms, simulated=simulated)
    routes = {name: route.effort for route in settings.routes if (name := route.name) and route.effort}

    def place_of(asked: AskedOnce) -> Place:
        return (asked.route if asked.route in routes else "", asked.task_class)

    def present_of(place: Place, model: str) -> Effort | None:
        route, task_class = place
        effort = routes.get(route)
        if effort is None and task_class in settings.scenarios:
            effort = settings.scenarios[task_class].effort
        found = settings.catalogue.find(model)
        if effort is None or found is None or not found.effort_levels:
            return effort
        return fitted(effort, found.effort_levels, settings.effort.clamp, settings.effort.most)

    database = open_named(settings.store, settings.document, create=False)
    try:
        found = advise(requests_for_efforts(database, wanted), place_of, present_of, margin=margin)
    finally:
        database.close()
    edits = _effort_edits(found)
    diff, by_hand = propose(config, settings.document, edits)
    nameless = [
        one for one in found if not one.route and not one.task_class and one.kind in ("lower", "raise")
    ]
    for one in nameless:
        by_hand.append(
            f"requests of no class would do with {one.proposed} on {one.model}: name a scenario for them (a route's or "
            "tier's `scenario`, or the header x-trimtab-scenario), so that there is a place to write it"
        )
    return Advised(
        simulated=simulated,
        from_ms=wanted.from_ms,
        to_ms=to_ms,
        efforts=found,
        diff=diff,
        by_hand=tuple(by_hand),
    )


def _effort_edits(found: tuple[EffortAdvice, ...]) -> list[Edit]:
    """One for each place in the configuration: of its advices the highest effort, if any of them is a change."""
    places: dict[tuple[str, str], list[EffortAdvice]] = {}
    for one in found:
        if one.route:
            places.setdefault(("routes", one.route), []).append(one)
        elif one.task_class:
            places.setdefault(("scenarios", one.task_class), []).append(one)
    edits: list[Edit] = []
    for table, advices in places.items():
        if not any(one.kind in ("lower", "raise") for one in advices):
            continue
        levels = [EFFORTS.index(one.proposed) for one in advices if one.proposed in EFFORTS]
        present = [EFFORTS.index(one.present) for one in advices if one.present in EFFORTS]
        if max(levels) != max(present):
            edits.append((table, "effort", EFFORTS[max(levels)], ""))
    return edits


def propose(config: Path | None, document: Document, edits: list[Edit]) -> tuple[str, list[str]]:
    """The diff that makes these changes, and those that a person must make by hand. Raises `ConfigError` where the
    changed file would not load."""
    old = document.content.decode()
    text = old
    by_hand: list[str] = []
    for table, key, value, beside in edits:
        try:
            text = with_value(text, table, key, value, beside=beside)
        except ConfigError as problem:
            by_hand.append(str(problem))
    if text == old:
        return "", by_hand
    path = config if config is not None else Path(DEFAULT_FILE)
    overlay = _overlay(config)
    load_settings(path, held=Held(text.encode(), overlay))
    return unified(path.name, old, text), by_hand


def _overlay(config: Path | None) -> bytes | None:
    """The bytes of the catalogue's overlay, which stays as it is."""
    return None if config is None else load_settings(config).held.overlay
