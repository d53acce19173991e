"""What the console asks of the records: figures over time, lists, and the neighbours of a request.

What it is not: the roll-ups that totals and limits are read from (`records.rollups`), which are exact at any moment and
cost each record its share; the figures here are worked out afterwards, in the background, and cost the writer nothing.
Invariants: no question looks at more than a bounded number of records, and what is left out for that is said; real and
simulated traffic are never added.
"""

from trimtab.store.figures.cells import cells
from trimtab.store.figures.folding import ALL, CHORE, arm_text, fold_what_is_due
from trimtab.store.figures.listing import (
    Listing,
    Relatives,
    Wanted,
    Within,
    config_text,
    key_names,
    list_requests,
    relatives,
)
from trimtab.store.figures.reading import Coverage, Wish, live_figures, read_figures
from trimtab.store.figures.tally import Tally, quantiles

__all__ = [
    "ALL",
    "CHORE",
    "Coverage",
    "Listing",
    "Relatives",
    "Tally",
    "Wanted",
    "Wish",
    "Within",
    "arm_text",
    "cells",
    "config_text",
    "fold_what_is_due",
    "key_names",
    "list_requests",
    "live_figures",
    "quantiles",
    "read_figures",
    "relatives",
]
