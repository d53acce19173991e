"""`trimtab parity` as an operator runs it: a gateway of its own process, and the simulated faces of the platforms."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from simulate_program import simulating

AWS = 'region = "eu-west-1"\naccess_key_id = "env:THE_ID"\nsecret_access_key = "env:THE_KEY"\n'
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
MODEL = "claude-opus-4-7"
PLATFORMS = f"""
[platforms.claude]
kind = "anthropic"
api_key = "env:THE_KEY"
base_url = "URL"
[platforms.on-aws]
kind = "anthropic_on_aws"
workspace = "wrkspc_1"
base_url = "URL"
{AWS}
[platforms.bedrock]
kind = "bedrock"
base_url = "URL"
{AWS}
[platforms.mantle]
kind = "bedrock"
endpoint = "mantle"
base_url = "URL/anthropic"
{AWS}
[platforms.converse]
kind = "bedrock"
endpoint = "converse"
base_url = "URL"
{AWS}
[platforms.vertex]
kind = "vertex"
project = "my-project"
region = "europe-west1"
access_token = "env:THE_KEY"
base_url = "URL"
[platforms.foundry]
kind = "foundry"
api_key = "env:THE_KEY"
base_url = "URL/anthropic"
[platforms.closed]
kind = "anthropic"
api_key = "env:THE_KEY"
base_url = "http://127.0.0.1:1"
"""


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`trimtab simulate`, which answers as each platform on one port."""
    with simulating(tmp_path_factory.mktemp("simulate"), "--aws-key", f"AKIDEXAMPLE:{SECRET}") as address:
        yield address


@pytest.fixture(scope="module")
def gateway(faces: str, serve: Callable[..., Any]) -> Any:
    return serve(PLATFORMS.replace("URL", faces), THE_ID="AKIDEXAMPLE", THE_KEY=SECRET)


