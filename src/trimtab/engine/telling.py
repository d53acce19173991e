"""What is said of a call that has ended to those who know how places do.

What it is not: what they make of it (`routing.standing`). Invariant: what a caller can bring about on purpose says
nothing of a place.
"""

import msgspec

from trimtab.engine.job import Job
from trimtab.engine.platform_watch import PlatformWatch
from trimtab.providers import Headers
from trimtab.records import Attempt
from trimtab.routing import Ending, Standings, Started


class Ended(msgspec.Struct, frozen=True, gc=False):
    """How a call ended, besides its attempt."""

    ending: Ending
    started: Started
    status: int
    headers: Headers
    lagged: bool
    """Whether the client took a stream slower than it came."""


def tell(standings: Standings, watch: PlatformWatch, job: Job, attempt: Attempt, ended: Ended) -> None:
    """Say how a call ended."""
    usage, counting = attempt.usage, job.endpoint == "count_tokens"
    ending: Ending = "unclear" if _says_nothing(job, ended) else ended.ending
    measures = attempt.result == "ok" and not ended.lagged
    began = attempt.first_content_ms if attempt.first_content_ms is not None else attempt.head_ms
    standings.ended(
        job.place,
        job.model.id,
        ending,
        started=ended.started,
        headers=None if counting else ended.headers,
        first_content_ms=attempt.first_content_ms,
        output_tokens=(usage.output_tokens or 0) if usage is not None and measures else 0,
        generating_ms=0.0 if began is None else attempt.total_ms - began,
    )
    watch.stands(job.place, job.model.id, ending, standings)


def _says_nothing(job: Job, ended: Ended) -> bool:
    """Whether how it ended says nothing of how the place answers others. What a caller can bring about on purpose
    must not send them elsewhere, or hide that they should go."""
    ending = ended.ending
    if job.endpoint == "count_tokens":  # a service beside the model, with a rate limit of its own
        return ending in ("limited", "ok") or (ending == "failed" and ended.status > 0)
    if job.fast:  # has a rate limit of its own
        return ending == "limited"
    return ending == "failed" and ended.lagged  # a platform may cut off whoever reads slowly
