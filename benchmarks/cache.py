"""What answers given again cost and save: processor time of a request, in one interleaved run.

    python benchmarks/cache.py [--smoke] [--rounds N]

Four servers behind the fake platform of benchmarks/gateway: two without a cache (how far apart they are is the noise),
one with it that is asked something new each time (each answer is looked for, not found, and kept), and one that is
asked the same over and over. One caller after another: what counts is the server's processor time, and how long an
answer took. Every answer is checked to be what it should be.
"""

import http.client
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "gateway"))

from bodies import long_request, short_request
from building import Unavailable, build
from measuring import cpu_s, wait_for_rest
from rounds import Found, arguments, compared
from targets import Door, Target, Upstream, trimtab
from trimtab.records import Limits

SERVERS = {"off": "off", "off again": "off", "misses": "on", "hits": "on"}
TOLD = {"misses": "miss", "hits": "hit"}
SIZES = {"0.6 KB": short_request(), "53 KB": long_request()}
REST_S = 12.0


class Wrong(Exception):
    """A server did not do what it is here for."""


def asked(door: Door, name: str, request: dict[str, Any], requests: int, seed: int) -> tuple[float, float]:
    """So many requests one after the other; processor microseconds of one, and the median of their times in ms."""
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=30)
    headers = {"content-type": "application/json", "anthropic-version": "2023-06-01", **door.headers}
    took: list[float] = []
    before = wait_for_rest(door.pid, REST_S)
    for number in range(requests):
        new = "" if name == "hits" else f"{seed} {number}"
        body = json.dumps({**request, "metadata": {"about": new}}).encode()
        began = time.perf_counter()
        connection.request("POST", "/v1/messages", body, headers)
        answer = connection.getresponse()
        answer.read()
        took.append(time.perf_counter() - began)
        told = answer.getheader("x-trimtab-cache", "")
        if answer.status != 200 or told.partition(";")[0] != TOLD.get(name, ""):
            raise Wrong(f"{name}: status {answer.status}, x-trimtab-cache {told!r}")
    connection.close()
    used = max(wait_for_rest(door.pid, REST_S), cpu_s(door.pid)) - before
    return used * 1e6 / requests, statistics.median(took) * 1000


def primed(door: Door, request: dict[str, Any]) -> None:
    """Ask until the answer is given again."""
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        try:
            asked(door, "hits", request, 1, 0)
        except Wrong:
            continue
        return
    raise Wrong("an answer was not kept within 30 s")


def measured(rounds: int, requests: int) -> Found:
    """Visit all servers in turn."""
    found: Found = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = Upstream(build(), "plain", folder)
        stack.callback(upstream.close)
        upstream.set(0, 0, 0)
        targets: list[Target] = []
        for name, mode in SERVERS.items():
            place = folder / name.replace(" ", "-")
            place.mkdir()
            more = partial(_caching, mode)
            targets.append(
                trimtab(name, place, {"plain": upstream}, lambda: "", keys=True, limits=Limits(), more=more)
            )
            stack.callback(targets[-1].stop)
        for round_ in range(1, rounds + 1):
            for size, request in SIZES.items():
                for target in targets if round_ % 2 else targets[::-1]:
                    door = target.doors["plain"]
                    if target.name == "hits":
                        primed(door, request)
                    figures = asked(door, target.name, request, requests, round_)
                    found.setdefault((size, target.name), {})[round_] = figures
    return found


def _caching(mode: str, _: Upstream) -> str:
    return f'[cache]\nmode = "{mode}"\nsampled = true\n'


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__)
    try:
        found = measured(given.rounds, 20 if given.smoke else 400)
    except Unavailable as problem:
        print(f"the benchmark of the cache is skipped: {problem}")
        return
    print(
        "processor time of a request (median, its ratio to off in the same round), time of an answer (median)"
    )
    for size in SIZES:
        for line in compared(found, size, SERVERS):
            print(
                f"  {size:<8}{line.server:<12}{line.cpu_us:10.1f} us{line.ratio:8.2f}x{line.answer_ms:10.2f} ms"
            )


if __name__ == "__main__":
    main()
