"""From tasks over HTTP to a changed configuration: calls through phases, told outcomes, advice, patch, the next task."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONFIG = """
[platforms.simulator]
kind = "simulator"
latency_scale = 0.0
[scenarios]
# as we found it
coding = "high"   # since 2026-09
"""
TOTAL = 10_000
NEEDS = {"initial_analysis": 0.05, "tools": 0.5, "verification": 0.05, "report": 0.03}
"""Of the total; tools have 40 % by default."""

TASKS, FAILED, TOLD = 45, 5, 30
RELOADED_S = 30.0


class Client:
    """One connection to a server."""

    def __init__(self, port: int) -> None:
        self._line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def post(self, path: str, body: Any, **headers: str) -> tuple[str, Any]:
        """The request's id, and the answer, which must be a good one."""
        given = {"content-type": "application/json", "anthropic-version": "2023-06-01", **headers}
        self._line.request("POST", path, json.dumps(body), given)
        answer = self._line.getresponse()
        content = json.loads(answer.read())
        assert answer.status < 300, content
        return answer.headers.get("x-trimtab-request", ""), content

    def close(self) -> None:
        self._line.close()

    def task(self, number: int) -> str:
        """Work through the phases of a task of the class, and close it; its last request."""
        _, made = self.post("/trimtab/v1/tasks", {"total": TOTAL, "scenario": "coding"})
        last = ""
        for phase, share in NEEDS.items():
            # Words are some tokens each; tasks differ by up to a tenth.
            words = round(share * TOTAL * (0.9 + 0.1 * (number % 10) / 10) / 1.4)
            text = f"{number} {phase}: " + "build the next part " * (words // 4)
            body = {
                "model": "claude-opus-4-7",
                "max_tokens": 16,
                "messages": [{"role": "user", "content": text}],
            }
            headers = {"x-trimtab-task": made["id"], "x-trimtab-phase": phase}
            last, _ = self.post("/v1/messages", body, **headers)
        self.post(f"/trimtab/v1/tasks/{made['id']}/close", {})
        return last


def trimtab(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "trimtab", *words, "--config", "trimtab.toml"],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_tasks_needed_and_how_they_ended_becomes_a_patch_that_the_next_task_is_made_by(
    serve: Callable[..., Any],
) -> None:
    server = serve(CONFIG)
    with contextlib.closing(Client(server.port)) as client:
        work(server, client)


def work(server: Any, client: Client) -> None:
    ended = [client.task(number) for number in range(TASKS)]
    record = server.record(ended[-1])
    assert (record["task_class"], record["phase"]) == ("coding", "report")
    assert record["plan"]["arm"]["effort"] == "high", "the scenario's"

    said = trimtab(server.folder, "budgets", "advise", "--simulated")
    assert f"tasks that were told of: 0 of {TASKS}; success no data (0 told, 20 are needed)" in said

    for number, name in enumerate(ended[:TOLD]):
        client.post(
            "/trimtab/v1/feedback",
            {"request": name, "covers": "task", "success": number >= FAILED, "source": "tests"},
        )
    said = trimtab(server.folder, "budgets", "advise", "--simulated", "--diff", "phases.diff")
    assert "coding: change the shares" in said
    rate = re.search(rf"told of: {TOLD} of {TASKS}; success 83.3 % \(([0-9]+)–([0-9]+)\)", said)
    assert rate is not None, said
    assert 60 < int(rate[1]) < 83 < int(rate[2]) < 97
    assert f"without the {FAILED} tasks that failed" in said

    old = server.config.read_text()
    patched = subprocess.run(
        ["patch", "-p0", "-i", "phases.diff"], cwd=server.folder, capture_output=True, text=True, check=False
    )
    assert patched.returncode == 0, patched.stdout
    changed = [line for line in server.config.read_text().splitlines() if line not in old.splitlines()]
    assert len(changed) == 1, changed
    assert changed[0].endswith("}   # since 2026-09")
    rows = {
        row["scenario"]: row for row in json.loads(trimtab(server.folder, "models", "--scenarios", "--json"))
    }
    phases = rows["coding"]["phases"]
    assert (rows["coding"]["effort"], list(phases), sum(phases.values())) == (
        "high",
        ["analysis", "tools", "verification", "report"],
        100,
    )
    assert phases["tools"] > 60

    server.process.send_signal(signal.SIGHUP)
    give_up = time.monotonic() + RELOADED_S
    while True:
        _, made = client.post("/trimtab/v1/tasks", {"total": 100_000, "scenario": "coding"})
        if (shares := {phase["name"]: phase["budget"] // 1000 for phase in made["phases"]}) == phases:
            break
        assert time.monotonic() < give_up, shares
        time.sleep(0.1)
    again = trimtab(server.folder, "budgets", "advise", "--simulated")
    assert "coding: keep" in again
    assert "Nothing to change in the configuration." in again
