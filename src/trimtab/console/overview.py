"""The first page: what was asked, what it cost, how long it took and what failed, over time.

What it is not: the figures' source (`figures`), or the shapes of its charts (`drawing`).
"""

import datetime
from collections.abc import Callable, Sequence

import msgspec

import trimtab.console.drawing as drawing
import trimtab.console.words as words
from trimtab.catalogue.money import NANO, about_dollars
from trimtab.console.answers import GivenAgain, Group, Live, Overview
from trimtab.console.application import Shown
from trimtab.console.figures import Figures
from trimtab.console.questions import DAY_MS, Dimension, Question, Scope
from trimtab.console.situation import InForce, Situation
from trimtab.console.visit import Visit
from trimtab.console.visitors import Visitor

TOP = 6
"""Groups with a colour of their own: more could not be told apart by everybody."""

DIMENSIONS: tuple[Dimension, ...] = ("arm", "key", "team", "tier", "platform", "result")
"""What the page offers; its address takes every dimension."""

NEWEST = 8
"""Requests below the figures."""


class OverviewData(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows."""

    figures: Overview
    live: Live
    in_force: InForce
    given_again: GivenAgain | None = None
    """Of the cache of answers; `None`: nobody asked for an earlier one."""


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """One chart, drawn, and the data for whoever draws it again."""

    name: str
    title: str
    unit: str
    """`count`, `usd` or `ms`."""
    says: str
    """In words, for those who do not see it."""
    shapes: Sequence[drawing.Shape]
    is_line: bool
    top: str
    half: str
    ticks: tuple[str, str, str]
    plot: str
    """JSON for the script."""


class OverviewPage:
    """Reads the figures of a stretch of time."""

    def __init__(self, figures: Figures, situation: Situation, clock_ms: Callable[[], int]) -> None:
        self._figures = figures
        self._situation = situation
        self._clock_ms = clock_ms

    def __call__(self, visit: Visit, visitor: Visitor, rest: str) -> Shown | None:
        """See `Page`."""
        question = Question(self._situation.completed(visit.query))
        window = question.window(self._clock_ms())
        by: Dimension = question.one_of("by", DIMENSIONS) or "arm"  # type: ignore[assignment]
        question.done()
        scope = Scope(organisation=visitor.organisation)
        live = self._figures.live(simulated=window.simulated, purposes=window.purposes, scope=scope)
        in_force = self._situation.in_force()
        state = f"{live.state}-{live.minute.starts_ms[-1] // 60_000}-{in_force.troubles}"
        if visit.shows(state):
            return None
        found = self._figures.overview(window, by, top=TOP, scope=scope)
        again = self._figures.given_again(window, scope=scope)
        return Shown(
            template="overview.html",
            title="Overview",
            data=OverviewData(figures=found, live=live, in_force=in_force, given_again=again),
            values={
                "charts": _charts(found) if found.whole.sums.requests else [],
                "dimensions": DIMENSIONS,
                "times": _times(found),
                "newest": live.rows[:NEWEST],
                "pulse": drawing.stacked([live.minute.series.requests])[1],
            },
            simulated=window.simulated,
            # Figures older than what is live are soon asked for again: nobody shall be told that he has the last state.
            state=state if found.freshness.now_ms >= live.freshness.now_ms else None,
        )


def _charts(found: Overview) -> list[Chart]:
    groups = found.groups or (found.whole,)
    whole = found.whole.sums
    tokens = whole.tokens
    asked = tokens.input + tokens.cache_write_5m + tokens.cache_write_1h + tokens.cache_read
    bars: tuple[tuple[str, str, str, Callable[[Group], drawing.Values], str], ...] = (
        (
            "requests",
            "Requests",
            "count",
            lambda group: group.series.requests,
            words.plural(whole.requests, "request"),
        ),
        (
            "cost",
            "Cost",
            "usd",
            lambda group: [nano / NANO for nano in group.series.cost_nanousd],
            about_dollars(whole.cost_nanousd),
        ),
        (
            "tokens",
            "Tokens",
            "count",
            _all_tokens,
            f"{words.number(asked)} tokens in, {words.number(tokens.output)} out",
        ),
        (
            "errors",
            "Errors",
            "count",
            lambda group: group.series.errors,
            f"{words.plural(whole.errors, 'error')} in {words.plural(whole.requests, 'request')}",
        ),
        ("p50", "Time taken, p50", "ms", lambda group: group.series.p50_ms, _took("p50", whole.p50_ms)),
        ("p95", "Time taken, p95", "ms", lambda group: group.series.p95_ms, _took("p95", whole.p95_ms)),
    )
    return [
        _chart(found, groups, name, title, unit, [values(group) for group in groups], says)
        for name, title, unit, values, says in bars
    ]


def _chart(
    found: Overview,
    groups: Sequence[Group],
    name: str,
    title: str,
    unit: str,
    values: list[drawing.Values],
    says: str,
) -> Chart:
    is_line = unit == "ms"
    top, shapes = (drawing.lines if is_line else drawing.stacked)(values)
    write = {"count": words.short, "usd": _usd, "ms": words.duration}[unit]
    plot = {
        "unit": unit,
        "line": is_line,
        "first": found.starts_ms[0] / 1000,
        "step": found.bucket_ms / 1000,
        "count": len(found.starts_ms),
        "labels": [group.label for group in groups],
        "values": values,
    }
    return Chart(
        name=name,
        title=title,
        unit=unit,
        says=f"{title} over time: {says}. The table below has the figures.",
        shapes=shapes,
        is_line=is_line,
        top=write(top),
        half=write(top / 2),
        ticks=_ticks(found),
        plot=msgspec.json.encode(plot).decode(),
    )


def _all_tokens(group: Group) -> list[float]:
    kinds = group.series.tokens
    return [
        sum(kind)
        for kind in zip(
            kinds.input,
            kinds.cache_write_5m,
            kinds.cache_write_1h,
            kinds.cache_read,
            kinds.output,
            strict=True,
        )
    ]


def _took(name: str, ms: float | None) -> str:
    return "no whole answer yet" if ms is None else f"{name} {words.duration(ms)}"


def _usd(value: float) -> str:
    return about_dollars(value * NANO)


def _ticks(found: Overview) -> tuple[str, str, str]:
    """Where the axis begins, its middle, and its end."""
    if not found.starts_ms:
        return "", "", ""
    first, last = found.starts_ms[0], found.starts_ms[-1] + found.bucket_ms
    return tuple(_tick(at, last - first) for at in (first, (first + last) // 2, last))  # type: ignore[return-value]


def _tick(at_ms: int, span_ms: int) -> str:
    at = datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)
    return f"{at:%H:%M}" if span_ms <= 2 * DAY_MS else f"{at.day} {at:%b}"


class TimeRow(msgspec.Struct, frozen=True):
    """One stretch of time of all groups together."""

    start_ms: int
    requests: int
    errors: int
    cost_nanousd: int
    tokens_in: int
    tokens_out: int
    p50_ms: float | None
    p95_ms: float | None


def _times(found: Overview) -> list[TimeRow]:
    """The charts as a table, the newest first; stretches without requests are left out."""
    series = found.whole.series
    kinds = series.tokens
    return [
        TimeRow(
            start,
            series.requests[place],
            series.errors[place],
            series.cost_nanousd[place],
            kinds.input[place]
            + kinds.cache_write_5m[place]
            + kinds.cache_write_1h[place]
            + kinds.cache_read[place],
            kinds.output[place],
            series.p50_ms[place],
            series.p95_ms[place],
        )
        for place, start in reversed(list(enumerate(found.starts_ms)))
        if series.requests[place]
    ]
