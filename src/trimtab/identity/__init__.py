"""Who calls: a secret becomes a `records.Caller`, from memory, also while the store is away.

What it is not: what a caller may do (routing, budgets), or a door through which anything is changed (`admin`).
"""

from trimtab.identity.keys import Keys
from trimtab.identity.secret import MARK, digest_of, make_secret, prefix_of

__all__ = ["MARK", "Keys", "digest_of", "make_secret", "prefix_of"]
