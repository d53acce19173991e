"""The places that may serve one request, in order, and the call that goes to each.

What it is not: the order (`routing` gives it) or the decision to go on (`surviving`). Invariant: a place whose platform
would refuse the request as it is, is passed over; where all do, the caller hears what the first one refuses. A request
that went to a real platform never goes to the simulator, nor the other way round.
"""

from collections.abc import Callable, Sequence

from trimtab.engine.job import Job
from trimtab.errors import RequestError
from trimtab.routing import Candidate


class Route:
    """One request's; used up as it goes on."""

    def __init__(
        self,
        order: Sequence[Candidate],
        plan: Callable[[Candidate, str | None], Job],
        simulated: Callable[[Candidate], bool] = lambda _: False,
    ) -> None:
        """`plan` says what goes out to a place, after which entry was called first (`None`: this one is); it raises
        `RequestError` where that platform takes no such request. `simulated`: whether the place is the simulator."""
        self._left = list(order)
        self._plan = plan
        self._simulated = simulated
        self._first: str | None = None
        self.places = len(self._left)
        """How many there are at most."""

    @property
    def has_more(self) -> bool:
        """Whether there is a place that was not tried."""
        return bool(self._left)

    @property
    def entries(self) -> set[str]:
        """The platform entries that are left; without the first one, once that was taken."""
        return {candidate.place.name for candidate in self._left}

    def as_others(self, changed: Callable[[Job], Job]) -> "Route":
        """The same places, from here on, with each call changed so."""
        plan = self._plan
        other = Route(self._left, lambda candidate, first: changed(plan(candidate, first)), self._simulated)
        other._first, other.places = self._first, self.places
        return other

    def first(self) -> Job:
        """The call to make. Raises what the first place says where none takes the request."""
        refused: RequestError | None = None
        while self._left:
            candidate = self._left.pop(0)
            try:
                job = self._plan(candidate, None)
            except RequestError as problem:
                refused = refused or problem
                continue
            self._first = job.provider.name
            side = self._simulated(candidate)
            self._left = [other for other in self._left if self._simulated(other) is side]
            self.places = 1 + len(self._left)
            return job
        assert refused is not None  # there is always one place
        raise refused

    def next(self, usable: Callable[[Candidate], bool]) -> Job | None:
        """The call to the next place that is usable; `None` where there is none. Those passed over stay."""
        for candidate in list(self._left):
            if usable(candidate):
                self._left.remove(candidate)
                try:
                    return self._plan(candidate, self._first)
                except RequestError:
                    continue
        return None
