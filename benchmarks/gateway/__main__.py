"""Trimtab beside nginx, LiteLLM and Portkey: processor time, latency and memory, in one interleaved run.

    python benchmarks/gateway [--smoke] [--targets nginx,trimtab,...] [--cases short,...] [--rounds N] [--json FILE]
                              [--chart FILE] [--against REVISION]

Every target is one process (nginx: one worker) pinned to the first core; the fake platform and the load generator
(C, in this folder, compiled on first use) have the second. Targets are visited in turn, the order turned round from
one round to the next, and what is compared was measured in the same round. Every byte of every answer is checked, and
in the end what Trimtab recorded and charged is compared with what was sent. `--against` adds an earlier version of it
(`trimtab-before`); the target `trimtab-three` has three platform entries to choose from. See docs/benchmarks.md.
"""

import argparse
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from building import Programs, Unavailable, build
from cases import CASES, Case, Visitor
from chart import Panel, draw
from measuring import on_core, pss_mib
from report import Results, judged, table
from rivals import litellm, portkey
from targets import Target, Upstream, at_revision, budgeted, direct, nginx, one_budget, trimtab, two_more
from trimtab.records import Limits

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

# The tests' server, from beside this folder.
from postgres_server import PostgresServer, available  # noqa: E402

DEFAULT = ("direct", "nginx", "trimtab", "trimtab-open", "litellm", "portkey")
BEFORE = "trimtab-before"
FREE = "trimtab-free"
"""A key without a limit: beside it, limits and budgets show what they cost."""
MORE = ("trimtab-postgres", "trimtab-three", FREE, "trimtab-budget", "trimtab-budgets", BEFORE)
SMOKE = ("direct", "nginx", "trimtab")
SMOKE_CASES = ("short", "streams-8")
ROUNDS = 3
WARM_UP_S = 0.5
SMOKE_PART = 0.3
"""Of the time of a visit."""


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    names: Sequence[str]
    cases: list[Case]
    rounds: int
    smoke: bool
    json: Path | None
    chart: Path | None
    against: str


