"""The list of requests, the newest first, with filters.

What it is not: the search itself (`figures`).
"""

from collections.abc import Callable

import msgspec

from trimtab.console.answers import RequestPage
from trimtab.console.application import Shown
from trimtab.console.figures import Figures
from trimtab.console.meaning import VIRTUAL_NAMES, Meaning
from trimtab.console.questions import PURPOSES, RESULTS, SPANS_MS, Filter, Question, Scope
from trimtab.console.situation import InForce, Situation
from trimtab.console.visit import Visit
from trimtab.console.visitors import Visitor
from trimtab.errors import RequestError


class ListData(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows."""

    found: RequestPage
    in_force: InForce


class ListPage:
    """Finds requests."""

    def __init__(
        self, figures: Figures, meaning: Meaning, situation: Situation, clock_ms: Callable[[], int]
    ) -> None:
        self._figures = figures
        self._meaning = meaning
        self._situation = situation
        self._clock_ms = clock_ms

    def __call__(self, visit: Visit, visitor: Visitor, rest: str) -> Shown | None:
        """See `Page`."""
        question = Question(self._situation.completed(visit.query))
        window = question.one_of("window", tuple(SPANS_MS))
        cursor = question.text("after")
        wanted = question.filter()
        question.done()
        if window is not None and wanted.from_ms is None:
            wanted = msgspec.structs.replace(wanted, from_ms=self._clock_ms() - SPANS_MS[window])
        scope = Scope(organisation=visitor.organisation)
        state = problem = None
        try:
            wanted = self._meaning.of(wanted, scope)
        except RequestError as found_none:
            if visit.as_json:
                raise
            problem = str(found_none)
        if cursor is None and problem is None:
            live = self._figures.live(
                simulated=wanted.simulated, purposes=wanted.purposes or PURPOSES, scope=scope
            )
            state = live.state
            if visit.shows(state):
                return None
        if problem is None:
            found = self._figures.requests(wanted, cursor, scope=scope)
        else:
            found = self._figures.no_requests(wanted)
        return Shown(
            template="requests.html",
            title="Requests",
            data=ListData(found=found, in_force=self._situation.in_force()),
            values={
                "slowest": max((row.total_ms for row in found.rows), default=0.0),
                "results": ("failed", *RESULTS),
                "windows": tuple(SPANS_MS),
                "narrowed": _narrowed(wanted),
                "older": found.next,
                "is_first": cursor is None,
                "problem": problem,
                "tiers": VIRTUAL_NAMES,
            },
            simulated=wanted.simulated,
            state=state,
        )


def _narrowed(wanted: Filter) -> bool:
    """Whether anything but real or simulated was asked for."""
    return wanted != Filter(simulated=wanted.simulated)
