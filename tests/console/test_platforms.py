"""The page of platforms: what entries did and how they do, told to those who may know it, real and simulated apart."""

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from serving_harness import ASK, Site, head, parsed, run, site

from trimtab.catalogue import Arm
from trimtab.console import Entries, Figures, PlatformsAsked
from trimtab.console.platform_answers import EntryNow, Platforms
from trimtab.console.questions import Question, Scope
from trimtab.errors import PermissionDenied, RequestError
from trimtab.messages import Usage
from trimtab.records import Attempt, Outcome, Plan, RequestId
from trimtab.routing import Commitment, Place, Spent, Standings
from trimtab.store import Database, Store, StoreSettings, open_database, open_store
from trimtab.store.keys.tables import insert_organisation

SONNET, HAIKU = "claude-sonnet-4-6", "claude-haiku-4-5"
NOW = 1_800_000_000_000 // 3_600_000 * 3_600_000 + 120_000
TODAY = datetime.datetime.fromtimestamp(NOW / 1000, datetime.UTC).date()
DAY = datetime.timedelta(1)

IDS = {SONNET: "s", HAIKU: "h"}
ENTRIES = Entries(
    places=(
        Place("claude", "anthropic", IDS, account="1", hardware="trainium", data_region="us", weight=2.0),
        Place("claude", "anthropic", IDS, account="2", hardware="trainium", data_region="us", weight=2.0),
        Place("vertex", "vertex", IDS, hardware="tpu", online_from=TODAY + DAY, regional=True),
        Place("sim", "simulator", IDS),
    ),
    simulated=frozenset({"sim"}),
    commitments={
        "claude": Commitment(1_000_000, TODAY - 50 * DAY, TODAY + 49 * DAY),
        "vertex": Commitment(1_000_000, TODAY, TODAY),
        "sim": Commitment(5, TODAY, TODAY),
    },
)
SPENT = {"claude": Spent(250_000, 14_000, 7.0), "sim": Spent(9, 9, 1.0)}


def answered(platform: str, cost: int, ms: float, **more: Any) -> Attempt:
    return Attempt(
        platform,
        "as sent",
        "ok",
        200,
        usage=Usage(input_tokens=10, output_tokens=100),
        cost_nanousd=cost,
        first_content_ms=100.0,
        total_ms=100.0 + ms,
        **more,
    )


def failed(platform: str, status: int | None = 529, error: str = "overloaded_error", **more: Any) -> Attempt:
    return Attempt(platform, "as sent", "error", status, error, **more)


def outcome(n: int, *attempts: Attempt, model: str = SONNET, **changes: Any) -> Outcome:
    last = attempts[-1]
    record = Outcome(
        id=RequestId(f"{NOW - 1000:012x}7{n:019x}"),
        at_ms=NOW - 1000,
        purpose="live",
        surface="messages",
        endpoint="messages",
        requested_model="m",
        session="s",
        result=last.result,
        status=200,
        stream=True,
        plan=Plan(Arm(model), attempts[0].platform),
        attempts=attempts,
        error=last.error,
        cost_nanousd=sum(one.cost_nanousd for one in attempts),
    )
    return msgspec.structs.replace(record, **changes)


class House:
    """A store, and what is told of platforms."""

    def __init__(self, database: Database, store: Store) -> None:
        self.database, self.store = database, store
        self.standings = Standings(lambda: 100.0, lambda: NOW / 1000, lambda: 0.0)
        figures = Figures(database, store, clock_ms=lambda: NOW, monotonic=lambda: 0.0)
        self.asked = PlatformsAsked(
            ENTRIES,
            figures,
            clock_ms=lambda: NOW,
            spent=SPENT.get,
            standings=self.standings.snapshot,
        )

    def ask(self, query: bytes = b"", scope: Scope | None = None) -> Platforms:
        return self.asked.read(Question(query), scope or Scope())()

    def entry(self, name: str, query: bytes = b"") -> EntryNow:
        return next(one for one in self.ask(query).entries if one.name == name)


@pytest.fixture
def house(either_store: str) -> Iterator[House]:
    settings = StoreSettings(url=either_store, batch_ms=5)
    database = open_database(settings, clock_ms=lambda: NOW)
    store = open_store(settings, clock_ms=lambda: NOW, on_problem=None)
    yield House(database, store)
    store.close(5)
    database.close()


def fill(house: House, *records: Outcome) -> None:
    for record in records:
        house.store.put(record)
    house.store.close(10)


