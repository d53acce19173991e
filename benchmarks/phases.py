"""Phases against one undivided budget with a final reserve: when is it worth dividing a task's budget?

    python benchmarks/phases.py [--smoke] [--write]

SIMULATED. A task model whose every parameter is in `task_model/parameters.py`, written down before the first run; the
budgets are the real arithmetic of `trimtab.budgets.tasks`. For each point of the surface the same tasks are worked on
with each way to use the total; the figure is the mean difference in quality to the undivided budget, in points of 100,
with its 95 % interval over tasks. `--write` keeps the surface in docs/.
"""

import argparse
import itertools
import math
import random
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from task_model.drawing import chart, table
from task_model.parameters import (
    ARMS,
    BASE,
    CURVES,
    HEEDING,
    SCARCITY,
    SEED,
    SMOKE_TASKS,
    SPREAD,
    TASKS,
    TRUE_SHARES,
)
from task_model.surface import Point, Surface
from task_model.working import done, draw_work, worth

DOCS = Path(__file__).resolve().parents[1] / "docs"
Z = statistics.NormalDist().inv_cdf(0.975)


def points(tasks: int, scarcities: tuple[float, ...], spreads: tuple[float, ...]) -> Iterator[Point]:
    """The whole surface, point by point."""
    for (shares, true), spread in itertools.product(TRUE_SHARES.items(), spreads):
        chance = random.Random(f"{SEED} {shares} {spread}")
        works = [draw_work(true, spread, chance) for _ in range(tasks)]
        for scarcity, (heeding, heeds) in itertools.product(scarcities, HEEDING.items()):
            total = round(BASE * scarcity)
            parts = {arm.name: [done(arm, work, total, heeds=heeds) for work in works] for arm in ARMS}
            for curve in CURVES:
                base = [worth(part, curve) for part in parts[ARMS[0].name]]
                for arm in ARMS[1:]:
                    scores = [worth(part, curve) for part in parts[arm.name]]
                    gains = [100 * (one - other) for one, other in zip(scores, base, strict=True)]
                    yield Point(
                        arm=arm.name,
                        shares=shares,
                        heeding=heeding,
                        curve=curve,
                        scarcity=scarcity,
                        spread=spread,
                        base=100 * statistics.fmean(base),
                        gain=statistics.fmean(gains),
                        margin=Z * statistics.stdev(gains) / math.sqrt(len(gains)),
                    )


def main() -> int:
    """Run it, say what came of it, and keep it where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="a few points, seconds; judges nothing")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks-phases.md and .svg")
    wanted = parser.parse_args()
    began = time.monotonic()
    tasks = SMOKE_TASKS if wanted.smoke else TASKS
    few = wanted.smoke
    surface = Surface(
        tuple(points(tasks, SCARCITY[1:4:2] if few else SCARCITY, SPREAD[1:2] if few else SPREAD)), tasks
    )
    print(
        "SIMULATED: what follows from benchmarks/task_model/parameters.py, not what was measured on real work"
    )
    print(surface.summary())
    print(f"{len(surface.points)} points, {tasks} tasks each, {time.monotonic() - began:.0f} s")
    if wanted.write:
        (DOCS / "benchmarks-phases.md").write_text(table(surface))
        (DOCS / "benchmarks-phases.svg").write_text(chart(surface))
    return 0


if __name__ == "__main__":
    sys.exit(main())
