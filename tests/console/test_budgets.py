"""The page of budgets: each limit with its way and where it leads, for those who may see it, real and simulated apart."""

import html
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from key_store import CLI, DAY_MS, admin_of
from serving_harness import Site, head, parsed, run, site

from trimtab.admin import Actor, BudgetAdmin, BurnDown, FileBudgets, NewKey, Standing
from trimtab.admin.budget_history import History, Point
from trimtab.budgets.forecast import Pace, forecast
from trimtab.budgets.settings import BudgetSettings
from trimtab.catalogue import Arm
from trimtab.console.burning import burning
from trimtab.messages import Usage
from trimtab.records import Attempt, Outcome, Plan, RequestId, Scope, account_of
from trimtab.store import Database, StoreSettings, open_database, open_store
from trimtab.store.budgets.history import scope_of_account

NOW = 1_793_448_000_000 + 15 * DAY_MS
"""Noon of 2026-11-15, about."""


async def get(s: Site, path: str, headers: bytes = b"") -> tuple[int, dict[str, str], str]:
    status, heads, body = parsed(await s.raw(head("GET", path, headers)))
    return status, heads, body.decode()


async def said(s: Site, path: str) -> Any:
    return json.loads((await get(s, path))[2])


def state_of(part: str) -> bytes:
    """What an open page sends when it asks whether anything changed."""
    state = html.unescape(part.split('data-state="')[1].split('"', maxsplit=1)[0])
    return b"hx-request: true\r\nx-state: %b\r\n" % state.encode()


CONFIG = """
[budgets.house]
organisation = "*"
usd_per_month = 500
[budgets.ghosts]
requests_per_day = 100
soft = true
[budgets.tags]
tag = "<i>x</i>"
usd_total = 5
concurrency = 3
"""


def test_the_page_its_json_and_its_renewal_say_the_same(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path, CONFIG) as s:
            status, _, body = await get(s, "/console/budgets")
            assert status == 200
            assert "<i>x</i>" not in body
            assert "tag &lt;i&gt;x&lt;/i&gt;" in body
            assert "there is no team &#39;ghosts&#39; yet" in body
            assert 'href="/console/budgets' in body
            data = await said(s, "/console/budgets.json")
            assert data["simulated"] is True
            assert [one["name"] for one in data["pictures"]["budgets"]] == ["ghosts", "house", "tags"]
            curves = {one["field"]: one for one in data["pictures"]["burn_downs"]}
            assert set(curves) == {"requests_per_day", "usd_total"}, "in flight has no way"
            again = await get(s, "/console/budgets", state_of(body))
            now = await said(s, "/console/budgets.json")
            same_minute = data["pictures"]["now_ms"] // 60_000 == now["pictures"]["now_ms"] // 60_000
            assert again[0] == (204 if same_minute else again[0])
            assert (await get(s, "/console/budgets?window=day"))[0] == 400

    run(work)


