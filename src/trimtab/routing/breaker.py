"""The circuit breaker: whether calls go to a place that has been failing, and when one may try it again.

What it is not: a judge of what a failure is (the engine's words come in), or of rate limits (`limits`). Invariants: it
is never open for ever (every wait ends, and a call that tries and is never heard of again makes way for the next);
while it is tried, one call goes out and no second; what began before its state last changed is no evidence any more.

    closed ──5 failures in a row, or half of 20 calls in 30 s──► open ──its wait is over──► half open
      ▲                                                            ▲                           │ one call
      └──────────────────────────── it succeeds ───────────────────┼───────────────────────────┤
                                                                   └──── it fails: twice as long ┘
"""

from collections.abc import Callable

import msgspec

IN_A_ROW = 5
"""Failures one after the other that open it."""
WINDOW_CALLS = 20
"""Calls in the window from which on their share of failures counts."""
WINDOW_SHARE = 0.5
SLOTS = 10
SLOT_S = 3.0
"""The window is 10 slots of 3 s. With fewer slots, more than half of it could fall away at once."""
FIRST_S = 5.0
MOST_S = 60.0
"""Open for 5 s, then twice as long each time, to 60 s."""
JITTER = 0.2
"""A wait is up to a fifth longer, so that processes that saw the same failures do not come back together."""
PROBE_S = 30.0
"""How long a trying call is waited for. Then the next one may try, and whichever succeeds is believed."""


class Started(msgspec.Struct, frozen=True, gc=False):
    """One call that went out; by it the breaker knows its trying call again."""

    at: float
    """Seconds of the monotonic clock."""


class Breaker:
    """The state of one place for one model, or of one account. Used on the event loop only."""

    __slots__ = (
        "_calls",
        "_delay",
        "_failures",
        "_jitter",
        "_probe",
        "_probe_until",
        "_row",
        "_since",
        "_slot",
        "_until",
        "is_open",
        "tripped",
        "why",
    )

    def __init__(self, jitter: Callable[[], float]) -> None:
        """`jitter` gives numbers from 0 to 1."""
        self.is_open = False
        """Open or half open. Read first: nearly always false."""
        self.why = ""
        """What opened it last."""
        self.tripped = False
        """Whether that was an answer that said so, not failures."""
        self._jitter = jitter
        self._row = 0
        self._calls = [0] * SLOTS
        self._failures = [0] * SLOTS
        self._slot = 0
        self._delay = 0.0
        self._until = 0.0
        self._since = -1e18
        """When the state last changed."""
        self._probe: Started | None = None
        self._probe_until = 0.0

    def away(self, now: float) -> str | None:
        """Why no call should go out now; `None` where one may, be it to try."""
        if not self.is_open:
            return None
        if now < self._until:
            return f"{self.why}; tried again in {self._until - now:.0f} s"
        if self._probe is not None and now < self._probe_until:
            return f"{self.why}; a call is trying it"
        return None

    def open_for(self, now: float) -> float:
        """Seconds for which no call goes out; 0 where it is closed or may be tried."""
        return max(self._until - now, 0.0) if self.is_open else 0.0

    def began(self, started: Started) -> None:
        """A call goes out. Where the breaker is half open it is the one that tries, unless another one does."""
        if self.is_open and self.away(started.at) is None:
            self._probe = started
            self._probe_until = started.at + PROBE_S

    def succeeded(self, now: float, started: Started | None) -> None:
        """A call was answered. Without `started` it counts as begun just now."""
        slot = int(now / SLOT_S)
        if slot != self._slot:
            self._turn(slot)
        self._calls[slot % SLOTS] += 1
        self._row = 0
        if self.is_open:
            self.tried(now, started)

    def tried(self, now: float, started: Started | None) -> None:
        """A call that began since it opened was answered, be it not to the end: it closes."""
        if self.is_open and (started is None or started.at >= self._since):
            self.is_open = False
            self._delay = 0.0
            self._change(now)

    def failed(self, now: float, started: Started | None) -> None:
        """A call failed. While it is open, only the failure of the call that tries matters."""
        if self._stale(started):
            return
        if self.is_open:
            self._open(now, self.why, FIRST_S, MOST_S, tripped=self.tripped)
            return
        slot = int(now / SLOT_S)
        if slot != self._slot:
            self._turn(slot)
        self._calls[slot % SLOTS] += 1
        self._failures[slot % SLOTS] += 1
        self._row += 1
        if self._row >= IN_A_ROW:
            self._open(now, f"{self._row} calls in a row failed", FIRST_S, MOST_S)
            return
        calls, failures = self.counted(now)
        if calls >= WINDOW_CALLS and failures >= WINDOW_SHARE * calls:
            why = f"{failures} of {calls} calls in {SLOTS * SLOT_S:.0f} s failed"
            self._open(now, why, FIRST_S, MOST_S)

    def trip(self, now: float, started: Started | None, why: str, first_s: float, most_s: float) -> None:
        """Open at once, for `first_s` and then twice as long each time, to `most_s`."""
        if not self._stale(started):
            self._open(now, why, first_s, most_s, tripped=True)

    def unclear(self, started: Started | None) -> None:
        """A call was given up: nothing is known from it. If it was the one that tries, the next one may."""
        if started is None or started is self._probe:
            self._probe = None

    def counted(self, now: float) -> tuple[int, int]:
        """Calls that ended in the last 30 s, since the state last changed, and those of them that failed."""
        slot = int(now / SLOT_S)
        if slot != self._slot:
            self._turn(slot)
        return sum(self._calls), sum(self._failures)

    def _stale(self, started: Started | None) -> bool:
        """Whether a failure says nothing new. What is not known to be another call is taken for the one that tries."""
        if started is not None and started.at < self._since:
            return True
        return self.is_open and (self._probe is None or (started is not None and started is not self._probe))

    def _open(self, now: float, why: str, first_s: float, most_s: float, *, tripped: bool = False) -> None:
        self.tripped = tripped
        self._delay = min(max(2 * self._delay, first_s), most_s)
        self._until = now + self._delay * (1 + JITTER * self._jitter())
        self.is_open = True
        self.why = why
        self._change(now)

    def _change(self, now: float) -> None:
        self._since = now
        self._probe = None
        self._row = 0
        self._calls = [0] * SLOTS
        self._failures = [0] * SLOTS

    def _turn(self, slot: int) -> None:
        """Empty the slots that the clock has passed."""
        for passed in range(max(self._slot + 1, slot - SLOTS + 1), slot + 1):
            self._calls[passed % SLOTS] = self._failures[passed % SLOTS] = 0
        self._slot = slot
