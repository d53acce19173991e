"""What a policy lets be kept of an answer that somebody corrected.

What it is not: the table (`store.edited_answers`), which knows what was deleted. Invariant: it is kept whole or not at
all; what is cut is no answer any more.
"""

from trimtab.content.redaction import redacted_request
from trimtab.content.settings import ContentSettings
from trimtab.store.edited_answers import Edited


def edited_under(settings: ContentSettings, days: int, answer: bytes) -> Edited:
    """What is kept of it, JSON. `days` is how long content is kept. Takes milliseconds where it is redacted."""
    if settings.keep == "off" or len(answer) > settings.max_bytes:
        return Edited()
    kept = answer if settings.keep == "full" else redacted_request(answer)
    return Edited(kept, settings.keep, settings.simulated, days)