def parity(folder: Path, url: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "trimtab", "parity", *arguments, "--url", url],
        cwd=folder,
        env={**known, "HOME": str(folder), "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def differing(report: dict[str, Any]) -> dict[str, set[str]]:
    """Which facts differ, by case."""
    return {
        one["case"]: {difference["fact"] for difference in one["differences"]}
        for one in report["judged"]
        if one["outcome"] == "different"
    }


REMOVED, REFUSED = {"adaptations"}, {"status"}
NOT_CACHED = {"step 1: adaptations", "step 1: cache", "step 2: adaptations", "step 2: cache"}
CLOUD = {
    "caching.automatic": NOT_CACHED,
    "fields.task-budget": REMOVED,
    "fields.inference-geo": REMOVED,
    "betas.files": REMOVED,
    "pictures.url": REFUSED,
}
"""What Bedrock and Vertex do not take, by catalogue/platforms.yaml, and what becomes of it by docs/normaliser.md."""


@pytest.mark.parametrize(
    ("pair", "expected", "premium", "only_first"),
    [
        (("claude", "on-aws"), {}, 1.0, []),
        (
            ("claude", "bedrock"),
            {**CLOUD, "tools.web-search": REFUSED, "output.schema": REFUSED, "output.schema-stream": REFUSED},
            1.1,
            ["header anthropic-ratelimit-*", "usage.inference_geo"],
        ),
        (("claude", "vertex"), CLOUD, 1.1, ["usage.inference_geo"]),
        (
            ("claude", "foundry"),
            {"fields.task-budget": REMOVED, "fields.inference-geo": REMOVED},
            1.0,
            ["header anthropic-ratelimit-*", "usage.inference_geo"],
        ),
        (("bedrock", "mantle"), {}, 1.0, []),
        (
            ("bedrock", "converse"),
            {
                "tools.none": REFUSED,
                "documents.citations": REFUSED,
                "version.newer": REMOVED,
                "output.schema": REFUSED,
                "output.schema-stream": REFUSED,
            },
            1.0,
            ["usage.output_tokens_details", "usage.service_tier"],
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_platforms_differ_in_what_they_are_known_to_lack_and_in_nothing_else(
    gateway: Any, tmp_path: Path, pair: tuple[str, str], expected: dict[str, set[str]], premium: float, only_first: list[str]
) -> None:  # fmt: skip
    done = parity(tmp_path, gateway.url, *pair, "--model", MODEL, "--json")
    assert done.returncode == (1 if expected else 0), done.stderr
    report = json.loads(done.stdout)
    assert differing(report) == expected
    assert report["everywhere"] == []
    assert report["inconclusive"] == 0
    assert report["simulated"] == list(pair)
    assert (report["only_first"], report["only_second"]) == (only_first, [])
    [cost] = [ratio for ratio in report["ratios"] if ratio["what"] == "cost"]
    assert cost["median"] == pytest.approx(premium)
    assert cost["interval"]["low"] == pytest.approx(premium)
    assert len([one for one in report["judged"] if one["case"].startswith("handover")]) == 4


def test_the_report_fits_80_columns_and_says_that_it_is_simulated(gateway: Any, tmp_path: Path) -> None:
    done = parity(tmp_path, gateway.url, "claude", "bedrock", "--model", MODEL)
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("claude and bedrock: 64 cases, 1 answer on each side; claude-opus-4-7")
    assert lines[1] == "SIMULATED: claude, bedrock (no real model answered)"
    assert "  different         8" in lines
    place = lines.index("  fields.task-budget")
    assert lines[place + 1 : place + 5] == [
        "    adaptations",
        "      claude   none",
        "      bedrock  output_config.task_budget removed,",
        "               anthropic-beta=-task-budgets-2026-03-13",
    ]
    assert any(re.fullmatch(r"    records: claude [0-9a-f]{32}, bedrock", line) for line in lines)


def test_own_cases_and_names_choose_what_is_asked(gateway: Any, tmp_path: Path) -> None:
    body = {"max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}], "inference_geo": "global"}
    mine = {"name": "mine", "steps": [{"request": {"max_tokens": 50, "messages": body["messages"]}}]}
    (tmp_path / "my.jsonl").write_text(f"{json.dumps(body)}\n{json.dumps(mine)}\n")
    pair = ("claude", "vertex", "--model", MODEL, "--json", "--cases", "my.jsonl")
    report = json.loads(parity(tmp_path, gateway.url, *pair).stdout)
    assert differing(report)["line-1"] == {"adaptations"}
    report = json.loads(parity(tmp_path, gateway.url, *pair, "--only", "m*", "--repeat", "2").stdout)
    assert [(one["case"], one["runs"]) for one in report["judged"]] == [("mine", [2, 2])]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("claude", "bedrok"), "bedrok with claude-sonnet-4-6: x-trimtab-platform: 'bedrok' is not a configured platform"),
        (("claude", "mantle", "--model", "claude-sonnet-4-6"), "'claude-sonnet-4-6' is not served by mantle"),
        (("claude", "claude"), "name two different platform entries"),
        (("claude", "vertex", "--only", "no.*"), "--only 'no.*': no case has this name; they begin with text, ends"),
        (("claude", "vertex", "--cases", "none.jsonl"), "none.jsonl"),
        (("claude", "vertex", "--key", "sk-secret"), "--key: a secret is given by reference"),
        (("claude", "vertex", "--key", "env:NO_SUCH"), "NO_SUCH is not set"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_one_line_and_exit_status_2(
    gateway: Any, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = parity(tmp_path, gateway.url, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "sk-secret" not in done.stderr


def test_without_a_gateway_it_says_so(tmp_path: Path) -> None:
    done = parity(tmp_path, "http://127.0.0.1:1", "a", "b", "--model", "m")
    assert done.returncode == 2
    assert "the gateway does not answer: cannot connect to 127.0.0.1:1" in done.stderr
    done = parity(tmp_path, "http://gateway.example", "a", "b")
    assert done.returncode == 2
    assert "--url: must be https" in done.stderr


def test_a_platform_that_is_not_there_is_inconclusive_and_exit_status_2(gateway: Any, tmp_path: Path) -> None:
    done = parity(
        tmp_path, gateway.url, "claude", "closed", "--model", MODEL, "--only", "text.plain", "--json"
    )
    report = json.loads(done.stdout)
    assert (done.returncode, report["inconclusive"]) == (2, 1)
    assert report["judged"][0]["doubts"][0].startswith("closed: 502")


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "parity.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found.group(1)


def without_ids(text: str) -> str:
    return re.sub(r"[0-9a-f]{32}|(?<=parity-)[0-9a-f]{8}", "ID", text)


def test_the_example_of_the_page_works_and_prints_what_the_page_shows(
    faces: str, serve: Callable[..., Any], tmp_path: Path
) -> None:
    config = block("toml").replace("version = 1\n", "").replace("http://127.0.0.1:8788", faces)
    server = serve(config, ANY_KEY="made-up")
    command, _, shown = block("console").partition("\n")
    arguments = shlex.split(command.removeprefix("$ trimtab parity "))
    done = parity(tmp_path, server.url, *arguments)
    assert done.returncode == 1, done.stderr
    assert without_ids(done.stdout) == without_ids(shown)


def test_the_cases_of_the_page_can_be_asked(gateway: Any, tmp_path: Path) -> None:
    (tmp_path / "my.jsonl").write_text(block("json"))
    done = parity(
        tmp_path, gateway.url, "claude", "foundry", "--model", MODEL, "--cases", "my.jsonl", "--json"
    )
    report = json.loads(done.stdout)
    assert [(one["case"], one["outcome"]) for one in report["judged"]] == [
        ("line-1", "same"),
        ("cart", "same"),
    ]
    told = PAGE.partition("## The report for programs")[2].partition("## The cases")[0]
    for names in (report, report["judged"][0], report["ratios"][0]):
        assert all(f"`{name}`" in told for name in names)


def test_a_key_opens_the_gateway_and_bounds_what_is_compared(
    faces: str, serve: Callable[..., Any], tmp_path: Path
) -> None:
    made: dict[str, str] = {}

    def keys(config: Path) -> None:
        for name, options in (("both", ()), ("one", ("--platforms", "claude"))):
            done = subprocess.run(
                [sys.executable, "-m", "trimtab", "keys", "add", name, *options, "--quiet", "--config", str(config)],
                capture_output=True, text=True, cwd=config.parent, check=True, timeout=60,
                env={**os.environ, "THE_ID": "AKIDEXAMPLE", "THE_KEY": SECRET},
            )  # fmt: skip
            made[name] = done.stdout.strip()

    config = "[server]\nrequire_keys = true\n" + PLATFORMS.replace("URL", faces)
    server = serve(config, before=keys, THE_ID="AKIDEXAMPLE", THE_KEY=SECRET)
    pair = ("claude", "foundry", "--model", MODEL, "--only", "text.*")
    assert "no key is shown" in parity(tmp_path, server.url, *pair).stderr
    done = parity(tmp_path, server.url, *pair, "--key", "env:MINE", MINE=made["both"])
    assert done.returncode == 0, done.stderr
    assert "all of it cost $0.0" in done.stdout
    done = parity(tmp_path, server.url, *pair, "--key", "env:MINE", MINE=made["one"])
    assert done.returncode == 2
    assert "'foundry': this key may not use this platform; it may use claude" in done.stderr
