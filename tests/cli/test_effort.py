"""`trimtab effort` on a store: outcomes come in, tables come out, real and simulated apart."""

import json
import os
import random
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from trimtab.catalogue import Arm
from trimtab.messages import Usage
from trimtab.records import Attempt, Outcome, Plan, new_request_id
from trimtab.store import StoreSettings, open_store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Requests of two arms and a few simulated ones; the first of them each a session of its own."""
    import time

    place = tmp_path_factory.mktemp("effort")
    (place / "trimtab.toml").write_text(f'[store]\nurl = "sqlite:///{place}/t.db"\n')
    now = time.time_ns() // 1_000_000
    store = open_store(StoreSettings(url=f"sqlite:///{place}/t.db"), clock_ms=lambda: now, on_problem=None)
    draw = random.Random(1)
    for n in range(190):
        model = "claude-opus-4-7" if n % 2 else "claude-sonnet-4-6"
        usage = Usage(input_tokens=100, output_tokens=40 + n % 9)
        attempt = Attempt("claude", model, "ok", 200, usage=usage, cost_nanousd=10**6, total_ms=90.0 + n)
        store.put(
            Outcome(
                id=new_request_id(now - 1000 * n, draw.getrandbits),
                at_ms=now - 1000 * n,
                purpose="live",
                surface="messages",
                endpoint="messages",
                requested_model="trimtab/auto",
                session=f"h:session-{n}",  # as the gateway records what was sent in the header
                result="ok",
                status=200,
                stream=False,
                plan=Plan(arm=Arm(model, "high"), platform="claude"),
                attempts=(attempt,),
                cost_nanousd=10**6,
                total_ms=90.0 + n,
                task_class="coding",
                simulated=n >= 160,
            )
        )
    assert store.close(30) == 0
    return place


def trimtab(folder: Path, *words: str, fails: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "trimtab", "effort", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "COLUMNS": "250"},
        timeout=120,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if fails else done.stdout


def test_outcomes_come_in_and_tables_come_out(folder: Path) -> None:
    before = trimtab(folder)
    assert "no data (0 of 20 conversations)" in " ".join(before.split())
    assert "SIMULATED" not in before
    lines = [json.dumps({"session": f"session-{n}", "success": n % 8 > 1}) for n in range(160)]
    (folder / "told.jsonl").write_text("\n".join([*lines, '{"session": "nobody", "success": true}']))
    said = trimtab(folder, "import", "told.jsonl", "--source", "tests")
    assert said == "160 outcomes noted, 160 of them new or changed\n"
    assert "160 outcomes noted, 0 of them" in trimtab(folder, "import", "told.jsonl", "--source", "tests")
    (folder / "none.csv").write_text("task,success\nnobody,1\n")
    assert "none of its outcomes is of a request that is recorded" in trimtab(
        folder, "import", "none.csv", fails=True
    )

    table = json.loads(trimtab(folder, "--json", "--class", "coding"))
    (coding,) = table["classes"]
    assert (table["simulated"], table["requests"], coding["unit"]) == (False, 160, "conversation")
    assert {cell["model"]: cell["success"]["value"] for cell in coding["cells"]} == {
        "claude-opus-4-7": 0.75,
        "claude-sonnet-4-6": 0.75,
    }
    assert {one["verdict"] for one in table["comparisons"]} == {"inconclusive"}
    shown = trimtab(folder, "--draw", "pictures")
    assert "75.0 % (64–83)" in shown
    ElementTree.parse(folder / "pictures" / "effort-coding.svg")

    version = json.loads(trimtab(folder, "build", "--json"))["version"]
    assert version in trimtab(folder, "versions")
    again = json.loads(trimtab(folder, "--version", version, "--json"))
    assert again["classes"] == table["classes"]
    assert "not published here" in trimtab(folder, "--version", "0123456789abcdef", fails=True)


def test_simulated_requests_are_in_no_table_of_real_ones(folder: Path) -> None:
    simulated = json.loads(trimtab(folder, "--simulated", "--json"))
    assert (simulated["simulated"], simulated["requests"]) == (True, 30)
    assert "SIMULATED: no real model answered" in trimtab(folder, "--simulated")
    assert "no data: no class of work" in trimtab(folder, "build", "--since", "1h", "--simulated", fails=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "yesterday"), "--since: 'yesterday': must be as 30d"),
        (("--margin", "0"), "--margin: 0: must be more than 0"),
        (("import", "told.jsonl", "--source", "a b"), "--source: 'a b': must be"),
        (("import", "told.jsonl", "--side", "both"), "--side: 'both': must be real or simulated"),
        (("import", "missing.jsonl"), "missing.jsonl: cannot be read: No such file"),
        (("import", "/dev/zero"), "zero: has more than 256 MiB"),
    ],
)
def test_wrong_words_get_one_line_that_says_what_is_right(
    folder: Path, words: tuple[str, ...], said: str
) -> None:
    (folder / "told.jsonl").touch()
    assert said in trimtab(folder, *words, fails=True)
