"""The exact interval of a rate, for judging what was measured against what must come of it.

What it is not: the interval that pages show (`trimtab.stats.wilson`), which is narrower and right on average. This one
holds the true rate at least as often as it says, whatever the rate.
"""

import math
from collections.abc import Callable

from trimtab.stats import Interval


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """From the rate under which so many successes or more have half of what is left of the confidence, to the one under
    which so many or fewer have. Linear in the trials, 60 times.

    Source: C. J. Clopper and E. S. Pearson, Biometrika 26 (1934). Raises `ValueError` for counts that no trials give.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} successes of {trials} trials: must be from 0 to the trials")
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else _rate(lambda rate: 1 - up_to(successes - 1, trials, rate) > tail)
    high = 1.0 if successes == trials else _rate(lambda rate: up_to(successes, trials, rate) < tail)
    return Interval(low, high)


def up_to(most: int, trials: int, rate: float) -> float:
    """The probability of at most so many successes."""
    if rate <= 0 or most >= trials:
        return 1.0
    if rate >= 1:
        return 0.0
    whole = math.lgamma(trials + 1)
    logs = (
        whole
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(rate)
        + (trials - k) * math.log1p(-rate)
        for k in range(most + 1)
    )
    return min(1.0, math.fsum(math.exp(one) for one in logs))


def _rate(beyond: Callable[[float], bool]) -> float:
    """The rate from which on it holds."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return (low + high) / 2