def test_an_entry_is_shown_with_what_the_operator_says_what_it_did_and_how_it_does(house: House) -> None:
    limited = failed("claude", 429, "rate_limit_error", account="1")
    fill(
        house,
        outcome(1, limited, answered("claude", 300, 1000.0, account="2")),
        outcome(2, failed("claude", account="1"), answered("vertex", 500, 2000.0)),
        outcome(3, answered("gone", 1, 10.0)),
        outcome(4, answered("sim", 1, 10.0), simulated=True),
    )
    head_lines = {
        b"anthropic-ratelimit-requests-limit": b"10",
        b"anthropic-ratelimit-requests-remaining": b"5",
    }
    for _ in range(5):
        began = house.standings.began("claude#1", SONNET)
        house.standings.ended("claude#1", SONNET, "failed", started=began)
    house.standings.ended(
        "claude#2", HAIKU, "ok", started=house.standings.began("claude#2", HAIKU), headers=head_lines
    )
    found = house.ask()
    assert [one.name for one in found.entries] == ["claude", "vertex", "gone"]
    claude, vertex, gone = found.entries
    assert (claude.hardware, claude.data_region, claude.weight, claude.accounts) == (
        "trainium",
        "us",
        2.0,
        ("1", "2"),
    )
    assert (vertex.online_from, vertex.online, vertex.regional) == (TODAY + DAY, False, True)
    assert (gone.in_force, gone.kind, gone.models[0].sent_as) == (False, "", None)
    haiku, sonnet = claude.models
    assert (sonnet.price_nanousd, sonnet.tokens_per_s) == (300, 100.0)
    assert (sonnet.answered.part, sonnet.answered.whole, sonnet.limited.part) == (1, 3, 1)
    assert sonnet.answered.low is not None
    assert sonnet.answered.low < 1 / 3 < (sonnet.answered.high or 0)
    assert sonnet.lately == sonnet.answered
    assert [(one.account, one.state, one.kept_back) for one in sonnet.now] == [("1", "open", True)]
    assert sonnet.now[0].away == "5 calls in a row failed; tried again in 5 s"
    assert [(one.account, one.room) for one in haiku.now] == [("2", 0.5)]
    assert haiku.calls.attempts == 0, "shown because it was called, though no record of that is written yet"
    assert (haiku.price_nanousd, haiku.answered.low) == (None, None)
    assert {account: calls.attempts for account, calls in claude.by_account.items()} == {"1": 2, "2": 1}
    assert sonnet.last_error is not None
    assert vertex.models[0].price_nanousd == 500


def test_a_commitment_is_told_with_its_pace_on_the_side_of_its_entry(house: House) -> None:
    claude = house.entry("claude").commitment
    assert claude is not None
    assert (claude.state, claude.spent_nanousd, claude.lately_nanousd) == ("under", 250_000, 14_000)
    assert claude.passed == pytest.approx(0.5, abs=0.01)
    assert (claude.used, claude.forecast) == (0.25, pytest.approx(0.35, abs=0.001))
    vertex = house.entry("vertex").commitment
    assert vertex is not None
    assert (vertex.state, vertex.used, vertex.nanousd) == (None, None, 1_000_000), "nothing is read yet"
    (sim,) = house.ask(b"simulated=true").entries
    assert sim.commitment is not None
    assert sim.commitment.spent_nanousd == 9


def test_real_and_simulated_entries_are_two_sides(house: House) -> None:
    fill(
        house,
        outcome(1, answered("claude", 5, 10.0), simulated=True),
        outcome(2, answered("claude", 7, 10.0)),
    )
    house.standings.ended("claude#1", SONNET, "ok", started=house.standings.began("claude#1", SONNET))
    claude, sim = house.ask(b"simulated=true").entries
    assert (claude.name, sim.name) == ("claude", "sim"), "a simulated server may stand behind any entry"
    assert claude.models[0].price_nanousd == 5
    assert claude.models[0].now == (), "what is known now is of the side that the entry is on"
    assert claude.commitment is None
    real = house.entry("claude")
    assert real.models[0].price_nanousd == 7
    assert len(real.models[0].now) == 1
    assert "sim" not in [one.name for one in house.ask().entries]


def test_who_may_see_one_of_several_organisations_is_told_nothing(house: House) -> None:
    house.database.write(lambda t: insert_organisation(t, "acme", 1))
    assert house.ask(scope=Scope("acme")).entries
    for scope in (Scope("acme", team="red"), Scope("acme", key="k"), Scope("rival")):
        with pytest.raises(PermissionDenied, match="everybody's requests together"):
            house.ask(scope=scope)
    house.database.write(lambda t: insert_organisation(t, "rival", 1))
    with pytest.raises(PermissionDenied):
        house.ask(scope=Scope("acme"))


def test_figures_of_platforms_are_of_all_purposes_and_whole_hours(house: House) -> None:
    with pytest.raises(RequestError, match="all purposes together; leave it out"):
        house.ask(b"purposes=live")
    with pytest.raises(RequestError, match="by: must be one of"):
        house.ask(b"by=arm")
    found = house.ask(b"window=hour")
    hour_ms = 3_600_000
    assert (
        found.window.from_ms % hour_ms == found.window.to_ms % hour_ms == found.lately_from_ms % hour_ms == 0
    )
    assert found.window.from_ms <= NOW - hour_ms
    assert found.window.to_ms >= NOW


