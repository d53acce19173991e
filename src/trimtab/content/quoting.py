"""What verdicts may quote of prompts and answers: as much as the policy lets be kept of them.

What it is not: their deletion (`store.content.quotes`). Invariant: where prompts and answers are not kept in full, no
text of them stands in the evidence of a verdict. Pure, and quick: it is done on the event loop.
"""

import msgspec

from trimtab.content.settings import ContentSettings
from trimtab.records import Verdict
from trimtab.records.verdict import quotes


def quoted_under(
    settings: ContentSettings, verdicts: tuple[Verdict, ...], *, simulated: bool
) -> tuple[Verdict, ...]:
    """The verdicts as a record may have them."""
    if settings.keep == "full" and (settings.simulated or not simulated):
        return verdicts
    return tuple(map(_unquoted, verdicts))


def _unquoted(verdict: Verdict) -> Verdict:
    kept = {name: fact for name, fact in verdict.evidence.items() if not quotes(name, fact)}
    return verdict if len(kept) == len(verdict.evidence) else msgspec.structs.replace(verdict, evidence=kept)
