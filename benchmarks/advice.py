"""How often `trimtab effort advise` proposes what it should, and what it should not: SIMULATED records, known truth.

    python benchmarks/advice.py [--smoke] [--seeds N]

Each seed draws outcomes and costs of a class of work at the efforts xhigh, high, medium and low from written-down rates
of success, in conversations of several requests that are alike (a beta distribution for each conversation). A proposal
is false when the effort that is proposed truly succeeds more than the margin (5 points) less often than the present
one, xhigh. The bar: at most 5 %, also where the truth lies exactly at the margin, where it is likeliest. Power is how
often the cheapest effort that is truly as good is proposed.
"""

import argparse
import math
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from drawn_efforts import drawn

from trimtab.catalogue import EFFORTS
from trimtab.efforts.advice import advise_on
from trimtab.efforts.table import ClassTable

MARGIN = 0.05
TRUTHS: dict[str, dict[str, float]] = {
    "high is at the margin": {"xhigh": 0.85, "high": 0.80, "medium": 0.80, "low": 0.80},
    "medium is at the margin": {"xhigh": 0.85, "high": 0.85, "medium": 0.80, "low": 0.70},
    "at the margin, near 1": {"xhigh": 0.97, "high": 0.92, "medium": 0.92, "low": 0.92},
    "at the margin, near 0.5": {"xhigh": 0.55, "high": 0.50, "medium": 0.50, "low": 0.50},
    "all as good": {"xhigh": 0.85, "high": 0.85, "medium": 0.85, "low": 0.85},
    "all as good, near 1": {"xhigh": 0.97, "high": 0.97, "medium": 0.97, "low": 0.97},
    "each a little worse": {"xhigh": 0.85, "high": 0.84, "medium": 0.81, "low": 0.72},
}
SHAPES = ((1.0, 0.0, "one request"), (4.0, 0.2, "4 requests, alike by 0.2"))
CONVERSATIONS = (50, 200, 800)


def run(
    truth: dict[str, float], conversations: int, size: float, alike: float, seeds: int
) -> tuple[float, float, float]:
    """Parts of the seeds: false proposals, any proposal, and the cheapest effort that is within the margin."""
    present = truth["xhigh"]
    good = [effort for effort in EFFORTS if effort in truth and truth[effort] >= present - 1e-9]
    false = any_proposal = best = 0
    for seed in range(seeds):
        draw = random.Random(f"{seed} {conversations} {size} {sorted(truth.items())}")
        cells = tuple(
            drawn(draw, effort, truth[effort], conversations, size, alike)
            for effort in ("low", "medium", "high", "xhigh")
        )
        table = ClassTable(task_class="c", unit="request", cells=cells)
        advice = advise_on(table, ("", "c"), "m", "xhigh", MARGIN)
        any_proposal += advice.kind == "lower"
        false += truth[advice.proposed] < present - MARGIN + 1e-9
        best += advice.proposed == good[0]
    return false / seeds, any_proposal / seeds, best / seeds


def main() -> int:
    """Print the whole surface."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="20 seeds, nothing is judged")
    parser.add_argument("--seeds", type=int, default=1000)
    given = parser.parse_args()
    seeds = 20 if given.smoke else given.seeds
    worst = 0.0
    print(
        f"SIMULATED, {seeds} seeds each; margin {100 * MARGIN:g} points; per effort so many conversations\n"
    )
    print(f"{'truth':<26}{'conversation':<28}{'n':>6}{'false':>9}{'any':>9}{'cheapest as good':>18}")
    for name, truth in TRUTHS.items():
        for size, alike, shape in SHAPES:
            for conversations in CONVERSATIONS[:1] if given.smoke else CONVERSATIONS:
                false, any_proposal, best = run(truth, conversations, size, alike, seeds)
                worst = max(worst, false)
                print(
                    f"{name:<26}{shape:<28}{conversations:>6}{100 * false:>8.1f}%{100 * any_proposal:>8.1f}%"
                    f"{100 * best:>17.1f}%",
                    flush=True,
                )
    error = math.sqrt(0.05 * 0.95 / seeds)
    print(
        f"\nworst rate of false proposals: {100 * worst:.1f} % (bar: 5 %, standard error {100 * error:.1f})"
    )
    return 0 if given.smoke or worst <= 0.05 + 2 * error else 1


if __name__ == "__main__":
    sys.exit(main())
