"""The gateway and its platforms as processes of their own, callers over HTTP, and what the records say afterwards."""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
from known_verifier import installed

from cascade_model.expecting import SCHEMA, is_right, question, routes, script
from cascade_model.judging import Request
from cascade_model.settings import HAIKU, OPUS, SONNET, Schema, Setting
from trimtab.app.expecting import work_out as work_out_usual
from trimtab.app.measuring import work_out as work_out_judged
from trimtab.store import StoreSettings, open_database

THREADS = 8
SEED = 20261122
CONFIG = """version = 1
[store]
url = "sqlite:///{folder}/trimtab.db"

[platforms.sim]
kind = "simulator"
seed = {seed}
script = "{folder}/script.yaml"
latency_scale = 0.0

[platforms.chat]
kind = "openai"
base_url = "{chat}/v1"
models = {{{models}}}

{routes}
"""


class Wrong(Exception):
    """The gateway did not do what it is asked to; what it was."""


@dataclass(frozen=True)
class Asked:
    """One request that was answered."""

    setting: str
    number: int
    right: bool
    request: str
    """Its id."""


@dataclass(frozen=True)
class Told:
    """What the records say of one request."""

    calls: int
    first: str
    """The arm that was called first."""
    nanousd: int
    checks_nanousd: int
    children_nanousd: int
    """Of the records of its checks' calls."""
    reasons: tuple[str, ...]


@contextmanager
def gateway(settings: Sequence[Setting], folder: Path) -> Iterator[int]:
    """A gateway with a route for each setting, on the simulator in process and, for chat, over HTTP; its port. It has
    the store that is in the folder, if there is one."""
    (folder / "script.yaml").write_text(script(tuple(settings)))
    environment = {**os.environ, "ANTHROPIC_API_KEY": "", "PYTHONUNBUFFERED": "1"}
    verifier = folder / "verifier"
    path = [str(verifier if verifier.exists() else installed(verifier)), os.environ.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(part for part in path if part)
    simulate = [
        "simulate",
        "--port",
        "0",
        "--platform",
        "openai",
        "--latency-scale",
        "0",
        "--seed",
        str(SEED),
    ]
    with _process(
        [*simulate, "--script", str(folder / "script.yaml")], environment, folder, "simulate"
    ) as chat:
        config = folder / "trimtab.toml"
        models = ", ".join(f'"{model}" = "{model}"' for model in (HAIKU, SONNET, OPUS))
        config.write_text(
            CONFIG.format(folder=folder, seed=SEED, chat=chat, models=models, routes=routes(tuple(settings)))
        )
        serve = ["serve", "--listen", "127.0.0.1:0", "--config", str(config)]
        with _process(serve, environment, folder, "serve") as address:
            yield int(address.rpartition(":")[2])


@contextmanager
def _process(words: list[str], environment: dict[str, str], folder: Path, name: str) -> Iterator[str]:
    """A command of Trimtab that serves; its address."""
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "trimtab", *words],
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            cwd=folder,
            text=True,
        )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "http://127.0.0.1:" in line:
                yield "http://127.0.0.1:" + line.partition("http://127.0.0.1:")[2].split()[0].rstrip("/,")
                break
        else:
            raise Wrong(
                f"`trimtab {words[0]}` does not serve: {(folder / f'{name}.log').read_text()[-2000:]}"
            )
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def ask(port: int, settings: Sequence[Setting], numbers: range) -> list[Asked]:
    """Put each of these questions to each setting, mixed. Raises `Wrong` for an answer that is none."""
    work = [(setting, number) for setting in settings for number in numbers]
    random.Random(SEED).shuffle(work)
    with ThreadPoolExecutor(THREADS) as pool:
        parts = pool.map(lambda n: list(_some(port, work[n::THREADS])), range(THREADS))
        return [one for part in parts for one in part]


def _some(port: int, work: Sequence[tuple[Setting, int]]) -> Iterator[Asked]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for setting, number in work:
        path, body = _request(setting, number)
        headers = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise Wrong(f"{setting.name} {number}: {response.status} {content[:300]!r}")
        text = _streamed(content) if setting.form.endswith("stream") else _whole(json.loads(content))
        yield Asked(setting.name, number, is_right(setting, text), response.headers["x-trimtab-request"])
    connection.close()


