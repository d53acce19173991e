"""From requests to the frontier, all the way: SIMULATED, no real model answers any of this.

    python benchmarks/effort_frontier.py [--smoke] [--folder FOLDER] [--out docs/images]

A real `trimtab serve` on the simulator; two kinds of work (scenarios `quick` and `coding`: arithmetic of other
difficulty), each asked of two models at every effort that they have, each question once of each. Every answer is
checked here and told to `/trimtab/v1/feedback`. Then `trimtab effort` prints the tables, draws the frontier of each
class (`--out` keeps the pictures), publishes them as an artefact, and `trimtab effort advise` says what follows. What
the simulator is made of is known (`behaviour.yaml`), so the program also checks that the true rate of success lies
within the interval of at least 85 % of the cells.
"""

import argparse
import http.client
import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

MODELS = {
    "claude-sonnet-4-6": ("low", "medium", "high", "max"),
    "claude-opus-4-7": ("low", "medium", "high", "xhigh", "max"),
}
SKILL = {"claude-sonnet-4-6": 4.0, "claude-opus-4-7": 5.8}
EFFORT = {"low": -1.0, "medium": -0.4, "high": 0.0, "xhigh": 0.5, "max": 0.8}
THINKING = 0.5
"""As in `trimtab/providers/simulator/behaviour.yaml`."""

CLASSES = {"quick": (1, 2, 3), "coding": (3, 4, 5)}
"""Digits of the second factor of the products that are asked for, the first has two; each pair of digits is half a
logit of difficulty, so one digit more is one logit."""

CONFIG = """version = 1
[store]
url = "sqlite:///{folder}/trimtab.db"
[platforms.sim]
kind = "simulator"
latency_scale = 0.01

[scenarios]
quick = "high"    # what this demonstration asks about
coding = "max"
"""
THREADS = 8


def main() -> int:
    """Ask, tell, show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="30 questions instead of 399; nothing is judged")
    parser.add_argument("--folder", type=Path, help="keep everything there")
    parser.add_argument("--out", type=Path, help="write the pictures there")
    given = parser.parse_args()
    questions = 30 if given.smoke else 399
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "trimtab.toml"
        config.write_text(CONFIG.format(folder=folder.absolute()))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = serve(config, port, folder)
        try:
            asked = ask_everything(port, questions)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
        print(f"{asked} requests answered, checked and told of")
        common = ["--config", str(config)]
        drawn = given.out or folder / "pictures"
        print(trimtab("effort", "--simulated", "--draw", str(drawn), *common))
        print(trimtab("effort", "build", "--simulated", *common))
        print(trimtab("effort", "advise", "--simulated", *common))
        table = json.loads(trimtab("effort", "--simulated", "--json", *common))
    return judged(table, given.smoke)


def serve(config: Path, port: int, folder: Path) -> "subprocess.Popen[bytes]":
    """A server that answers."""
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "trimtab",
                "serve",
                "--listen",
                f"127.0.0.1:{port}",
                "--config",
                str(config),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, "ANTHROPIC_API_KEY": ""},
        )
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return server
        except OSError:
            time.sleep(0.05)
    server.kill()
    raise RuntimeError(f"the server does not answer; see {folder / 'server.log'}")


def ask_everything(port: int, questions: int) -> int:
    """Ask every arm of every class every question of it; how many requests that were."""
    draw = random.Random(1)
    work = []
    for task_class, digits in CLASSES.items():
        for n in range(questions):
            size = digits[n % len(digits)]
            first, second = draw.randint(10, 99), draw.randint(10 ** (size - 1), 10**size - 1)
            for model, efforts in MODELS.items():
                work += [(task_class, model, effort, first, second) for effort in efforts]
    draw.shuffle(work)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda part: ask_some(port, part), [work[n::THREADS] for n in range(THREADS)]))
    return len(work)


def ask_some(port: int, work: list[tuple[str, str, str, int, int]]) -> None:
    """One client."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for task_class, model, effort, first, second in work:
        body = {
            "model": model,
            "max_tokens": 8000,
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": effort},
            "messages": [
                {"role": "user", "content": f"What is {first} * {second}? Only the number."},
            ],
        }
        headers = {
            "x-trimtab-scenario": task_class,
            "x-trimtab-session": f"{task_class}-{model}-{effort}-{first}-{second}",
        }
        answer, request = send(connection, "/v1/messages", body, headers)
        text = "".join(block["text"] for block in answer["content"] if block["type"] == "text")
        right = text.strip().replace(",", "").rstrip(".") == str(first * second)
        send(
            connection,
            "/trimtab/v1/feedback",
            {"request": request, "success": right, "source": "checker"},
            {},
        )
    connection.close()


def send(
    connection: http.client.HTTPConnection, path: str, body: dict[str, Any], headers: dict[str, str]
) -> tuple[Any, str]:
    """An answer and the id of its request."""
    connection.request(
        "POST",
        path,
        json.dumps(body),
        {"content-type": "application/json", "anthropic-version": "2023-06-01", **headers},
    )
    response = connection.getresponse()
    content = response.read()
    if response.status != 200:
        raise RuntimeError(f"{path}: {response.status} {content[:300]!r}")
    return json.loads(content), response.headers.get("x-trimtab-request", "")


def trimtab(*words: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "trimtab", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "190"},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"trimtab {' '.join(words)}: {done.stderr}")
    return done.stdout


def judged(table: dict[str, Any], smoke: bool) -> int:
    """Whether the intervals hold what the simulator is made of."""
    held, cells = 0, 0
    for one in table["classes"]:
        for cell in one["cells"]:
            skill = SKILL[cell["model"]] + EFFORT[cell["effort"]] + THINKING
            levels = CLASSES[one["task_class"]]
            truth = sum(1 / (1 + math.exp(level - skill)) for level in levels) / len(levels)
            found = cell["success"]
            if found is None:
                print(f"{cell['model']}@{cell['effort']}: no data")
                continue
            cells += 1
            inside = found["low"] <= truth <= found["high"]
            held += inside
            if not inside:
                print(
                    f"{one['task_class']} {cell['model']}@{cell['effort']}: made {truth:.3f}, found {found}"
                )
    print(f"SIMULATED: the true rate lies within the interval of {held} of {cells} cells")
    return 0 if smoke or held >= 0.85 * cells > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
