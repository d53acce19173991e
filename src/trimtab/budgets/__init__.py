"""Limits and use in flight: reserve before a call, settle after, within slices leased from the database.

What it is not: the record of what was spent (`records`, kept by the store), or a place that waits on a database for
callers without limits. Invariant: nothing is spent that was not reserved, and what all processes reserve on an account
stays within its limits.
"""

from trimtab.budgets.book import Book
from trimtab.budgets.dealer import Dealer, Exchange
from trimtab.budgets.ledger import UNUSED, Hold, Ledger, Use

__all__ = ["UNUSED", "Book", "Dealer", "Exchange", "Hold", "Ledger", "Use"]
