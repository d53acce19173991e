"""Platforms that fail under load, every way we know: who is served, who pays, and how much later?

    python benchmarks/platforms_chaos.py [--smoke] [--workers N ...] [--for-s S] [--callers N] [--only TEXT]
        [--sdk PYTHON] [--json FILE]

Each storm of `tests/chaos/platforms_storms.py` by itself, on a server of its own, with callers over bare sockets and on
the vendor's SDK. Takes about half an hour. The platforms here write down every request that reaches them, so what went
out and what may be billed is known without asking Trimtab. With several workers, two storms come again while workers
are killed. The last lines are the sum over all storms.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "chaos"), str(ROOT / "tests" / "support")]
from platforms_judging import BAR, Tally  # noqa: E402 - it is beside the tests
from platforms_storms import MAY_ADD_S, STORMS, Result, Storm, storm_over  # noqa: E402

DEADLINE_S = 2.0
"""Of platforms. Those here share two cores with everything else, and answer late for that alone now and then."""
KILLS = 4
WITH_KILLS = ("silence of each tenth call", "cut before the first content, each third call")


def main() -> None:
    """Run and print; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="one storm, for 3 s, without the SDK")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--for-s", type=float, default=20.0, help="how long a storm lasts")
    parser.add_argument("--callers", type=int, default=200)
    parser.add_argument("--only", default="", help="storms with this in their name")
    sdk = ROOT / ".venv-sdk-2.11" / "bin" / "python"
    parser.add_argument("--sdk", type=Path, default=sdk, help="an interpreter that has the vendor's SDK")
    parser.add_argument("--json", type=Path, help="where the rows go to")
    given = parser.parse_args()
    storms = [storm for storm in STORMS if given.only in storm.name]
    if given.smoke:
        storms, given.workers, given.for_s, given.callers = storms[:1], [1], 3.0, 60
    results: list[tuple[int, Result]] = []
    for workers in given.workers:
        runs = [(storm, 0) for storm in storms]
        if workers > 1:
            runs += [(storm, KILLS) for storm in storms if storm.name in WITH_KILLS]
        for storm, kills in runs:
            results.append((workers, _one(storm, workers, given, kills)))
            print(results[-1][1].findings, flush=True)
    sys.exit(_summary(results, given.json, smoke=given.smoke))


def _one(storm: Storm, workers: int, given: argparse.Namespace, kills: int) -> Result:
    with tempfile.TemporaryDirectory(prefix="trimtab-platforms-") as folder:
        return storm_over(
            Path(folder),
            f"sqlite:///{folder}/t.db",
            storm,
            workers=workers,
            for_s=given.for_s,
            callers=given.callers,
            # A program on the SDK does not bear that its connections end in mid-stream without a word.
            sdk=given.sdk if given.sdk.exists() and not (given.smoke or kills) else None,
            deadline_s=1.0 if given.smoke else DEADLINE_S,
            timed=not given.smoke,
            kills=kills,
            seed=int(time.time()),
        )


def _summary(results: list[tuple[int, Result]], out: Path | None, *, smoke: bool) -> bool:
    """Print a row for each storm and the sum; whether a bar was missed."""
    total = Tally()
    print(
        "\n| storm | workers | requests | could be served | served | cut after content | p95 added, s | missed |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for workers, one in results:
        total.add(one.tally)
        added = "-" if math.isnan(one.p95_added_s) else f"{one.p95_added_s:.3f}"
        if not one.opens:
            added = f"({added})"  # no breaker opens: too few calls fail, or others do all the time
        print(
            f"| {one.storm} | {workers} | {one.requests:,} | {one.tally.could:,} | {one.tally.served:,} | "
            f"{one.tally.cut_after_content:,} | {added} | {len(one.findings.missed)} |"
        )
    low, high = total.interval
    worst = max((one.p95_added_s for _, one in results if one.opens), default=math.nan)
    print(
        f"\nall storms: {total.served:,} of {total.could:,} served: {low:.3%} to {high:.3%} (95 %, Wilson; bar "
        f"{BAR:.1%}); {len(total.wrong)} answers that must never be; p95 added once a breaker is open, worst "
        f"storm: {worst:.3f} s (bar {MAY_ADD_S:g})"
    )
    if out is not None:
        rows = [{"workers": workers, **one.row()} for workers, one in results]
        summary = {"could_be_served": total.could, "served": total.served, "wilson_95": [low, high]}
        out.write_text(json.dumps({"storms": rows, "all": {**summary, "p95_added_s": worst}}, indent=1))
    return any(one.findings.missed for _, one in results) or (low < BAR and not smoke)


if __name__ == "__main__":
    main()
