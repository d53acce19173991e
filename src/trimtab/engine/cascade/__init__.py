"""Requests whose answer is judged before it is believed: try, verify, escalate.

What it is not: the judging (`verification`), or where a request begins and whether it goes on (`routing.cascade`).
Invariants: a client is given one answer, of one attempt; nothing of another one reaches it; each attempt has its own
hold and intent and is in the record; deadline and budget win over a further step.
"""

from trimtab.engine.cascade.afterwards import Afterwards
from trimtab.engine.cascade.climbing import Climbing, Memory
from trimtab.engine.cascade.deciding import Deciding
from trimtab.engine.cascade.verifying import Judges, Verifying

__all__ = ["Afterwards", "Climbing", "Deciding", "Judges", "Memory", "Verifying"]
