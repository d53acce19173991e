"""The overview at its fullest: every group in every stretch of time."""

import msgspec

from trimtab.console.answers import (
    Freshness,
    GivenAgain,
    Group,
    Live,
    LiveMinute,
    Overview,
    Series,
    Sums,
    TokenSeries,
)
from trimtab.console.figures import Figures
from trimtab.console.files import TYPES, Files
from trimtab.console.overview import TOP, OverviewData, OverviewPage
from trimtab.console.questions import DAY_MS, HOUR_MS, Filter, Window
from trimtab.console.rendering import Templates
from trimtab.console.situation import ContentPolicy, InForce, PlatformShown, Situation
from trimtab.console.visit import Visit
from trimtab.console.visitors import Visitor
from trimtab.store import TokenCounts

BUCKETS = 96
"""As many as the longest window has."""
NOW = 1_795_199_400_000


def series(scale: int) -> Series:
    counts = tuple(scale + number for number in range(BUCKETS))
    times = tuple(1234.56789 + number for number in range(BUCKETS))
    tokens = TokenSeries(counts, counts, counts, counts, counts, counts)
    return Series(
        counts, counts, tuple(count * 98_765_432 for count in counts), tokens, times, times, times, times
    )


def group(name: str, *, other: bool = False) -> Group:
    sums = Sums(987_654, 4_321, 98_765_432_109, TokenCounts(1, 2, 3, 4, 5, 6), 1.0, 2.0, 3.0, 4.0)
    return Group(name, name or "(others)", None, other, sums, series(123_456))


class Full(Figures):
    """Answers with as much as there can be."""

    def __init__(self) -> None:
        pass

    def overview(self, window: Window, by: object = None, **_: object) -> Overview:  # type: ignore[override]
        names = [f"claude-of-a-rather-long-name-{number}@medium+adaptive" for number in range(TOP)]
        groups = (*(group(name) for name in names), group("", other=True))
        starts = tuple(NOW + number * 900_000 for number in range(BUCKETS))
        return Overview(
            window,
            900_000,
            starts,
            group("all"),
            "arm",
            groups,
            Sums(5, 1, 7),
            3,
            Freshness(NOW, 0),
            Filter(),
        )

    def given_again(self, window: Window, **_: object) -> GivenAgain:
        return GivenAgain(NOW - NOW % HOUR_MS, 321, 654, 98_765_432_109)

    def live(self, **_: object) -> Live:
        minute = LiveMinute(5_000, tuple(range(12)), Sums(), series(1))
        return Live("state", minute, (), Freshness(NOW, 0))


def page() -> OverviewPage:
    settled = InForce(
        config_name="trimtab.toml",
        config_version="0" * 16,
        catalogue_version="0" * 16,
        catalogue_as_of="2026-11-20",
        platforms=(PlatformShown("claude", "anthropic", False),),
        tiers={"default": "claude-sonnet-4-6"},
        store="sqlite:///trimtab.db",
        keep_days=0,
        workers=1,
        url="http://127.0.0.1:8787",
        keys_required=False,
        content=ContentPolicy(),
    )
    return OverviewPage(Full(), Situation(settled, lambda: {"store": None}), lambda: NOW + DAY_MS)


def visit(*headers: tuple[bytes, bytes]) -> Visit:
    return Visit(
        method="GET", path="/console", query=b"", asked={}, form={}, headers=list(headers), client=""
    )


VISITOR = Visitor("ann", "viewer", "token")


def test_the_fullest_page_from_an_empty_cache_is_below_300_kb() -> None:
    files = Files()
    shown = page()(visit(), VISITOR, "")
    assert shown is not None
    values = {
        **shown.values,
        "data": shown.data,
        "title": shown.title,
        "simulated": False,
        "state": shown.state,
    }
    body = Templates(files).render(
        shown.template, {**values, "visitor": VISITOR, "visit": visit(), "situation": page()._situation}
    )
    brought = sum(len(files.packed(files.url(name))) for name in TYPES)
    heads = 1_500 * (1 + len(TYPES))
    assert body.count(b"<path") > 6 * TOP
    assert b"321 of 975 requests that would take one" in body
    assert len(body) + brought + heads < 300_000, f"{len(body)} + {brought}"


def test_every_group_has_its_own_line_and_the_others_come_last() -> None:
    shown = page()(visit(), VISITOR, "")
    assert shown is not None
    for chart in shown.values["charts"]:  # type: ignore[attr-defined]
        assert [shape.group for shape in chart.shapes] == list(range(TOP + 1))
        plot = msgspec.json.decode(chart.plot)
        assert len(plot["values"]) == len(plot["labels"]) == TOP + 1
        assert {len(values) for values in plot["values"]} == {plot["count"]} == {BUCKETS}
        assert plot["labels"][-1] == "(others)"


def test_the_store_is_not_asked_again_for_a_page_that_shows_the_newest() -> None:
    shown = page()(visit(), VISITOR, "")
    assert shown is not None
    assert shown.state is not None
    assert isinstance(shown.data, OverviewData)
    again = visit((b"hx-request", b"true"), (b"x-state", shown.state.encode()))
    assert page()(again, VISITOR, "") is None
    assert page()(visit((b"x-state", shown.state.encode())), VISITOR, "") is not None
