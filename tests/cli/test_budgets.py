"""`trimtab budgets` as people use it: what it prints, what it stores, what it says of mistakes."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from cli_shell import CLAUDE, CliShell
from typer.testing import CliRunner

from trimtab.app import diagnose
from trimtab.catalogue import Arm
from trimtab.cli.budgets import command
from trimtab.cli.keys import command as keys_command
from trimtab.errors import TrimtabError
from trimtab.messages import Usage
from trimtab.records import Attempt, Draw, Outcome, Plan, RequestId, Scope, account_of
from trimtab.store import StoreSettings, open_store


class Shell(CliShell):
    command = command

    def __init__(self) -> None:
        self.configure("")

    def configure(self, budgets: str) -> None:
        Path("trimtab.toml").write_text(f'version = 1\n[store]\nurl = "sqlite:///t.db"\n{CLAUDE}{budgets}')


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")
    shell = Shell()
    shell.run("add", "ci", "--team", "team-a", "--user", "ann", command=keys_command)
    return shell


def test_a_budget_is_set_listed_changed_shown_and_removed_without_any_server(shell: Shell) -> None:
    assert "No budgets, in the configuration or in sqlite:///t.db" in shell.run()
    said = shell.run("set", "team-a", "usd_per_month=500", "tokens_per_day=2_000_000", "--warn", "70")
    assert said == "budget team-a of team team-a: $500 a month, 2,000,000 tokens a day\n"
    said = shell.run("set", "team-a", "usd_per_month=450.5", "tokens_per_day=none", "--soft")
    assert "was $500 a month, 2,000,000 tokens a day; now $450.50 a month, soft" in said
    listed = shell.run()
    assert listed == shell.run("list")
    assert "team team-a of default" in listed
    assert "$450.50 a month, soft" in listed
    (one,) = shell.json()
    assert one == shell.json("show", "team-a")
    assert (one["name"], one["scope"], one["who"], one["organisation"], one["soft"], one["warn_percent"]) == (
        "team-a", "team", "team-a", "default", True, 70,
    )  # fmt: skip
    (line,) = one["lines"]
    assert (line["field"], line["limit"]) == ("usd_per_month", 450_500_000_000)
    assert line["from_ms"] < line["renews_ms"]
    assert line["accounts"][0]["real"] == {
        "spent": 0, "held": 0, "left": 450_500_000_000, "forecast": None,
        "forecast_note": "no data: no use before this day",
    }  # fmt: skip
    assert "warns only" in shell.run("show", "team-a")
    assert "budget team-a is removed" in shell.run("remove", "team-a")
    assert "No budgets" in shell.run()


def test_a_budget_that_holds_what_is_expected_says_by_how_much_it_can_be_passed(shell: Shell) -> None:
    said = shell.run("set", "team-a", "output_tokens_per_minute=100_000", "--reserve", "expected")
    assert said == "budget team-a of team team-a: 100,000 output tokens a minute, holding what is expected\n"
    assert "100,000 output tokens a minute, expected" in shell.run()
    assert "the limit can be passed by what they use beyond that, and by no more" in shell.run(
        "show", "team-a"
    )
    assert shell.json("show", "team-a")["reserve"] == "expected"
    shell.run("set", "some", "--key", "ci", "concurrency=20")
    said = " ".join(shell.run("explain", "ci").split())
    assert "team-a.output_tokens_per_minute: held by what is expected" in said
    assert "It can be passed by what calls in flight use beyond that" in said
    assert "; 20 are in flight at the most; then it refuses" in said
    assert (
        "any other at effort high: 8,000 output tokens, 50 input tokens per 100 bytes (prior, not measured)"
        in said
    )
    assert [one["calls"] for one in shell.json("explain", "ci")["expected"]] == [None] * 5
    shell.run("set", "team-a", "--reserve", "worst")
    assert "expected" not in shell.run("explain", "ci")


def test_a_budget_of_the_file_is_listed_and_the_command_says_where_to_change_it(shell: Shell) -> None:
    shell.configure("[budgets.team-a]\nusd_per_month = 500\n[budgets.ghosts]\nrequests_per_minute = 60\n")
    listed = shell.run()
    assert "$500 a month" in listed
    assert "60 requests a minute" in listed
    assert (
        "budget ghosts: there is no team 'ghosts' yet; teams come with the keys made for them" in shell.told
    )
    for words in (("set", "team-a", "usd_per_month=9"), ("remove", "team-a")):
        assert "is written in trimtab.toml, as [budgets.team-a]; change it there" in shell.refused(*words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("set", "team-a"), "name what to set, as: trimtab budgets set NAME --team TEAM usd_per_month=500"),
        (("set", "team-a", "--soft"), "budget 'team-a': limits nothing; name a limit"),
        (("set", "team-a", "usd_per_month"), "'usd_per_month': must be as usd_per_month=500"),
        (("set", "team-a", "usd_per_mounth=5"), "no budget has such a limit; did you mean 'usd_per_month'?"),
        (("set", "team-a", "usd_per_month=lots"), "usd_per_month: 'lots': must be an amount of US dollars"),
        (("set", "team-a", "usd_per_month=-5"), "usd_per_month: -5: must be an amount of US dollars above 0"),
        (("set", "team-a", "usd_per_month=nan"), "usd_per_month: NaN: must be an amount of US dollars above 0"),
        (("set", "team-a", "tokens_per_day=1.5"), "tokens_per_day: '1.5': must be a whole number"),
        (("set", "team-a", "tokens_per_day=-2"), "tokens_per_day: -2: must be a whole number from 1"),
        (("set", "team-a", "tokens_total=1", "tokens_total=2"), "tokens_total: is there twice"),
        (("set", "x", "--team", "taem-a", "usd_total=5"), "there is no team 'taem-a' yet; did you mean 'team-a'?"),
        (("set", "x", "--team", "a", "--key", "ci", "usd_total=5"), "this has team and key; make two budgets"),
        (("set", "team-a", "usd_total=5", "--warn", "0"), "warn_percent: 0: must be 1 to 100 percent"),
        (("set", "team-a", "usd_total=5", "--webhook", "gopher://x"), "webhook: must be an address such as"),
        (("set", "team-a", "usd_total=5", "--reserve", "most"), "--reserve: 'most': must be worst or expected"),
        (("set", "team-a", "usd_total=5", "--reserve", "expected", "--soft"), "reserve: a soft budget refuses nothing"),
        (("show", "taem-a"), "no budget 'taem-a' is known; `trimtab budgets` shows those there are"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_in_one_line(shell: Shell, words: tuple[str, ...], message: str) -> None:
    assert message in shell.refused(*words)
    assert shell.json() == []


def spend(request: str, *draws: Draw, days_ago: int = 0, **fields: Any) -> None:
    """A record of the key `ci` in the store, as a server writes it."""
    at_ms = time.time_ns() // 1_000_000 - days_ago * 86_400_000
    store = open_store(StoreSettings(url="sqlite:///t.db"), clock_ms=lambda: at_ms, on_problem=None)
    usage = Usage(input_tokens=100, output_tokens=10)
    attempt = Attempt("claude", "m", "ok", 200, usage=usage, cost_nanousd=10**9, cost_source="reported")
    record = Outcome(
        id=RequestId(request), at_ms=at_ms, purpose="live", surface="messages", endpoint="messages",
        requested_model="m", session="s", result="ok", status=200, stream=False, attempts=(attempt,),
        plan=Plan(Arm("claude-sonnet-4-6"), "claude"), cost_nanousd=10**9, organisation="default", team="team-a",
        user="ann", draws=draws, **fields,
    )  # fmt: skip
    store.put(record)
    assert store.close(10) == 0


def test_explain_says_what_a_key_draws_on_which_refuses_first_and_what_a_request_drew(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = json.loads(shell.run("list", "--json", command=keys_command))[0]["id"]
    shell.configure(
        "[budgets.team-a]\nusd_per_month = 500\n[budgets.ann]\nuser = 'ann'\ntokens_total = 400\n"
        "[budgets.each]\nkey = '*'\nusd_per_day = 50\n[budgets.night]\ntag = 'night'\nusd_total = 5\nsoft = true\n"
        "[budgets.blue]\nteam = 'blue'\nusd_total = 1\n"
    )
    assert "None refuses: nothing of any limit is spent yet." in shell.run("explain", "ci")
    now_ms = time.time_ns() // 1_000_000
    month = account_of(Scope("team", "team-a", "default"), "usd", "month", now_ms)
    tokens = account_of(Scope("user", "ann", "default"), "tokens", "total", now_ms)
    request = "01a0c2f0aa0070008000000000000001"
    spend(
        request,
        Draw(month, 3 * 10**9, True),
        Draw(tokens, 110, True),
        Draw("tag=old/usd/total", 5, False),
        Draw(f"key={key}/usd/2026-01-31", 7, True),
        key=key,
    )
    said = shell.json("explain", "ci")
    assert [(one["budget"], one["real"]["spent"], one["real"]["left"]) for one in said["asked"]] == [
        ("team-a.usd_per_month", 3 * 10**9, 497 * 10**9), ("each.usd_per_day", 0, 50 * 10**9),
        ("ann.tokens_total", 110, 290),
    ]  # fmt: skip
    assert said["first"] == "ann.tokens_total"
    assert "night.usd_total" in [
        one["budget"] for one in shell.json("explain", key, "--tags", "night")["asked"]
    ]
    text = shell.run("explain", "ci")
    assert f"key {key} (ci) of default / team-a / ann: a request is counted now on:" in text
    assert "ann.tokens_total would refuse first: of this one the largest part is spent." in text
    of_request = shell.json("explain", request)
    assert (of_request["request"], of_request["status"]) == (request, 200)
    assert [(one["account"], one["amount"], one["hard"], one["budgets"]) for one in of_request["drew"]] == [
        (month, 3 * 10**9, True, ["team-a.usd_per_month"]), (tokens, 110, True, ["ann.tokens_total"]),
        ("tag=old/usd/total", 5, False, []), (f"key={key}/usd/2026-01-31", 7, True, ["each.usd_per_day"]),
    ]  # fmt: skip
    text = " ".join(shell.run("explain", request).split())
    assert f"drew $3 on {month} (hard), counted by team-a.usd_per_month" in text
    assert "drew $0.000000005 on tag=old/usd/total (soft), counted by no budget of today" in text
    monkeypatch.setenv("COLUMNS", "80")
    for asked in ("ci", request):
        assert [line for line in shell.run("explain", asked).splitlines() if len(line) > 80] == []
    assert "neither a key nor a recorded request" in shell.refused("explain", "nobody")


def test_forecast_says_where_budgets_lead_and_no_data_where_there_is_none(shell: Shell) -> None:
    shell.configure("[budgets.team-a]\nusd_total = 500\n[budgets.night]\ntag = 'night'\nusd_per_month = 5\n")
    assert shell.run("forecast").count("no data") == 2
    now_ms = time.time_ns() // 1_000_000
    total = account_of(Scope("team", "team-a", "default"), "usd", "total", now_ms)
    for day in (3, 2, 1):
        spend(f"01a0c2f0aa007000800000000000000{day}", Draw(total, 10**9, False), days_ago=day)
    said = shell.run("forecast", "team-a")
    assert "$3" in said
    assert "$1 a day: reached 20" in said
    assert "by 3 whole days" in said
    (one,) = shell.json("forecast", "team-a")
    made = one["lines"][0]["accounts"][0]["real"]["forecast"]
    assert (made["pace"]["steps"], made["pace"]["mean"], made["pace"]["spread"]) == (3, 10**9, 0)
    days = (made["reached_ms"] - now_ms) / 86_400_000
    assert abs(days - 497) < 0.1


def test_a_store_that_is_not_there_is_not_made_by_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("trimtab.toml").write_text('version = 1\n[store]\nurl = "sqlite:///t.db"\n')
    with pytest.raises(TrimtabError, match=r"t\.db"):
        CliRunner().invoke(command, [], catch_exceptions=False)
    assert not Path("t.db").exists()


def test_the_doctor_says_which_budgets_are_in_force_and_what_is_odd(shell: Shell) -> None:
    shell.configure("[budgets.team-a]\nusd_total = 500\n[budgets.ghosts]\nusd_per_month = 5\n")
    Path("trimtab.toml").write_text(
        Path("trimtab.toml").read_text().replace("env:NOT_SET_IN_THIS_SHELL", "env:PATH")
    )
    found = [(one.level, one.text) for one in diagnose(None, network=False) if one.subject == "budgets"]
    assert found[0] == ("ok", "2 in force")
    assert found[1][0] == "note"
    assert "ghosts: there is no team 'ghosts' yet" in found[1][1]