def note(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def make(name: str, folder: Path, upstreams: dict[str, Upstream], stack: ExitStack, against: str) -> Target:
    """Start one target. Raises `Unavailable`."""
    if name == "direct":
        return direct(upstreams)
    if name == "nginx":
        return nginx(folder, upstreams)
    if name in ("trimtab", "trimtab-open"):
        return trimtab(name, folder, upstreams, lambda: "", keys=name == "trimtab")
    if name == "trimtab-three":
        return trimtab(name, folder, upstreams, lambda: "", keys=True, more=two_more)
    if name == FREE:
        return trimtab(name, folder, upstreams, lambda: "", keys=True, limits=Limits())
    if name == "trimtab-budget":
        return trimtab(name, folder, upstreams, lambda: "", keys=True, limits=Limits(), more=one_budget)
    if name == "trimtab-budgets":
        return trimtab(name, folder, upstreams, lambda: "", keys=True, more=budgeted)
    if name == BEFORE:
        source = stack.enter_context(at_revision(against, ROOT, folder))
        return trimtab(name, folder, upstreams, lambda: "", keys=True, source=source)
    if name == "litellm":
        return litellm(folder, upstreams)
    if name == "portkey":
        return portkey(folder, upstreams)
    if name == "trimtab-postgres":
        if not available():
            raise Unavailable("PostgreSQL is not installed here")
        with on_core(1):
            server = PostgresServer(durable=True)
        stack.callback(server.remove)
        return trimtab(name, folder, upstreams, server.new_database, keys=True)
    raise Unavailable("there is no such target")


def measure(
    targets: list[Target], cases: list[Case], rounds: int, visitor: Visitor, shorter: float
) -> Results:
    """Visit everything in turn."""
    results = Results()
    for round_ in range(1, rounds + 1):
        order = targets if round_ % 2 else targets[::-1]
        for case in cases:
            for target in order:
                if case.kind not in target.doors or (case.stream and not target.streams):
                    continue
                if target.name == "direct" and case.figure == "cpu":
                    continue
                visit = visitor.visit(target, case, round_, case.seconds * shorter)
                results.visits.append(visit)
                if visit.fault:
                    note(f"{case.name}, {target.name}: {visit.fault}")
        note(f"round {round_} of {rounds} is done")
    return results


def ended(target: Target) -> list[str]:
    """End a target, once; what is wrong with what it left behind."""
    stop, target.stop = target.stop, list
    return stop()


def started(
    given: Options, folder: Path, upstreams: dict[str, Upstream], visitor: Visitor, stack: ExitStack
) -> list[Target]:
    """Start the targets; those that cannot be had are left out with one line."""
    found = []
    for name in given.names:
        place = folder / name
        place.mkdir()
        try:
            target = make(name, place, upstreams, stack, given.against)
            stack.callback(ended, target)
            if not visitor.warm_up(target, WARM_UP_S, note):
                raise Unavailable("it does not answer as it should")
        except Unavailable as problem:
            if name.startswith("trimtab") and name not in MORE:
                sys.exit(f"{name}: {problem}")
            print(f"{name} is left out: {problem}", flush=True)
            continue
        found.append(target)
        note(f"{name} answers")
    return found


def run(programs: Programs, given: Options, folder: Path, stack: ExitStack) -> list[str]:
    """Everything; what was wrong."""
    kinds = sorted({"plain", *(case.kind for case in given.cases)})
    if "tls" in kinds and not programs.has_tls:
        print("cases with TLS are left out: OpenSSL's headers are missing (Debian package: libssl-dev)")
        kinds.remove("tls")
    upstreams = {kind: Upstream(programs, kind, folder) for kind in kinds}
    for upstream in upstreams.values():
        stack.callback(upstream.close)
    visitor = Visitor(programs.load, upstreams, folder)
    targets = started(given, folder, upstreams, visitor, stack)
    memory = {t.name: [pss_mib(t.doors["plain"].pid)] for t in targets if t.doors["plain"].pid}
    results = measure(targets, given.cases, given.rounds, visitor, SMOKE_PART if given.smoke else 1)
    for target in targets:
        if target.name in memory:
            memory[target.name].append(pss_mib(target.doors["plain"].pid))
    failures = [problem for target in targets for problem in ended(target)]
    for case in given.cases:
        print("\n" + table(results, case, [target.name for target in targets]))
    print(f"\n{'memory (PSS, MiB)':<44}{'at first':>10}{'in the end':>10}")
    for name, (idle, loaded) in memory.items():
        print(f"  {name:<42}{idle:10.0f}{loaded:10.0f}")
    print()
    for visit in results.visits:
        ours = visit.target in ("nginx", "direct") or visit.target.startswith("trimtab")
        # A short visit on a busy machine may have many refusals; bytes that differ are wrong on any machine.
        if visit.fault and ours and (not given.smoke or visit.seen.different or visit.seen.broken):
            failures.append(f"{visit.target}, {visit.case}, round {visit.round}: {visit.fault}")
    for words, value, met in judged(results, given.cases):
        verdict = "not judged" if given.smoke else "met" if met else "NOT MET"
        print(f"  {words:<60}{value:8.2f}  {verdict}")
        if not met and not given.smoke:
            failures.append(f"not met: {words}: {value:.2f}")
    for failure in failures:
        print(f"  wrong: {failure}")
    if given.chart:
        given.chart.write_text(
            draw(
                "Processor time for a request or a streamed delta, medians, logarithmic",
                "µs",
                panels(results, given.cases, targets),
            )
        )
    if given.json:
        found = {"visits": results.visits, "memory_mib": memory, "failures": failures}
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    return failures


def panels(results: Results, cases: Sequence[Case], targets: Sequence[Target]) -> list[Panel]:
    """Medians of processor time."""
    found = []
    for case in cases:
        figures = {target.name: list(results.of(case.name, target.name).values()) for target in targets}
        rows = [(name, statistics.median(values)) for name, values in figures.items() if values]
        if case.figure == "cpu" and rows:
            found.append(Panel(case.title, rows))
    return found


def options() -> Options:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="some seconds, figures of no value")
    parser.add_argument("--targets", default="", help=f"default: {','.join(DEFAULT)}; also {', '.join(MORE)}")
    parser.add_argument("--cases", default="", help=f"default: {','.join(case.name for case in CASES)}")
    parser.add_argument("--rounds", type=int, default=0, help=f"default: {ROUNDS}")
    parser.add_argument("--json", type=Path, help="also write every visit to this file")
    parser.add_argument("--against", default="", help="also measure Trimtab as it was at this revision")
    parser.add_argument("--chart", type=Path, help="also draw processor times as SVG into this file")
    given = parser.parse_args()
    names = [name for name in given.targets.split(",") if name] or [*(SMOKE if given.smoke else DEFAULT)]
    if given.against and BEFORE not in names:
        names.append(BEFORE)
    if BEFORE in names and not given.against:
        parser.error(f"--targets {BEFORE}: name the revision with --against")
    wanted = [name for name in given.cases.split(",") if name] or (SMOKE_CASES if given.smoke else [])
    if unknown := set(wanted) - {case.name for case in CASES}:
        parser.error(f"--cases: no such case: {', '.join(sorted(unknown))}")
    if unknown := set(names) - {*DEFAULT, *MORE}:
        parser.error(f"--targets: no such target: {', '.join(sorted(unknown))}")
    cases = [case for case in CASES if not wanted or case.name in wanted]
    rounds = given.rounds or (1 if given.smoke else ROUNDS)
    return Options(names, cases, rounds, given.smoke, given.json, given.chart, given.against)


def main() -> None:
    """Start, measure, check, print."""
    given = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    began = time.monotonic()
    try:
        programs = build()
    except Unavailable as problem:
        print(f"the benchmark of the gateway is skipped: {problem}")
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        failures = run(programs, given, folder, stack)
    note(f"{time.monotonic() - began:.0f} s")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
