"""Limits and money in flight: reserve before a call, settle after, within slices leased from the database.

What it is not: the record of what was spent (`records`, kept by the store), or a place that waits on a database for
callers without limits. Invariant: nothing is spent that was not reserved, and what all processes reserve for a key
stays within its limits.
"""

from trimtab.budgets.dealer import Dealer, Exchange
from trimtab.budgets.ledger import Hold, Ledger

__all__ = ["Dealer", "Exchange", "Hold", "Ledger"]
