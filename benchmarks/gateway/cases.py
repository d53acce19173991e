"""What is asked of every target, and how one visit becomes one figure.

Invariant: a figure stands only for answers that were whole, 200 and, but for targets that re-write answers, byte for
byte the upstream's. A visit with other answers has no figure; one in twenty may be refused, which the table shows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bodies import body, long_request, short_request, whole_request
from measuring import Load, Seen, cpu_s, run_load, wait_for_rest
from targets import Door, Target, Upstream

DELTAS = 40
GAP_US = 5_000
LATENCY_US = 20_000
CONNECTIONS = 32
REST_S = 12.0
"""Longest wait for what a visit left behind, such as records to write."""


@dataclass(frozen=True)
class Case:
    """One way of asking."""

    name: str
    title: str
    figure: str
    """`cpu`: processor microseconds an answer, or a delta of a stream; `latency` and `first_byte`: p50 in ms."""
    kind: str = "plain"
    """Which upstream."""
    size: str = "0.6 KB"
    stream: bool = False
    latency_us: int = 0
    loop: str = "closed"
    amount: float = CONNECTIONS
    seconds: float = 1.5


CASES = (
    Case("short", "0.6 KB", "cpu"),
    Case("long", "53 KB", "cpu", size="53 KB"),
    Case("short-tls", "0.6 KB, TLS upstream", "cpu", kind="tls"),
    Case("long-tls", "53 KB, TLS upstream", "cpu", kind="tls", size="53 KB"),
    Case("streams-8", "a delta, 8 streams", "cpu", stream=True, latency_us=LATENCY_US, amount=8, seconds=2.0),
    Case(
        "streams-100",
        "a delta, 100 streams",
        "cpu",
        stream=True,
        latency_us=LATENCY_US,
        amount=100,
        seconds=2.0,
    ),
    Case(
        "added",
        "p50 at 25 requests/s",
        "latency",
        latency_us=LATENCY_US,
        loop="open",
        amount=25,
        seconds=5.0,
    ),
    Case(
        "added-long",
        "p50 at 25 requests/s, 53 KB",
        "latency",
        size="53 KB",
        latency_us=LATENCY_US,
        loop="open",
        amount=25,
        seconds=4.0,
    ),
    Case(
        "first-byte",
        "first byte p50 at 10 new streams/s",
        "first_byte",
        stream=True,
        latency_us=LATENCY_US,
        loop="open",
        amount=10,
        seconds=5.0,
    ),
)


@dataclass(frozen=True)
class Visit:
    """What one visit came to."""

    case: str
    target: str
    round: int
    figure: float | None
    """Unset: see `fault`."""
    seen: Seen
    fault: str = ""


class Visitor:
    """Asks one target at a time."""

    def __init__(self, load: Path, upstreams: dict[str, Upstream], folder: Path) -> None:
        self._load = load
        self._upstreams = upstreams
        self._folder = folder
        self._bodies = {"0.6 KB": short_request(), "53 KB": long_request()}

    def warm_up(self, target: Target, seconds: float, note: Callable[[str], None]) -> bool:
        """Ask a little in both ways; whether it answers at all."""
        for kind in target.doors:
            for stream in (False, True):
                case = Case("warm-up", "", "", kind=kind, stream=stream, amount=4, seconds=seconds)
                seen = self._visit(target, case, 1)
                if fault := seen.faults(may_differ=not target.exact):
                    note(f"{target.name} ({kind}, {'stream' if stream else 'JSON'}): {fault}")
                if not seen.completed and not stream:
                    return False
                if not seen.completed:
                    target.streams = False
        return True

    def visit(self, target: Target, case: Case, round_: int, seconds: float) -> Visit:
        """One visit; blocks. The load of a case is the same for every target of a round."""
        door = target.doors[case.kind]
        before = cpu_s(door.pid) if door.pid else 0.0
        answered = self._upstreams[case.kind].answered()
        seen = self._visit(target, case, round_, seconds)
        after = wait_for_rest(door.pid, REST_S) if door.pid and case.figure == "cpu" else 0.0
        came = self._upstreams[case.kind].answered() - answered
        fault = seen.faults(may_differ=not target.exact)
        if (
            came < seen.completed
        ):  # it may be more: what another target began and gave up is answered meanwhile
            fault = f"the upstream answered {came} requests and not {seen.completed}"
        if not fault and case.stream and not seen.transit.n:
            fault = "no event of any stream arrived as it was sent"
        figure: float | None = None
        if fault or not seen.completed:
            fault = fault or "no answer in time"
        elif case.figure == "cpu":
            figure = (after - before) * 1e6 / (seen.completed * (DELTAS if case.stream else 1))
        else:
            figure = getattr(seen, case.figure).p50 / 1000
        return Visit(case.name, target.name, round_, figure, seen, fault)

    def _visit(self, target: Target, case: Case, seed: int, seconds: float | None = None) -> Seen:
        upstream = self._upstreams[case.kind]
        upstream.set(case.latency_us, DELTAS, GAP_US)
        door = target.doors[case.kind]
        load = Load(
            self._request(door, case),
            case.stream,
            DELTAS,
            case.loop,
            case.amount,
            case.seconds if seconds is None else seconds,
            seed,
        )
        seen = run_load(self._load, door.port, load)
        target.count(case.kind, seen.completed, DELTAS if case.stream else None, seen.refused)
        return seen

    def _request(self, door: Door, case: Case) -> Path:
        path = self._folder / "request"
        content = body(self._bodies[case.size], stream=case.stream, model=door.model)
        path.write_bytes(whole_request(content, door.port, door.headers))
        return path