def _request(setting: Setting, number: int) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {
        "model": f"trimtab/{setting.name}",
        "max_tokens": 4_000,
        "messages": [{"role": "user", "content": question(setting, number)}],
    }
    if setting.form.endswith("stream"):
        body["stream"] = True
    if setting.form.startswith("chat"):
        return "/v1/chat/completions", body
    if isinstance(setting.check, Schema):
        body["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
    return "/v1/messages", body


def _whole(answer: dict[str, Any]) -> str:
    if "choices" in answer:
        return answer["choices"][0]["message"]["content"] or ""
    return "".join(block["text"] for block in answer["content"] if block["type"] == "text")


def _streamed(content: bytes) -> str:
    """The text of a stream. Raises `Wrong` where it is not one whole answer."""
    text, begun, ended = "", 0, 0
    for line in content.decode().splitlines():
        if not line.startswith("data: "):
            continue
        if line == "data: [DONE]":
            ended += 1
            continue
        event = json.loads(line.removeprefix("data: "))
        if "choices" in event:
            for choice in event["choices"]:
                begun += "role" in choice["delta"]
                text += choice["delta"].get("content") or ""
        else:
            begun += event["type"] == "message_start"
            ended += event["type"] == "message_stop"
            delta = event.get("delta", {})
            text += delta["text"] if delta.get("type") == "text_delta" else ""
    if (begun, ended) != (1, 1):
        raise Wrong(f"a stream begins {begun} times and ends {ended} times: {content[:600]!r}")
    return text


def told(folder: Path) -> dict[str, Told]:
    """What the store says of each request, once the gateway has ended."""
    store = apsw.Connection(str(folder / "trimtab.db"))
    children: dict[str, int] = {}
    found: dict[str, Told] = {}
    for parent, cost in store.execute(
        "SELECT parent, sum(cost_nanousd) FROM requests WHERE parent IS NOT NULL GROUP BY parent"
    ):
        children[str(parent)] = int(cost)
    for request, detail in store.execute("SELECT id, detail FROM requests WHERE parent IS NULL"):
        record = json.loads(str(detail))
        attempts, plan = record.get("attempts", []), record.get("plan") or {}
        first = attempts[0].get("arm") or plan.get("arm") or {} if attempts else {}
        found[str(request)] = Told(
            calls=len({one.get("step", 0) for one in attempts}),
            first=first.get("model", "") + (f"@{first['effort']}" if first.get("effort") else ""),
            nanousd=record.get("cost_nanousd", 0),
            checks_nanousd=record.get("checks_nanousd", 0),
            children_nanousd=children.get(str(request), 0),
            reasons=tuple(plan.get("reasons", ())),
        )
    return found


def joined(asked: Sequence[Asked], records: dict[str, Told]) -> dict[str, list[tuple[Request, Told]]]:
    """By setting what came of its requests. Raises `Wrong` where books do not agree."""
    found: dict[str, list[tuple[Request, Told]]] = {}
    for one in asked:
        record = records.get(one.request)
        if record is None:
            raise Wrong(f"{one.setting} {one.number}: request {one.request} has no record")
        if record.checks_nanousd != record.children_nanousd:
            raise Wrong(
                f"{one.setting} {one.number}: its record says {record.checks_nanousd} nano-dollars of checks, the "
                f"records of their calls {record.children_nanousd}"
            )
        request = Request(one.right, record.calls, record.nanousd + record.checks_nanousd)
        found.setdefault(one.setting, []).append((request, record))
    return found


def work_out_figures(folder: Path) -> None:
    """What a gateway does every few minutes, while none runs: how often answers failed, and what calls came to."""
    store = StoreSettings(url=f"sqlite:///{folder}/trimtab.db")
    database = open_database(store, clock_ms=lambda: time.time_ns() // 1_000_000)
    try:
        work_out_judged(database)
        work_out_usual(database)
    finally:
        database.close()
