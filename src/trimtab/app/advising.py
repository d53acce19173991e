"""Advice that follows from records, as a change of the configuration that a person applies.

What it is not: the statistics (`efforts`), or anything that changes a file. Invariants: what is proposed loads: the
changed text is read as a configuration before it is shown; a place changes only where all its models and classes are
advised the same way, and then to the highest effort of theirs.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from trimtab.app.clock import unix_ms
from trimtab.app.opening import open_named
from trimtab.app.settings import DEFAULT_FILE, Held, Settings, load_settings
from trimtab.budgets.tasks import Task
from trimtab.budgets.tasks.keeping import present
from trimtab.catalogue import EFFORTS, Effort
from trimtab.catalogue.effort import fitted
from trimtab.config import Document
from trimtab.config.editing import literal, unified, with_value
from trimtab.efforts.advice import EffortAdvice, Place, advise
from trimtab.efforts.phases import PhaseAdvice, advise_phases
from trimtab.efforts.shares import TaskUse
from trimtab.errors import ConfigError
from trimtab.store import Database
from trimtab.store.feedback import Feedback, words_of_tasks
from trimtab.store.figures.efforts import AskedOnce, EffortsWanted, requests_for_efforts
from trimtab.store.tasks import list_tasks

DAY_MS = 86_400_000

TASKS_MAX = 20_000
"""That one advice is made of."""


class Advised(msgspec.Struct, frozen=True, kw_only=True):
    """What is advised, and the change that does it."""

    simulated: bool
    from_ms: int
    to_ms: int
    efforts: tuple[EffortAdvice, ...] = ()
    phases: tuple[PhaseAdvice, ...] = ()
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
    place_of = places_of(settings)

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
    edits, differing = _effort_edits(found)
    diff, by_hand = propose(config, settings.document, edits)
    by_hand += differing
    nameless = [
        one for one in found if not one.route and not one.task_class and one.kind in ("lower", "raise")
    ]
    for one in nameless:
        by_hand.append(
            f"requests of no class would do with {one.proposed} on {one.model}: name a scenario for them (a route's, "
            "tier's or task's `scenario`, or the header x-trimtab-scenario), so that there is a place to write it"
        )
    return Advised(
        simulated=simulated,
        from_ms=wanted.from_ms,
        to_ms=to_ms,
        efforts=found,
        diff=diff,
        by_hand=tuple(by_hand),
    )


def places_of(settings: Settings) -> Callable[[AskedOnce], Place]:
    """What in the configuration decides the effort of a request: the route that names one, unless the request's header
    or task named the class, which stands before it; else the class."""
    of_tiers = {policy.scenario for policy in settings.tiers.policies.values() if policy.scenario}
    own = {
        route.name: {route.scenario} if route.scenario else {"", *of_tiers}
        for route in settings.routes
        if route.effort
    }

    def place_of(asked: AskedOnce) -> Place:
        decides = asked.task_class in own.get(asked.route, ())
        return (asked.route if decides else "", asked.task_class)

    return place_of


def advise_task_phases(config: Path | None, *, days: float, simulated: bool) -> Advised:
    """Which shares of their budget the phases of tasks need. Blocks. Raises `ConfigError`, `StoreError`."""
    settings = load_settings(config)
    to_ms = unix_ms()
    from_ms = to_ms - round(days * DAY_MS)
    database = open_named(settings.store, settings.document, create=False)
    try:
        tasks = _ended_tasks(database, from_ms, to_ms, simulated)
    finally:
        database.close()
    configured = {name: one.phases for name, one in settings.scenarios.items() if one.phases}
    found = advise_phases(tasks, configured)
    edits: list[Edit] = []
    by_hand = []
    for one in found:
        if one.kind != "change":
            continue
        scenario = settings.scenarios.get(one.task_class)
        shares = {phase.name: phase.proposed_percent for phase in one.phases}
        if scenario is None:
            by_hand.append(
                f"tasks of {one.task_class or 'no scenario'} would do with {literal(shares)}: there is no such "
                "scenario in the configuration to write it to"
            )
        else:
            beside = f'effort = "{scenario.effort}"'
            edits.append((("scenarios", one.task_class), "phases", shares, beside))
    diff, more = propose(config, settings.document, edits)
    return Advised(
        simulated=simulated,
        from_ms=from_ms,
        to_ms=to_ms,
        phases=found,
        diff=diff,
        by_hand=(*by_hand, *more),
    )


def _ended_tasks(database: Database, from_ms: int, to_ms: int, simulated: bool) -> list[TaskUse]:
    """Tasks that have come to their end, or that nobody has used for a day, the oldest first, with what was told of
    them; the newest `TASKS_MAX` of them. What a cancelled one would have needed is not known."""
    found: list[TaskUse] = []
    before = ""
    while len(found) < TASKS_MAX:
        page = database.read(lambda view, last=before: list_tasks(view, before=last, most=500))  # type: ignore[misc]
        ended: list[tuple[str, Task]] = []
        for seen in page:
            kept, task = seen.task, present(seen)
            still = task.state == "cancelled" or (task.state == "open" and kept.changed_ms > to_ms - DAY_MS)
            if kept.created_ms >= from_ms and task.simulated == simulated and task.spent and not still:
                ended.append((kept.scenario, task))
        told = database.read(lambda view, named=ended: words_of_tasks(view, [task.id for _, task in named]))  # type: ignore[misc]
        found += [_used(scenario, task, told.get(task.id, ())) for scenario, task in ended]
        if len(page) < 500 or page[-1].task.created_ms < from_ms:
            break
        before = page[-1].task.id
    return found[::-1]


def _used(scenario: str, task: Task, told: Sequence[Feedback]) -> TaskUse:
    """`told`: the oldest first; of each source its last word counts."""
    scores = {word.source: word.score for word in told}
    return TaskUse(
        task_class=scenario,
        total=task.total,
        ran_out=task.state == "exhausted",
        planned={phase.name: phase.planned for phase in task.phases},
        spent={phase.name: phase.spent for phase in task.phases},
        nanousd=task.spent_nanousd,
        score=sum(scores.values()) / len(scores) if scores else None,
    )


def _effort_edits(found: tuple[EffortAdvice, ...]) -> tuple[list[Edit], list[str]]:
    """One for each place in the configuration whose models and classes agree that it is to change, to the highest
    effort of theirs; and what is left to a person where they do not."""
    places: dict[tuple[str, str], list[EffortAdvice]] = {}
    for one in found:
        if one.route:
            places.setdefault(("routes", one.route), []).append(one)
        elif one.task_class:
            places.setdefault(("scenarios", one.task_class), []).append(one)
    edits: list[Edit] = []
    differing = []
    for table, advices in places.items():
        kinds = {one.kind for one in advices}
        if len(kinds) == 1 and kinds & {"lower", "raise"}:
            levels = [EFFORTS.index(one.proposed) for one in advices if one.proposed in EFFORTS]
            edits.append((table, "effort", EFFORTS[max(levels)], ""))
        elif kinds & {"lower", "raise"}:
            each = "; ".join(
                f"{one.task_class} on {one.model} {one.proposed}{' (no data)' if one.kind == 'no data' else ''}"
                for one in advices
            )
            differing.append(
                f"{'.'.join(table)}: its models or classes differ, so it stays as it is ({each}); give those that "
                "differ a route with an effort of its own"
            )
    return edits, differing


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