def test_without_budgets_the_page_says_how_to_make_one(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            _, _, body = await get(s, "/console/budgets")
            assert "trimtab budgets set team-a --team team-a usd_per_month=500" in html.unescape(body)

    run(work)


def test_who_may_see_one_organisation_sees_its_budgets_only(house: "House") -> None:
    admin_of(house.database, seed=2).add(CLI, NewKey(name="x", organisation="other"))
    file = FileBudgets("t.toml", {
        "mine": BudgetSettings(organisation="acme", tokens_total=1), "all": BudgetSettings(tag="x", tokens_total=1)
    })  # fmt: skip
    door = BudgetAdmin(house.database, file)
    for actor, names in (
        (Actor("x", "acme"), ["mine"]),
        (Actor("x", "other"), []),
        (Actor("x"), ["all", "mine"]),
    ):
        assert [one.name for one in door.pictures(actor, simulated=False).budgets] == names


class House:
    """A store with a team that used the same each day."""

    def __init__(self, url: str) -> None:
        settings = StoreSettings(url=url, batch_ms=5)
        self.database: Database = open_database(settings, clock_ms=lambda: NOW)
        self.key = (
            admin_of(self.database)
            .add(CLI, NewKey(name="ci", organisation="acme", team="red", user="ann"))
            .key
        )
        store = open_store(settings, clock_ms=lambda: NOW, on_problem=None)
        for day in range(20):
            at_ms = NOW - 20 * DAY_MS + day * DAY_MS + 1
            usage = Usage(input_tokens=900, output_tokens=100)
            store.put(
                Outcome(
                    id=RequestId(f"{at_ms:012x}7{day:019x}"),
                    at_ms=at_ms,
                    purpose="live",
                    surface="messages",
                    endpoint="messages",
                    requested_model="m",
                    session="s",
                    result="ok",
                    status=200,
                    stream=False,
                    plan=Plan(Arm("claude-sonnet-4-6"), "claude"),
                    cost_nanousd=10,
                    attempts=(
                        Attempt(
                            "claude", "m", "ok", 200, usage=usage, cost_nanousd=10, cost_source="reported"
                        ),
                    ),
                    key=self.key.id,
                    organisation="acme",
                    team="red",
                    user="ann",
                )
            )
        assert store.close(10) == 0


@pytest.fixture
def house(either_store: str) -> Any:
    made = House(either_store)
    yield made
    made.database.close()


@pytest.mark.parametrize(
    "scope",
    [
        Scope("organisation", "acme"), Scope("team", "red", "acme"), Scope("user", "ann", "acme"), Scope("key", "")
    ],
)  # fmt: skip
def test_a_curve_ends_at_what_is_spent_and_goes_back_as_it_was_used(house: House, scope: Scope) -> None:
    scope = msgspec.structs.replace(scope, name=scope.name or house.key.id)

    def work(tx: Any) -> None:
        history = History(tx, NOW, simulated=False)
        begins = NOW - 15 * DAY_MS
        span = (begins - begins % DAY_MS, begins - begins % DAY_MS + 30 * DAY_MS)
        curve = history.burn_down(scope, "usd", "a", "usd_per_month", 200, span)
        assert (curve.points[-1].at_ms, curve.points[-1].spent) == (NOW, 200)
        assert curve.points[0].at_ms == span[0]
        spent = [point.spent for point in curve.points]
        assert spent == sorted(spent)
        assert 40 <= spent[1] <= 60, "fifteen days of 10 went since"
        made, note = history.forecast(scope, "usd", "month", 500, 200, span[1])
        assert note == ""
        assert made is not None
        assert (made.pace.mean, made.pace.spread) == (10, 0)
        days = (span[1] - NOW) / DAY_MS
        assert made.at_end == round(200 + 10 * days)
        tokens, _ = history.forecast(scope, "tokens", "month", 10**6, 0, span[1])
        assert tokens is not None
        assert tokens.pace.mean == 1000
        assert history.forecast(scope, "usd", "minute", 5, 1, NOW + 1) == (None, "")

    house.database.read(work)


def test_a_tag_has_no_way_and_nobody_pretends_one(house: House) -> None:
    def work(tx: Any) -> None:
        history = History(tx, NOW, simulated=False)
        curve = history.burn_down(Scope("tag", "x"), "usd", "a", "usd_per_month", 7, (0, NOW + 1))
        assert [(point.at_ms, point.spent) for point in curve.points] == [(NOW, 7)]
        assert history.forecast(Scope("tag", "x"), "usd", "month", 9, 7, NOW + 1)[1] == (
            "no data: sums over time are not kept by tag"
        )
        other = History(tx, NOW, simulated=True)
        assert other.forecast(Scope("team", "red", "acme"), "usd", "month", 9, 7, NOW + 1)[1].startswith(
            "no data"
        )

    house.database.read(work)


def test_a_chart_stays_in_its_box_and_says_everything_in_words(house: House) -> None:
    settings = BudgetSettings(organisation="acme", team="red", usd_per_month=100, usd_total=300)  # type: ignore[arg-type]
    pictures = BudgetAdmin(house.database, FileBudgets("t.toml", {"red": settings})).pictures(
        Actor("x"), simulated=False
    )
    (budget,) = pictures.budgets
    for line, curve in zip(budget.lines, pictures.burn_downs, strict=True):
        (account,) = line.accounts
        chart = burning(budget, line, account, account.real, curve, pictures.now_ms)
        assert "$0 of $100 a month" in chart.says or "$0 of $300 in all" in chart.says
        for path in (chart.area, chart.line, chart.band, chart.ahead):
            numbers = [
                float(one)
                for one in path.replace("M", " ").replace("L", " ").replace("V", " ").replace("z", "").split()
            ]
            assert all(0 <= one <= 1000 for one in numbers)
        assert 0 <= chart.limit_y <= chart.warn_y <= 100
        assert (chart.torn, chart.beyond) == ("", "")


@pytest.mark.parametrize(
    ("limit", "spread", "beyond"),
    [
        (14_000, 0.0, ""),
        (6_500, 0.0, "↑ to 30k"),
        (5, 0.0, "↑ to 30k"),
        (11_900, 2000.0, "↑ up to "),
    ],
)
def test_a_forecast_beyond_the_picture_leaves_it_straight_and_says_where_it_leads(
    tmp_path: Path, limit: int, spread: float, beyond: str
) -> None:
    settings = BudgetSettings(organisation="acme", team="red", tokens_per_month=limit)
    made = House(f"sqlite:///{tmp_path}/t.db")
    with closing(made.database):
        door = BudgetAdmin(made.database, FileBudgets("t.toml", {"red": settings}))
        (budget,) = door.pictures(Actor("x"), simulated=False).budgets
    (line,) = budget.lines
    begins, ends = NOW - 15 * DAY_MS, NOW + 15 * DAY_MS
    expected = forecast(Pace(20, DAY_MS, 1000.0, spread), 15_000, limit, NOW, ends)
    stand = Standing(15_000, 0, max(0, limit - 15_000), forecast=expected)
    points = (Point(begins, 0), Point(NOW, 15_000))
    curve = BurnDown(account="a", field="tokens_per_month", from_ms=begins, to_ms=ends, points=points)
    chart = burning(budget, line, line.accounts[0], stand, curve, NOW)
    assert chart.beyond.startswith(beyond)
    assert bool(chart.beyond) == bool(chart.torn) == bool(beyond)
    way = [tuple(map(float, one.split())) for one in chart.ahead.removeprefix("M").split("L")]
    (x0, y0), (x1, y1) = way[0], way[-1]
    assert all(y == pytest.approx(y0 + (y1 - y0) * (x - x0) / (x1 - x0), abs=0.2) for x, y in way)
    assert (y1 < 0) == beyond.startswith("↑ to")
    if y1 < 0:
        assert chart.torn_x == pytest.approx((x0 + (x1 - x0) * y0 / (y0 - y1)) / 10, abs=0.2)


@pytest.mark.parametrize(
    "scope",
    [
        Scope("team", "a/b%", "ü x"),
        Scope("key", "key_1"),
        Scope("tag", "usd"),
        Scope("organisation", "tokens/day"),
    ],
)
def test_an_accounts_name_says_whose_it_is(scope: Scope) -> None:
    for meter, period in (
        ("usd", "month"),
        ("tokens", "minute"),
        ("requests", "total"),
        ("concurrency", "total"),
    ):
        assert scope_of_account(account_of(scope, meter, period, NOW)) == scope  # type: ignore[arg-type]
