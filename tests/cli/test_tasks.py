"""`trimtab tasks` as people use it: what it prints, and what it says of mistakes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trimtab.cli.tasks import command
from trimtab.errors import NotFound, RequestError


def run(*words: str) -> str:
    result = CliRunner().invoke(command, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_task_is_made_shown_extended_and_closed_without_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("trimtab.toml").write_text(
        f'version = 1\n[store]\nurl = "sqlite:///{tmp_path}/t.db"\n'
        "[scenarios]\ntriage = {effort = 'low', phases = {look = 70, say = 30}}\n"
    )
    triage = json.loads(run("create", "9000", "--scenario", "triage", "--json"))
    assert [(phase["name"], phase["budget"]) for phase in triage["phases"]] == [("look", 6300), ("say", 2700)]
    run("cancel", triage["id"])
    made = run("create", "100000", "--usd", "2.5", "--name", "move it", "--tag", "a")
    name = made.split()[0]
    assert f"x-trimtab-task: {name}\n  x-trimtab-phase: analysis" in made
    card = run("show", name)
    assert "0 spent, 0 held, 100,000 left of 100,000" in card
    assert "$0 spent, $0 held, $2.50 left of $2.50" in card
    bars = [line.split()[:2] for line in card.splitlines() if "░" in line]
    assert bars == [
        ["analysis", "░" * 16],
        ["tools", "░" * 32],
        ["verification", "░" * 24],
        ["report", "░" * 8],
    ]
    assert "110,000" in run("extend", name, "--tokens", "10000", "--phase", "final_report")
    other = json.loads(run("create", "9000", "--phase", "a=50%", "--phase", "b=3000", "--json"))
    assert [phase["budget"] for phase in other["phases"]] == [5400, 3600]
    assert run("cancel", other["id"]) == f"{other['id']} is cancelled\n"
    listed = run("list", "--state", "open")
    assert name in listed
    assert other["id"] not in listed
    assert run("close", name) == f"{name} is closed\n"
    told = run("follow", name)  # ends, for the task has
    assert [line.split()[3] for line in told.splitlines()] == ["created"] * 4 + ["extended", "closed"]
    assert json.loads(run("follow", name, "--after", "5", "--json"))["event"] == "closed"
    for words, kind, says in (
        (
            ("show", "task_9"),
            NotFound,
            "there is no task 'task_9'; GET /trimtab/v1/tasks or `trimtab tasks list`",
        ),
        (("create", "9000", "--scenario", "codng"), RequestError, "scenario: 'codng' is no scenario here"),
        (("create", "100", "--phase", "a"), RequestError, "write NAME=40% or NAME=40000"),
        (("create", "1000", "--phase", "a=2000"), RequestError, "above the total of 1,000"),
        (("create", "1000", "--phase", "a=50%", "--strategy", "best"), RequestError, "strategy: 'best'"),
        (("create", "1000", "--key", "nobody", "--phase", "a=5%"), NotFound, "no key 'nobody' is known"),
    ):
        with pytest.raises(kind) as problem:
            run(*words)
        assert says in str(problem.value)
