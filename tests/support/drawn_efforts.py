"""What an effort looks like in a table, drawn from a known truth. SIMULATED; for tests of advice and benchmarks/advice.py."""

import math
import random

from trimtab.efforts.table import Cell, Success, figure
from trimtab.stats.clusters import mean_of, rate_of

COSTS = {"xhigh": 4.0, "high": 2.0, "medium": 1.0, "low": 0.5}


def drawn(
    draw: random.Random, effort: str, rate: float, conversations: int, size: float, alike: float
) -> Cell:
    """What so many conversations at one effort look like in a table."""
    told, costs = [], []
    for _ in range(conversations):
        count = 1 if size <= 1 else 1 + int(draw.expovariate(1 / (size - 0.5)))
        own = rate
        if alike:
            own = draw.betavariate(rate * (1 - alike) / alike, (1 - rate) * (1 - alike) / alike)
        told.append((count, float(sum(draw.random() < own for _ in range(count)))))
        costs.append((count, sum(COSTS[effort] * math.exp(draw.gauss(0, 0.5)) for _ in range(count))))
    success, cost = rate_of(told), mean_of(costs)
    within = success.interval()
    asked = sum(count for count, _ in told)
    return Cell(
        model="m",
        effort=effort,
        asked=asked,
        conversations=conversations,
        cost_nanousd=figure(cost.value, cost.interval()),
        cost_error=cost.error,
        success=Success(success.value, within.low, within.high, success.effective, asked, conversations),
    )
