"""Student's t distribution, for means of few observations.

What it is not: a test. Invariant: exact for whole degrees of freedom, but for rounding.
"""

import functools
import math

from trimtab.stats.intervals import CONFIDENCE

_LARGEST = 1e6
"""With one degree of freedom 99.99 % lie within 6,400 of 0."""


@functools.lru_cache(maxsize=256)
def student_reach(degrees: int, confidence: float = CONFIDENCE) -> float:
    """How far from 0 one must go, to both sides, to hold a value of t with this confidence; 12.71 for 1 and 95 %.

    Raises `ValueError` for no degrees of freedom, or a confidence that is none.
    """
    if degrees < 1 or not 0 < confidence < 1:
        raise ValueError(f"{degrees} degrees of freedom, confidence {confidence}: there is no such interval")
    low, high = 0.0, _LARGEST
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < confidence else (low, middle)
    return (low + high) / 2


def _within(reach: float, degrees: int) -> float:
    """The probability of a t between -reach and reach.

    Source: M. Abramowitz and I. A. Stegun, "Handbook of Mathematical Functions" (1964), 26.7.3 and 26.7.4.
    """
    angle = math.atan(reach / math.sqrt(degrees))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = degrees % 2 == 1
    term = cosine if odd else 1.0
    total = 0.0 if degrees == 1 else term
    for n in range(2 if odd else 1, degrees - 2, 2):
        term *= cosine * cosine * n / (n + 1)
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
