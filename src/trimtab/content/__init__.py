"""What is kept of prompts and answers: the policy, the copy that a call leaves, redaction, and the thread that writes.

What it is not: a table (`store.content`), or who may read or delete (`admin`, `gateway`). Invariants: where the policy
is `off` nothing here is called; a call waits for none of it; content that finds no room is dropped and counted, and a
record never is because of it.
"""

from trimtab.content.capture import Capture
from trimtab.content.editing import edited_under
from trimtab.content.keeper import Keeper
from trimtab.content.quoting import quoted_under
from trimtab.content.redaction import redacted_answer, redacted_request
from trimtab.content.settings import ContentSettings, days_kept
from trimtab.content.showing import shown

__all__ = [
    "Capture",
    "ContentSettings",
    "Keeper",
    "days_kept",
    "edited_under",
    "quoted_under",
    "redacted_answer",
    "redacted_request",
    "shown",
]
