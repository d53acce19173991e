"""The statistics that everyone shares: intervals for rates, medians and means.

What it is not: a place for what one package needs alone. Invariant: pure functions of their arguments, each exact or
with its source, and none that says more than so few observations can.
"""

from trimtab.stats.intervals import Interval, median_interval, wilson
from trimtab.stats.student import student_reach

__all__ = ["Interval", "median_interval", "student_reach", "wilson"]
