"""Which places this process keeps away from, as metrics.

What it is not: the standings themselves (`routing.standing`), or what was recorded of a platform. Invariant: read on
the event loop only, where standings are kept.
"""

from collections.abc import Iterator

from trimtab.routing import Standing, Standings
from trimtab.telemetry import Metrics, names

Place = tuple[str, str, str]
"""Model, entry, and the key of its pool: the labels."""


def watch_places(metrics: Metrics, standings: Standings) -> None:
    """Add gauges that are read at each scrape. Cost of one: some 30 us for each place and model that was called."""

    def placed() -> Iterator[tuple[Place, Standing]]:
        for one in standings.snapshot():
            entry, _, account = one.place.partition("#")
            yield (one.model, entry, account), one

    metrics.watch_each(
        names.BREAKERS_OPEN, lambda: {place: float(one.state != "closed") for place, one in placed()}
    )
    metrics.watch_each(
        names.PLACES_LIMITED, lambda: {place: float(is_limited(one)) for place, one in placed()}
    )
    metrics.watch_each(
        names.RATE_LIMIT_LEFT, lambda: {place: one.room for place, one in placed() if one.room is not None}
    )


def is_limited(one: Standing) -> bool:
    """Whether nothing but a rate limit keeps calls away."""
    return one.away is not None and one.state == "closed"
