"""`trimtab migrate` as people and CI use it: the answer first, exit statuses, what is written, and what was recorded."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from kept_content import content, keep
from migration_cases import CASES, entry
from normaliser_drive import SIMULATOR
from recorded_requests import record
from typer.testing import CliRunner

from trimtab.cli.migrate import command
from trimtab.store import Database, StoreSettings, open_database

PAIR = ("claude-opus-4-6", "claude-opus-4-7")
BODY = {"model": PAIR[0], "max_tokens": 20000, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(command, words)


def wrote(name: str, **fields: Any) -> str:
    Path(name).write_text(json.dumps({**BODY, **fields}))
    return name


def test_the_answer_comes_first_and_names_file_and_field() -> None:
    Path("r.jsonl").write_text("\n".join(entry(name, PAIR[0]) for name in CASES))
    done = run(*PAIR, "r.jsonl")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith(
        "claude-opus-4-6 -> claude-opus-4-7: 20 of 31 requests break; mode adapt mends 17"
    )
    assert "at r.jsonl:1#01-thinking-enabled: thinking.type" in done.stdout
    assert "at r.jsonl:4#04-prefill: messages.1" in done.stdout
    assert max(map(len, lines)) <= 130


def test_exit_statuses_tell_ci_what_to_do() -> None:
    plain, hot = wrote("plain.json"), wrote("hot.json", temperature=0.2)
    assert run(*PAIR, plain).exit_code == 1, "tokens change silently"
    assert run(*PAIR, plain, "--allow", "tokens").exit_code == 0
    assert run(*PAIR, plain, "--allow", "silent").exit_code == 0
    assert run(*PAIR, hot, "--allow", "silent").exit_code == 1
    assert run(*PAIR, hot, "--allow", "silent,mended").exit_code == 0
    assert run(*PAIR, hot, "--allow", "silent", "--allow", "sampling-rejected").exit_code == 0
    assert run(*PAIR, plain, "--allow", "tokens=5").exit_code == 1
    assert run(*PAIR, plain, "--allow", "tokens=400").exit_code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((*PAIR,), "name files with requests, or say --recorded"),
        ((*PAIR, "r.json", "--recorded"), "one of the two"),
        ((*PAIR, "absent.json"), "absent.json: cannot be read"),
        ((PAIR[0], "claude-opus-4-77", "r.json"), "did you mean claude-opus-4-7?"),
        ((PAIR[0], PAIR[0], "r.json"), "name two models"),
        ((*PAIR, "r.json", "--allow", "tokenz"), "'tokenz' is no finding"),
        ((*PAIR, "r.json", "--allow", "silent=4"), "only tokens takes a percentage"),
        ((*PAIR, "r.json", "--platform", "moon"), "must be one of anthropic"),
        ((*PAIR, "bad.json"), "bad.json: messages: Field required"),
        ((*PAIR, "--recorded"), "no store here yet"),
    ],
)
def test_what_cannot_be_judged_has_a_status_of_its_own_and_says_why(
    words: tuple[str, ...], says: str
) -> None:
    wrote("r.json")
    Path("bad.json").write_text('{"max_tokens": 3}')
    done = run(*words)
    assert done.exit_code == 2
    assert says in done.stderr


def test_requests_of_other_models_are_left_out_and_counted() -> None:
    wrote("other.json", model="claude-haiku-4-5")
    wrote("tier.json", model="trimtab/default")
    done = run(*PAIR, "other.json", "tier.json", "--json")
    found = json.loads(done.stdout)
    assert found["requests"] == 1
    assert found["notes"] == ["1 requests name another model than claude-opus-4-6 and were left out"]


def test_adapted_requests_are_written_as_the_gateway_would_send_them() -> None:
    Path("r.jsonl").write_text("\n".join(entry(name, PAIR[0]) for name in CASES))
    done = run(*PAIR, "r.jsonl", "--write", "out", "--picture", "p.svg")
    assert "written to out: 31 requests" in done.stdout
    assert Path("p.svg").read_text().startswith("<svg")
    index = json.loads(Path("out/index.json").read_text())
    assert [entry["from"].partition("#")[2] for entry in index] == list(CASES)
    prefilled = next(entry for entry in index if "04-prefill" in entry["from"])
    assert prefilled["adaptations"] == ["messages.2=asks to continue the prefill"]
    sent = Path("out", prefilled["file"]).read_bytes()
    headers = [(name.encode(), value.encode()) for name, value in prefilled["headers"].items()]
    assert SIMULATOR.handle("POST", "/v1/messages", b"", [*headers, (b"x-api-key", b"k")], sent).status == 200
    again = run(*PAIR, "r.jsonl", "--write", "out")
    assert again.exit_code == 2
    assert "holds something already" in again.stderr


def test_json_has_everything_that_the_lines_say() -> None:
    found = json.loads(run(*PAIR, wrote("r.json", temperature=0.2), "--json").stdout)
    assert (found["verdict"], found["breaking"], found["unmended"]) == ("breaks", 1, 0)
    assert found["judged"][0]["adaptations"] == ["temperature removed"]
    assert {"sampling-rejected", "tokens"} <= {one["id"] for one in found["judged"][0]["findings"]}
    assert set(found["reasons"]) == {"sampling-rejected", "tokens"}


# --- What was recorded

NOW_MS = 1_795_000_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def store(
    request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    url = "sqlite:///t.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_store")
    monkeypatch.setenv("STORE_URL", url)
    Path("trimtab.toml").write_text('version = 1\n[store]\nurl = "env:STORE_URL"\n')
    database = open_database(StoreSettings(url=os.environ["STORE_URL"]), clock_ms=lambda: NOW_MS)
    monkeypatch.setattr("trimtab.app.migrating.unix_ms", lambda: NOW_MS)
    yield database
    database.close()


def test_recorded_requests_without_prompts_tell_costs_with_a_wide_interval_and_no_verdict(
    store: Database,
) -> None:
    for place in range(10):
        record(store, f"r{place}", NOW_MS - place * 43_200_000, session=f"s{place % 2}")
    done = run(*PAIR, "--recorded")
    assert done.exit_code == 2, "what breaks is not known"
    assert "no request could be judged, so what breaks is not known" in " ".join(done.stdout.split())
    assert "prompts are not kept here" in " ".join(done.stdout.split())
    assert "a request" in done.stdout
    assert "a month" in done.stdout
    found = json.loads(run(*PAIR, "--recorded", "--json").stdout)
    assert found["cost_usd"]["month_requests"] == pytest.approx(10 / 4.5 * 30.44, abs=1)
    assert found["cost_usd"]["request"]["before_usd"] == pytest.approx((100 * 5 + 900 * 0.5 + 200 * 25) / 1e6)
    ratio = found["input_tokens"]["ratio"]
    assert ratio["high"] - ratio["low"] > 0.4
    assert found["cost_usd"]["cold_conversations"] == 1, "of the last hour"


def test_kept_prompts_are_judged_and_costs_are_those_of_all_requests(store: Database) -> None:
    for place in range(4):
        record(store, f"r{place}", NOW_MS - 3 * 86_400_000 + place)
    body = json.dumps(
        {**BODY, "temperature": 0.2, "output_config": {"task_budget": {"type": "tokens", "total": 50000}}}
    )
    keep(
        store,
        *(content(f"r{place}", NOW_MS, request=body.encode(), request_bytes=len(body)) for place in range(2)),
    )
    done = run(*PAIR, "--recorded")
    assert done.exit_code == 1
    assert "2 of 2 requests break; mode adapt mends all of them" in " ".join(done.stdout.split())
    assert "at r1: temperature" in done.stdout
    assert "task-budget-beta" not in done.stdout, "records do not keep headers"
    assert "2 of 4 requests were kept and are judged" in " ".join(done.stdout.split())


def test_simulated_requests_are_used_only_where_there_is_no_real_one_and_said_to_be(store: Database) -> None:
    record(store, "simulated", NOW_MS - 1000, simulated=1)
    assert run(*PAIR, "--recorded").stdout.startswith("SIMULATED"), "before any figure"
    record(store, "real", NOW_MS - 1000)
    assert "SIMULATED" not in run(*PAIR, "--recorded").stdout


def test_nothing_recorded_of_the_model_is_told(store: Database) -> None:
    done = run("claude-haiku-4-5", PAIR[1], "--recorded", "--days", "3")
    assert done.exit_code == 2
    assert "no answered request of claude-haiku-4-5-20251001 was recorded in the last 3 days" in done.stderr
