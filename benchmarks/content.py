"""What keeping prompts and answers costs: processor time of a request under each policy, in one interleaved run.

    python benchmarks/content.py [--smoke] [--rounds N]

Four servers, two of them the same (`off`, twice: how far apart they are is the noise), behind the load generator and
the fake platform of benchmarks/gateway, at loads at which every prompt and answer is kept. Then what `off` adds to the
code of a request, alone: the lines that ask whether anything is to be kept.
"""

import sys
import tempfile
import timeit
from contextlib import ExitStack
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "gateway"))

from building import Unavailable, build
from cases import Case, Visitor
from rounds import Found, arguments, compared
from targets import Target, Upstream, trimtab

POLICIES = {"off": "off", "off again": "off", "full": "full", "redacted": "redacted"}

CASES = (
    Case("short", "0.6 KB, 100 requests/s", "cpu", loop="open", amount=100, seconds=4.0),
    Case("long", "53 KB, 25 requests/s", "cpu", size="53 KB", loop="open", amount=25, seconds=4.0),
    Case("streams", "a delta, 8 streams", "cpu", stream=True, latency_us=20_000, amount=8, seconds=2.0),
)


def measured(rounds: int, part: float) -> Found:
    """Visit all servers in turn."""
    found: Found = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        programs = build()
        upstreams = {"plain": Upstream(programs, "plain", folder)}
        stack.callback(upstreams["plain"].close)
        visitor = Visitor(programs.load, upstreams, folder)
        targets: list[Target] = []
        for name, keep in POLICIES.items():
            place = folder / name.replace(" ", "-")
            place.mkdir()
            kept = partial(_keeping, keep)
            targets.append(trimtab(name, place, upstreams, lambda: "", keys=True, more=kept))
        for target in targets:
            visitor.warm_up(target, 0.5, print)
        for round_ in range(1, rounds + 1):
            for case in CASES:
                for target in targets if round_ % 2 else targets[::-1]:
                    visit = visitor.visit(target, case, round_, case.seconds * part)
                    if visit.figure is None:
                        print(f"{case.name}, {target.name}: {visit.fault}")
                    else:
                        figures = (visit.figure, visit.seen.latency.p99 / 1000)
                        found.setdefault((case.name, target.name), {})[round_] = figures
        for target in targets:
            for problem in target.stop():
                print(f"wrong: {problem}")
    return found


def _keeping(keep: str, _: Upstream) -> str:
    return f'[content]\nkeep = "{keep}"\n'


def main() -> None:
    """Measure and print."""
    given = arguments(__doc__)
    try:
        found = measured(given.rounds, 0.05 if given.smoke else 1.0)
    except Unavailable as problem:
        print(f"the benchmark of content is skipped: {problem}")
        return
    print(f"\n{'processor time, us (median, its ratio to off in the same round), p99 of answers':<70}")
    for case in CASES:
        for line in compared(found, case.name, POLICIES):
            print(
                f"  {case.title:<28}{line.server:<12}{line.cpu_us:10.1f}{line.ratio:8.2f}x{line.answer_ms:12.1f} ms"
            )
    copy = None
    asks = min(timeit.repeat(lambda: copy is not None, number=100_000, repeat=5)) / 100_000
    empty = min(timeit.repeat(lambda: None, number=100_000, repeat=5)) / 100_000
    print(
        f"\n  off, alone: {(asks - empty) * 1e9:.0f} ns for each piece of an answer, three times that for a request"
    )


if __name__ == "__main__":
    main()
