"""The tables of organisations, teams, users and keys (`tables`), and the chain of all changes to them (`audit`).

What it is not: what a change means or who may make it (`admin`), or who calls (`identity`).
Invariant: a change and its row in the audit trail are one transaction; no secret is in either.
"""

from trimtab.store.keys.audit import Head, hash_of, head
from trimtab.store.keys.tables import Key, KeySecret, changed_keys, changed_secrets

__all__ = ["Head", "Key", "KeySecret", "changed_keys", "changed_secrets", "hash_of", "head"]