# --- The page, with the real server ---


async def get(s: Site, path: str, headers: bytes = b"") -> tuple[int, str]:
    status, _, body = parsed(await s.raw(head("GET", path, headers)))
    return status, body.decode()


def test_the_page_shows_a_served_request_and_an_open_one_asks_no_more_than_it_must(tmp_path: Path) -> None:
    async def work() -> None:
        terms = 'hardware = "tra<i>nium"\ndata_region = "eu"\n'
        config = f'\n[platforms.sim]\nkind = "simulator"\nlatency_scale = 0.0\n{terms}'
        async with site(tmp_path, config) as s:
            assert (await s.post({**ASK, "model": SONNET}))[0] == 200
            while True:
                status, body = await get(s, "/console/platforms.json")
                assert status == 200, body
                (entry,) = json.loads(body)["platforms"]["entries"]
                if entry["models"] and entry["models"][0]["calls"]["answered"]:
                    break
            assert entry["hardware"] == "tra<i>nium"
            status, page = await get(s, "/console/platforms")
            assert status == 200
            assert "Simulated." in page
            assert "tra&lt;i&gt;nium" in page
            assert "<i>" not in page
            assert f">{SONNET}<" in page
            assert 'aria-current="page">Platforms' in page
            state = page.split('data-state="')[1].partition('"')[0].encode()
            again = b"hx-request: true\r\nx-state: %b\r\n"
            assert (await get(s, "/console/platforms", again % state))[0] == 204
            assert (await get(s, "/console/platforms", again % b"other"))[0] == 200
            status, page = await get(s, "/console/platforms?simulated=false")
            assert status == 200
            assert "No real platform is configured" in page
            assert (await get(s, "/console/platforms?by=arm"))[0] == 400

    run(work)


def test_health_is_read_where_it_is_kept_on_the_event_loop(tmp_path: Path) -> None:
    async def work() -> None:
        two = "".join(
            f'\n[platforms.{name}]\nkind = "simulator"\nlatency_scale = 0.0\n' for name in ("a", "b")
        )
        async with site(tmp_path, two) as s:
            standings = s.application.parts.standings
            for _ in range(6):
                standings.ended("b", SONNET, "failed", started=standings.began("b", SONNET))
            status, body = await get(s, "/console/platforms.json")
            assert status == 200
            entries = {one["name"]: one for one in json.loads(body)["platforms"]["entries"]}
            assert entries["b"]["models"][0]["now"][0]["state"] == "open"
            _, page = await get(s, "/console/platforms")
            assert "kept away from" in page
            assert "calls in a row failed" in page
            text = s.application.metrics.render().decode()
            assert f'trimtab_breakers_open{{account="",model="{SONNET}",platform="b"}} 1.0' in text

    run(work)


FAILING = """version: 1
rules:
  - match: { contains: "" }
    reply: { error: { status: 529, message: "Overloaded, as the script says" } }
"""


def test_a_request_that_failed_over_counts_for_both_and_its_story_says_why(tmp_path: Path) -> None:
    async def work() -> None:
        two = (
            '\n[platforms.first]\nkind = "simulator"\nlatency_scale = 0.0\nscript = "script.yaml"\n'
            '\n[platforms.second]\nkind = "simulator"\nlatency_scale = 0.0\n'
        )
        async with site(tmp_path, two, FAILING) as s:
            status, heads, _ = await s.post({**ASK, "model": SONNET})
            assert (status, heads["x-trimtab-platform"]) == (200, "second")
            while True:
                _, body = await get(s, "/console/platforms.json")
                entries = {one["name"]: one for one in json.loads(body)["platforms"]["entries"]}
                if entries["second"]["models"] and entries["second"]["models"][0]["calls"]["attempts"]:
                    break
            first, second = entries["first"]["models"][0], entries["second"]["models"][0]
            assert (first["calls"]["failed"], first["calls"]["answered"], first["price_nanousd"]) == (
                1,
                0,
                None,
            )
            assert "Overloaded, as the script says" in first["last_error"]["error"]
            assert (second["calls"]["failed"], second["calls"]["answered"]) == (0, 1)
            status, page = await get(s, f"/console/requests/{heads['x-trimtab-request']}")
            assert status == 200
            assert "another platform: attempt 1 failed (529)" in page
            assert "on first, answered on second" in page
            _, found = await get(s, "/console/requests.json?simulated=true&platform=second")
            assert [row["id"] for row in json.loads(found)["found"]["rows"]] == [heads["x-trimtab-request"]]

    run(work)
