"""`trimtab route`: what a request would get, without one being made; and what doctor says of efforts and routes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trimtab.app.check import diagnose
from trimtab.cli.models import command as models
from trimtab.cli.route import command
from trimtab.errors import NotFound, RequestError

CONFIG = """
[platforms.sim]
kind = "simulator"
[tiers]
escalation = "claude-opus-4-6@xhigh"
fast = "claude-haiku-4-5@low"
[scenarios.review]
effort = "medium"
note = "our reviews"
phases = {look = 70, say = 29.5}
[routes.reviews]
match = {teams = ["red"], tags = ["review"]}
model = "claude-opus-4-7"
scenario = "review"
thinking = "summarized"
[routes.interns]
match = {keys = ["k1"]}
most_effort = "low"
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "trimtab.toml"
    file.write_text(CONFIG)
    return str(file)


def told(config: str, *arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(command, [*arguments, "--config", config, "--json"], catch_exceptions=False)
    found: dict[str, object] = json.loads(result.output)
    return found


def test_it_says_route_model_effort_and_why(config: str) -> None:
    found = told(config, "trimtab/auto", "--team", "red", "--tag", "review")
    assert (found["route"], found["arm"], found["scenario"]) == (
        "reviews",
        "claude-opus-4-7@medium+adaptive",
        "review",
    )
    assert found["reasons"] == [
        "route reviews serves this request by claude-opus-4-7",
        "effort medium from scenario review of route reviews",
        "adaptive thinking from route reviews",
    ]
    capped = told(config, "claude-opus-4-7", "--key", "k1", "--body-effort", "max")
    assert (capped["route"], capped["arm"]) == ("interns", "claude-opus-4-7@low")
    words = told(config, "trimtab/fast", "--scenario", "research")
    assert (words["effort"], words["effort_in_words"], words["platforms"]) == ("max", True, ["sim"])
    shown = CliRunner().invoke(command, ["trimtab/fast", "--config", config], catch_exceptions=False).output
    assert "said in words" in shown
    assert "the request names tier fast" in shown


def test_what_would_be_refused_is_refused(config: str) -> None:
    for arguments, error in (
        (["claude-sonet-4-6"], NotFound),
        (["trimtab/auto", "--effort", "huge"], RequestError),
        (["trimtab/auto", "--scenario", "codng"], RequestError),
    ):
        with pytest.raises(error):
            CliRunner().invoke(command, [*arguments, "--config", config], catch_exceptions=False)


def test_scenarios_are_listed_with_the_operators_own(config: str) -> None:
    output = (
        CliRunner()
        .invoke(models, ["--scenarios", "--json", "--config", config], catch_exceptions=False)
        .output
    )
    rows = {row["scenario"]: row for row in json.loads(output)}
    assert list(rows) == ["quick", "general", "coding", "agent", "research", "review"]
    assert rows["review"] == {
        "scenario": "review",
        "effort": "medium",
        "thinking": "as_sent",
        "phases": {"look": 70, "say": 29.5},
        "note": "our reviews",
    }
    assert rows["quick"]["phases"] is None
    shown = CliRunner().invoke(models, ["--scenarios", "--config", config], catch_exceptions=False).output
    lines = {line.split()[0]: line for line in shown.splitlines() if line}
    assert "look 70, say 29.5" in lines["review"]
    assert "as usual" in lines["quick"]


def test_doctor_says_which_efforts_become_others(config: str) -> None:
    said = {
        (one.level, one.text)
        for one in diagnose(Path(config), network=False)
        if one.subject in ("effort", "routes")
    }
    assert said == {
        ("note", "tier escalation is claude-opus-4-6@xhigh: claude-opus-4-6 has no xhigh, so its requests get high; see docs/effort.md"),
        ("note", "tier fast is claude-haiku-4-5@low: claude-haiku-4-5-20251001 has no effort levels, so it is said in words; see docs/effort.md"),
        ("ok", "reviews, interns"),
    }  # fmt: skip


def test_it_says_where_a_request_begins_on_its_ladder_and_what_that_is_expected_to_cost(
    tmp_path: Path,
) -> None:
    file = tmp_path / "trimtab.toml"
    file.write_text(
        CONFIG
        + """
[routes.auto]
ladder = ["claude-sonnet-4-6@medium", "claude-sonnet-4-6@high", "claude-opus-4-7@high"]
verify = ["json"]
mode = "cost"
[routes.record]
ladder = ["claude-sonnet-4-6@medium"]
verify = ["json"]
verify_when = "after"
"""
    )
    found = told(str(file), "trimtab/auto")
    assert (found["arm"], found["verify"], found["mode"]) == ("claude-sonnet-4-6@medium", ["json"], "cost")
    assert found["may_call"] == found["ladder"]
    assert isinstance(found["expected_nanousd"], int)
    assert found["reasons"][-1].startswith("cascade from claude-sonnet-4-6@medium")  # type: ignore[index]
    images = told(str(file), "trimtab/auto", "--images", "2")
    assert (images["arm"], images["may_call"]) == ("claude-opus-4-7@high", ["claude-opus-4-7@high"])
    assert told(str(file), "trimtab/auto", "--effort", "low")["may_call"] == [
        "claude-sonnet-4-6@medium",
        "claude-opus-4-7@high",
    ]
    for_people = CliRunner().invoke(command, ["trimtab/auto", "--config", str(file)], catch_exceptions=False)
    assert "may call" in for_people.output
    record = CliRunner().invoke(command, ["trimtab/record", "--config", str(file)], catch_exceptions=False)
    assert "json; after it went out" in record.output
    assert told(str(file), "trimtab/default")["ladder"] is None
