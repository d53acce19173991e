"""The statistics that everyone shares: intervals for rates and medians.

What it is not: a place for what one package needs alone. Invariant: pure functions of their arguments, each exact or
with its source, and none that says more than so few observations can.
"""

from trimtab.stats.intervals import Interval, median_interval, wilson

__all__ = ["Interval", "median_interval", "wilson"]
