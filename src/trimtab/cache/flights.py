"""Questions that are being asked now, and who waits for the answer: of many that ask the very same at once, one asks
the model.

What it is not: the calls (`engine`), or the answers that are kept (`shelves`). Of one process and its event loop only.
Invariants: whoever leads hands on what came of it, once; for each leader that fails two others ask, so that there is no
rush and nobody waits for one after another without end; a call whose own client has gone is cut off as soon as nobody
waits for it.
"""

import asyncio

from trimtab.store.answers import Found

CUT_S = 1.0
"""How long a call that nobody waits for any more may take to be settled."""


class Flight:
    """One question."""

    __slots__ = ("_carriers", "_digest", "_flights", "_leaders", "_most", "_waiting", "places")

    def __init__(self, flights: "Flights", digest: str, places: frozenset[str]) -> None:
        self.places = places
        """The platform entries that may answer."""
        self._flights = flights
        self._digest = digest
        self._leaders = 0
        self._most = 1
        self._waiting: dict[asyncio.Future[Found | Seat], None] = {}
        self._carriers: set[asyncio.Task[None]] = set()

    @property
    def is_heard(self) -> bool:
        """Whether somebody waits for the answer."""
        return bool(self._waiting)

    async def wait(self, most_s: float) -> "Found | Seat | None":
        """The answer of whoever leads, or the leader's seat, which the caller must end; `None`: it has taken too long.
        Waits."""
        if self._leaders < self._most:
            return self._seat()
        waiting: asyncio.Future[Found | Seat] = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = None
        try:
            await asyncio.wait((waiting,), timeout=most_s)
        except asyncio.CancelledError:
            if waiting.done() and isinstance(given := waiting.result(), Seat):
                given.leave()  # it was just given to who goes
            raise
        finally:
            self._waiting.pop(waiting, None)
            if not self._waiting and self._carriers:
                for carrier in self._carriers:
                    carrier.cancel()
                await asyncio.wait(self._carriers, timeout=CUT_S)
        return waiting.result() if waiting.done() else None

    def carry(self, task: "asyncio.Task[None]") -> None:
        """A call that goes on without its client, for those who wait."""
        self._carriers.add(task)
        task.add_done_callback(self._carriers.discard)

    def _seat(self) -> "Seat":
        self._leaders += 1
        return Seat(self)

    def _landed(self, found: Found) -> None:
        self._leaders -= 1
        waiting, self._waiting = self._waiting, {}
        for one in waiting:
            if not one.done():
                one.set_result(found)
        self._flights.end(self._digest, self)

    def _failed(self, *, tried: bool) -> None:
        self._leaders -= 1
        if tried:
            self._most += 1
        while self._waiting and self._leaders < self._most:
            first = next(iter(self._waiting))
            del self._waiting[first]
            if not first.done():
                first.set_result(self._seat())
        if not self._leaders:
            self._flights.end(self._digest, self)


class Seat:
    """The right to ask for all who wait. Ends once: `land`, `fail` or `leave`."""

    __slots__ = ("_over", "flight")

    def __init__(self, flight: Flight) -> None:
        self.flight = flight
        self._over = False

    @property
    def is_heard(self) -> bool:
        """Whether somebody waits for what comes of it."""
        return not self._over and self.flight.is_heard

    def land(self, found: Found) -> None:
        """The answer: all who wait hear it."""
        if not self._over:
            self._over = True
            self.flight._landed(found)

    def fail(self) -> None:
        """There is no answer that others may hear: the next ones ask for themselves."""
        if not self._over:
            self._over = True
            self.flight._failed(tried=True)

    def leave(self) -> None:
        """Nothing was asked: somebody else may."""
        if not self._over:
            self._over = True
            self.flight._failed(tried=False)


class Flights:
    """All questions of this process that are being asked and may be waited for."""

    __slots__ = ("_flights",)

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}

    def find(self, digest: str) -> Flight | None:
        """Who asks this now."""
        return self._flights.get(digest)

    def begin(self, digest: str, places: frozenset[str]) -> Seat:
        """Nobody asks it: the caller does, of one of these platform entries."""
        flight = self._flights[digest] = Flight(self, digest, places)
        return flight._seat()

    def end(self, digest: str, flight: Flight) -> None:
        """It is asked no longer."""
        if self._flights.get(digest) is flight:
            del self._flights[digest]

    def __len__(self) -> int:
        return len(self._flights)
