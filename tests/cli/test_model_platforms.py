"""`trimtab models --platforms` and doctor's word on tiers: what serves which model, and what it does not take."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """version = 1
[platforms.west]
kind = "bedrock"
endpoint = "mantle"
region = "us-west-2"
api_key = "env:KEY"
[platforms.europe]
kind = "bedrock"
region = "eu-west-1"
api_key = "env:KEY"
[platforms.world]
kind = "vertex"
region = "global"
project = "p-1"
access_token = "env:KEY"
"""


def trimtab(
    folder: Path, *arguments: str, config: str = CONFIG, width: str = "200"
) -> subprocess.CompletedProcess[str]:
    (folder / "trimtab.toml").write_text(config)
    return subprocess.run(
        [sys.executable, "-m", "trimtab", *arguments],
        cwd=folder,
        env={
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
            "HOME": str(folder),
            "COLUMNS": width,
            "KEY": "secret-key-of-a-platform",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_each_model_is_shown_under_the_id_of_each_entry(tmp_path: Path) -> None:
    done = trimtab(tmp_path, "models", "--platforms")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.startswith("claude-")}
    assert rows["claude-opus-4-7"][1:] == [
        "escalation",
        "anthropic.claude-opus-4-7",
        "eu.anthropic.claude-opus-4-7",
        "claude-opus-4-7",
    ]
    assert rows["claude-sonnet-4-6"][1:] == ["default", "-", "eu.anthropic.claude-sonnet-4-6", "claude-sonnet-4-6"]  # fmt: skip
    assert "europe: Amazon Bedrock (InvokeModel)" in done.stdout
    assert "does not take cache_control" in done.stdout
    assert "takes images and documents as base64, text, content only" in done.stdout
    assert "secret-key-of-a-platform" not in done.stdout


def test_programs_get_what_each_entry_takes_and_where_each_tier_goes(tmp_path: Path) -> None:
    done = trimtab(tmp_path, "models", "--platforms", "--json")
    told = json.loads(done.stdout)
    west, europe, world = told["platforms"]
    assert [entry["regional"] for entry in (west, europe, world)] == [True, True, False]
    assert "claude-sonnet-4-6" not in west["models"]
    assert europe["models"]["claude-sonnet-4-6"] == "eu.anthropic.claude-sonnet-4-6"
    assert "output_config.task_budget" in europe["takes"]["no_fields"]
    assert europe["takes"]["regional_premium"] == 0.1
    tiers = {tier["tier"]: tier for tier in told["tiers"]}
    assert tiers["default"]["platform"] == "europe"
    assert tiers["escalation"]["platform"] == "west"
    assert "task budgets (output_config.task_budget)" in tiers["escalation"]["not_taken"]


def test_an_entry_of_which_nothing_is_known_says_itself_what_it_refuses(tmp_path: Path) -> None:
    done = trimtab(
        tmp_path, "models", "--platforms", config='version = 1\n[platforms.sim]\nkind = "simulator"\n'
    )
    assert "sim (SIMULATED)" in done.stdout
    assert "says itself what it refuses" in done.stdout


def test_doctor_says_who_serves_each_tier_and_what_is_not_taken_there(tmp_path: Path) -> None:
    done = trimtab(tmp_path, "doctor", "--offline")
    assert done.returncode == 0, done.stdout
    assert "tiers: served: default, control by europe; escalation, fast by west" in done.stdout
    assert (
        "note     tiers: escalation (claude-opus-4-7) goes to west, and Amazon Bedrock (Messages endpoint) does not take "
        "task budgets (output_config.task_budget), structured outputs (output_config.format)"
    ) in done.stdout


def test_doctor_finds_a_tier_that_nothing_serves(tmp_path: Path) -> None:
    done = trimtab(tmp_path, "doctor", "--offline", config=CONFIG[: CONFIG.index("[platforms.europe]")])
    assert done.returncode == 1
    assert (
        "PROBLEM  tiers: default is claude-sonnet-4-6, which no configured platform serves; bind it"
        in done.stdout
    )


@pytest.mark.parametrize("command", [("models", "--platforms"), ("doctor", "--offline")])
def test_an_entry_that_cannot_be_opened_is_named_with_its_setting(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = trimtab(tmp_path, *command, config=CONFIG.replace('region = "eu-west-1"\n', ""))
    assert done.returncode != 0
    assert "platforms.europe.region" in done.stdout + done.stderr
