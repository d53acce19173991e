"""How quickly Trimtab starts and how much memory it takes: the bars of a first look.

    python benchmarks/startup.py [--smoke]

Each figure is taken on whole processes, with a fresh folder and the embedded defaults:

- `trimtab --help`, wall time, median of the runs (bar: 300 ms);
- `make run` after set-up, from the start of make to the whole first answer of the simulated platform, which itself
  takes part of that time on purpose (bar: 3 s); without make, `trimtab serve` stands in and is called so;
- resident memory of the server process, idle after one answer and 2 s of rest (bar: 80 MiB).
"""

import argparse
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TRIMTAB = [sys.executable, "-m", "trimtab"]
BODY = json.dumps(
    {"model": "trimtab/auto", "max_tokens": 64, "messages": [{"role": "user", "content": "What is 2 + 2?"}]}
)


def help_ms() -> float:
    """Wall time of `trimtab --help`."""
    began = time.perf_counter()
    subprocess.run([*TRIMTAB, "--help"], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def first_answer(port: int, give_up: float) -> None:
    """Ask until somebody answers."""
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("POST", "/v1/messages", BODY, {"anthropic-version": "2023-06-01"})
            answer = connection.getresponse()
            answer.read()
            connection.close()
        except ConnectionRefusedError:
            if time.perf_counter() > give_up:
                raise
            time.sleep(0.01)
            continue
        if answer.status != 200:
            raise RuntimeError(f"the first answer has status {answer.status}")
        return


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [pid, *(below for child in children for below in descendants(int(child)))]


def resident_mib(pid: int) -> float:
    """Resident memory of the largest process below `pid`: the server, whoever started it."""
    sizes = []
    for process in descendants(pid):
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
        sizes.append(int(status.split("VmRSS:")[1].split()[0]) / 1024)
    return max(sizes)


def start(command: list[str], port: int) -> tuple[float, float]:
    """(seconds to the first answer, MiB idle) of one server."""
    environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    began = time.perf_counter()
    server = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**environment, "HOME": tempfile.gettempdir()},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        first_answer(port, began + 60)
        took = time.perf_counter() - began
        time.sleep(2)
        return took, resident_mib(server.pid)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="one run of each")
    runs = 1 if parser.parse_args().smoke else 7
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "trimtab.toml"
        config.write_text(f'version = 1\n[store]\nurl = "sqlite:///{folder}/trimtab.db"\n', encoding="utf-8")
        port = free_port()
        arguments = ["--listen", f"127.0.0.1:{port}", "--config", str(config)]
        command, what = [*TRIMTAB, "serve", *arguments], "trimtab serve"
        if shutil.which("make") and (ROOT / ".venv" / ".runtime").exists():
            command, what = ["make", "run", f"ARGS={' '.join(arguments)}"], "make run"
        helps = [help_ms() for _ in range(runs + 1)][1:]
        starts = [start(command, port) for _ in range(runs)]
    rows = [
        ("trimtab --help, ms", statistics.median(helps), min(helps), max(helps), 300.0),
        (f"{what} to first answer, s", *_spread([took for took, _ in starts]), 3.0),
        ("resident memory idle, MiB", *_spread([size for _, size in starts]), 80.0),
    ]
    print(f"{'':32} {'median':>8} {'min':>8} {'max':>8} {'bar':>8}   ({runs} runs)")
    for name, median, least, most, bar in rows:
        print(
            f"{name:32} {median:8.2f} {least:8.2f} {most:8.2f} {bar:8.0f}   {'met' if median <= bar else 'MISSED'}"
        )


def _spread(values: list[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


if __name__ == "__main__":
    main()
