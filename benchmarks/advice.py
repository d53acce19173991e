"""How often `trimtab effort advise` and `trimtab budgets advise` propose what they should, and what they should not:
SIMULATED records, known truth.

    python benchmarks/advice.py [--smoke] [--seeds N]

Each seed draws outcomes and costs of a class of work at the efforts xhigh, high, medium and low from written-down rates
of success, in conversations of several requests that are alike (a beta distribution for each conversation). A proposal
is false when the effort that is proposed truly succeeds more than the margin (5 points) less often than the present
one, xhigh. The bar: at most 5 %, also where the truth lies exactly at the margin, where it is likeliest. Power is how
often the cheapest effort that is truly as good is proposed.

Then phases: tasks with known needs and rates of success, with the present shares and with others that were tried, told
of in part or not at all. A proposal is false when the tasks of a class truly neither succeed more often with the
proposed shares nor fit into them more often than with the present ones. The same bar.
"""

import argparse
import math
import random
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from drawn_efforts import drawn
from drawn_tasks import LEAST_NEED, MOST_NEED, NEEDS, drawn_tasks

from trimtab.catalogue import EFFORTS
from trimtab.efforts.advice import advise_on
from trimtab.efforts.phases import advise_phases
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

PHASE_TRUTHS: dict[str, dict[tuple[int, ...], float]] = {
    "one kind of shares, which fit": {(13, 74, 13): 0.8},
    "one kind of shares, which nearly fit": {(12, 72, 16): 0.8},
    "others succeed alike, and fit as well": {(13, 74, 13): 0.8, (14, 73, 13): 0.8, (10, 74, 16): 0.8},
    "others succeed alike, near 1": {(13, 74, 13): 0.97, (20, 70, 10): 0.97},
    "others succeed 10 points less often": {(13, 74, 13): 0.85, (20, 70, 10): 0.75},
    "others succeed 15 points more often": {(13, 74, 13): 0.75, (20, 70, 10): 0.90},
    "the present ones do not fit": {(40, 40, 20): 0.8},
}
"""The present shares first, with how often tasks succeed."""

SHAPES_OF_TASKS = ((80, 1.0), (80, 0.0), (320, 1.0), (320, 0.5), (320, 0.0))
"""How many tasks there are, and of which part of them is told."""


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


def run_phases(shapes: Sequence[tuple[int, float]], seeds: int) -> float:
    """Print the surface of advice on phases; the worst rate of false proposals."""
    fits = {shares: fitting(shares) for truth in PHASE_TRUTHS.values() for shares in truth}
    worst = 0.0
    print(f"\n{'phases: truth':<46}{'tasks':>6}{'told':>7}{'false':>9}{'any':>9}")
    for name, truth in PHASE_TRUTHS.items():
        present, *_ = truth
        for count, told in shapes:
            false = any_proposal = 0
            for seed in range(seeds):
                draw = random.Random(f"{seed} {count} {told} {name}")
                tried = [(dict(zip(NEEDS, shares, strict=True)), rate) for shares, rate in truth.items()]
                tasks = drawn_tasks(draw, count, tried, told=told)
                (advice,) = advise_phases(tasks, {"agent": tried[0][0]})
                if advice.kind != "change":
                    continue
                any_proposal += 1
                proposed = tuple(phase.proposed_percent for phase in advice.phases)
                if proposed not in fits:
                    fits[proposed] = fitting(proposed)
                succeeds = truth.get(proposed, 0.0) > truth[present]
                false += not succeeds and fits[proposed] <= fits[present]
            worst = max(worst, false / seeds)
            print(
                f"{name:<46}{count:>6}{100 * told:>6.0f}%{100 * false / seeds:>8.1f}%"
                f"{100 * any_proposal / seeds:>8.1f}%",
                flush=True,
            )
    return worst


def fitting(shares: tuple[int, ...]) -> float:
    """Into how many of all tasks these shares fit, exactly: needs are drawn evenly and each for itself."""
    return math.prod(
        min(1.0, max(0.0, (share / 100 / need - LEAST_NEED) / (MOST_NEED - LEAST_NEED)))
        for share, need in zip(shares, NEEDS.values(), strict=True)
    )


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
    worst = max(worst, run_phases(SHAPES_OF_TASKS[:1] if given.smoke else SHAPES_OF_TASKS, seeds))
    error = math.sqrt(0.05 * 0.95 / seeds)
    print(
        f"\nworst rate of false proposals: {100 * worst:.1f} % (bar: 5 %, standard error {100 * error:.1f})"
    )
    return 0 if given.smoke or worst <= 0.05 + 2 * error else 1


if __name__ == "__main__":
    sys.exit(main())
