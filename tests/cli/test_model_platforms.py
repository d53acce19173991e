"""`trimtab models --platforms` and doctor's word on tiers: what serves which model, and what it does not take."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trimtab.catalogue import Arm
from trimtab.messages import Usage
from trimtab.records import Attempt, Outcome, Plan, new_request_id
from trimtab.store import StoreSettings, open_store

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
    assert tiers["escalation"]["platforms"] == ["west", "europe", "world"]
    assert "task budgets (output_config.task_budget)" in tiers["escalation"]["not_taken"]


def test_an_entry_of_which_nothing_is_known_says_itself_what_it_refuses(tmp_path: Path) -> None:
    done = trimtab(
        tmp_path, "models", "--platforms", config='version = 1\n[platforms.sim]\nkind = "simulator"\n'
    )
    assert "sim (SIMULATED)" in done.stdout
    assert "says itself what it refuses" in done.stdout


TERMS = """version = 1
[platforms.europe]
kind = "bedrock"
region = "eu-west-1"
api_key = "env:KEY"
hardware = "trainium"
data_region = "eu"
weight = 2
discount_percent = 12.5
online_from = 2099-01-01
commitment = { usd = 10, from = 2020-01-01, until = 2099-12-31 }
[platforms.sim]
kind = "simulator"
"""


def attempt(platform: str, result: str = "ok", status: int = 200, **more: object) -> Attempt:
    return Attempt(platform, "as sent", result, status, **more)  # type: ignore[arg-type]


def filled(folder: Path, simulated: tuple[str, ...] = ("sim",)) -> None:
    """A store in which one entry answered three of four calls."""
    now_ms = time.time_ns() // 1_000_000
    settings = StoreSettings(url=f"sqlite:///{folder}/trimtab.db")
    store = open_store(settings, clock_ms=lambda: now_ms, on_problem=None)
    answer = attempt(
        "europe",
        usage=Usage(input_tokens=5, output_tokens=90),
        cost_nanousd=2_000_000_000,
        first_content_ms=100.0,
        total_ms=1100.0,
    )
    error = "overloaded_error: \x1b[31mred"
    failed = attempt("europe", "error", 529, error=error)
    for n, tries in enumerate(((answer,), (answer,), (failed, answer), (attempt("sim"),))):
        store.put(
            Outcome(
                id=new_request_id(now_ms, random.Random(n).getrandbits),
                at_ms=now_ms,
                purpose="live",
                surface="messages",
                endpoint="messages",
                requested_model="m",
                session="s",
                result="ok",
                status=200,
                stream=True,
                plan=Plan(Arm("claude-sonnet-4-6"), tries[0].platform),
                attempts=tries,
                cost_nanousd=sum(one.cost_nanousd for one in tries),
                simulated=tries[0].platform in simulated,
            )
        )
    assert store.close(10) == 0


def test_what_an_entry_did_is_told_with_what_the_operator_says_of_it(tmp_path: Path) -> None:
    filled(tmp_path)
    done = trimtab(tmp_path, "models", "--platforms", config=TERMS)
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert "declared: hardware trainium, data in eu, online from 2099-01-01, weight 2, 12.5 % off" in lines
    (promise,) = (line for line in lines if line.startswith("commitment:"))
    assert promise.startswith("commitment: $10 from 2020-01-01 to 2099-12-31; $6 spent, ")
    europe, sim = (line.split() for line in lines if line.startswith("claude-sonnet-4-6  ") and "$" in line)
    assert europe == ["claude-sonnet-4-6", "75.0", "%", "75.0", "%", "4", "0", "%", "$2", "90"]
    assert sim[-2:] == ["$0", "–"]
    assert "sim (SIMULATED): simulator" in lines
    assert any(line.endswith("529 overloaded_error: \\x1b[31mred") for line in lines)


def test_what_a_simulated_server_behind_an_entry_did_is_shown_and_said_to_be_simulated(
    tmp_path: Path,
) -> None:
    filled(tmp_path, simulated=("sim", "europe"))
    lines = trimtab(tmp_path, "models", "--platforms", config=TERMS).stdout.splitlines()
    europe = lines[lines.index("europe: Amazon Bedrock (InvokeModel)") :]
    assert "  SIMULATED: no real model answered any of this" in europe
    (row,) = (line for line in europe if line.startswith("  claude-sonnet-4-6  ") and "75.0 %" in line)
    assert row.split()[-2:] == ["$2", "90"]
    (promise,) = (line for line in europe if "commitment:" in line)
    assert "; $0 spent, " in promise, "simulated money keeps no promise"


def test_programs_get_what_each_entry_did(tmp_path: Path) -> None:
    filled(tmp_path)
    told = json.loads(trimtab(tmp_path, "models", "--platforms", "--json", config=TERMS).stdout)
    assert told["figures"]["problem"] is None
    assert told["figures"]["to_ms"] - told["figures"]["from_ms"] >= 7 * 24 * 3_600_000
    europe, sim = told["platforms"]
    (there,) = europe["figures"]["models"]
    assert (there["price_nanousd"], there["tokens_per_s"]) == (2_000_000_000, 90.0)
    assert (there["answered"]["part"], there["answered"]["whole"]) == (3, 4)
    assert there["answered"]["low"] < 0.75 < there["answered"]["high"]
    assert europe["figures"]["commitment"]["spent_nanousd"] == 6_000_000_000
    assert (sim["figures"]["simulated"], sim["figures"]["models"][0]["calls"]["answered"]) == (True, 1)


def test_where_there_is_no_store_none_is_made_and_the_rest_is_shown(tmp_path: Path) -> None:
    done = trimtab(tmp_path, "models", "--platforms", config=TERMS)
    assert done.returncode == 0, done.stderr
    assert "No figures: no store here yet: sqlite:///trimtab.db" in done.stdout
    assert "europe: Amazon Bedrock (InvokeModel)" in done.stdout
    told = json.loads(trimtab(tmp_path, "models", "--platforms", "--json", config=TERMS).stdout)
    assert told["figures"]["problem"].startswith("no store here yet")
    assert told["platforms"][0]["figures"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trimtab.toml"]


@pytest.mark.parametrize("config", [CONFIG, TERMS])
def test_eighty_columns_show_every_id_in_one_piece(tmp_path: Path, config: str) -> None:
    filled(tmp_path)
    done = trimtab(tmp_path, "models", "--platforms", config=config, width="80")
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["europe", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"] in [line[:2] for line in lines] or any(
        "eu.anthropic.claude-sonnet-4-5-20250929-v1:0" in line for line in lines
    )
    assert ["tiers", "escalation"] in lines


def test_doctor_says_who_serves_each_tier_and_what_is_not_taken_there(tmp_path: Path) -> None:
    done = trimtab(tmp_path, "doctor", "--offline")
    assert done.returncode == 0, done.stdout
    assert (
        "tiers: served: default, control by europe or world; escalation, fast by west or europe or world"
        in done.stdout
    )
    assert (
        "note     tiers: escalation (claude-opus-4-7) may go to west, and Amazon Bedrock (Messages endpoint) does not take "
        "task budgets (output_config.task_budget), structured outputs (output_config.format)"
    ) in done.stdout


def test_doctor_finds_a_tier_that_nothing_serves_before_the_first_day_of_its_platform(tmp_path: Path) -> None:
    tier = '[tiers]\nescalation = {arm = "claude-opus-4-7", platforms = ["europe"]}\n'
    done = trimtab(tmp_path, "doctor", "--offline", config=TERMS + tier)
    assert done.returncode == 1
    assert (
        "PROBLEM  tiers: escalation is claude-opus-4-7, which is not served yet: europe from 2099-01-01; permit another"
    ) in done.stdout
    assert "tiers: served: default, control, fast by sim" in done.stdout, "and nothing goes to europe"
    shown = trimtab(tmp_path, "models", "--platforms", config=TERMS + tier).stdout
    assert "Served by no entry now: tiers escalation" in shown


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
