"""Who calls: keys in memory, renewed by a thread, and the one question that may wait for the store.

What it is not: what a caller may do (routing, budgets) or a way to change keys (`admin`).
Invariants: a key that is known costs no wait and no database; a key that was once loaded is never refused because the
store is away; nobody is told "no such key" unless the store was asked after the question came and did not have it.
"""

import asyncio
import concurrent.futures
import logging
import threading
import time
from collections.abc import Callable

from trimtab.errors import AuthenticationFailed, StoreError, Unavailable
from trimtab.identity.snapshot import Snapshot
from trimtab.records import Caller
from trimtab.store import Database

RENEW_S = 0.5
"""Between two looks at the number of the last change. A revoked key must die within 2 s, so two looks may fail."""

STALE_S = 2.0
"""A snapshot older than that says nothing about a key that it does not have."""

FORCED_AT_ONCE = 5
FORCED_PER_S = 5.0
"""Unknown secrets make the thread look at once, but all together at most 10 times in any second: 5 saved up, and 5
more as they come. A look takes about 0.1 ms on SQLite and one round trip on PostgreSQL."""

FORCED_WAIT_S = 0.05
"""How long a request with an unknown secret waits for that look. Source: DESIGN.md, deadline of store lookups."""

RETRY_AFTER_S = 1

_log = logging.getLogger("trimtab.identity")


class Keys:
    """The keys of one process. `load` and `start` it before use, `stop` it after."""

    def __init__(
        self, database: Database, *, clock_ms: Callable[[], int], monotonic: Callable[[], float]
    ) -> None:
        """`clock_ms` judges expiry, `monotonic` (seconds) the snapshot's age. Touches nothing yet."""
        self._database = database
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._snapshot = Snapshot()
        self._renewed = float("-inf")
        """When the last renewal that succeeded began."""
        self.refused = 0
        """Questions by `caller` that were answered with no."""
        self._failing = False
        self._lock = threading.Lock()
        self._asked: concurrent.futures.Future[bool] | None = None
        """The next look, for those who wait for it; made by the first of them."""
        self._wake = threading.Event()
        self._allowed, self._allowed_at = float(FORCED_AT_ONCE), monotonic()
        """Looks that may be forced, and when that was so."""
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"Keys({self._snapshot!r})"

    def __len__(self) -> int:
        """Keys known."""
        return len(self._snapshot)

    def usable(self) -> int:
        """How many keys open something now. Cost: a walk over all keys."""
        return self._snapshot.usable(self._clock_ms())

    def age_s(self) -> float:
        """Seconds since the state of the store that is known here; infinite before `load`."""
        return self._monotonic() - self._renewed

    def load(self) -> None:
        """Take all keys into memory. Blocks (100,000 keys: about a second). Raises `StoreError`."""
        self._look()

    def start(self) -> None:
        """Begin to renew in a thread."""
        self._thread = threading.Thread(target=self._run, name="trimtab-keys", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the thread; waits for a look under way no longer than this. Idempotent."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def find(self, shown: str) -> Caller | None:
        """Who shows this secret, from memory only; `None` where nobody known here has it.

        Raises `AuthenticationFailed` for what cannot be a secret and for a key that has ended.
        """
        return self._snapshot.find(shown, self._clock_ms())

    async def caller(self, shown: str) -> Caller:
        """Who shows this secret. Waits only where the secret is unknown, at most `FORCED_WAIT_S`.

        Raises `AuthenticationFailed`, and `Unavailable` where an unknown secret cannot be judged now.
        """
        try:
            return await self._caller(shown)
        except AuthenticationFailed:
            self.refused += 1
            raise

    async def _caller(self, shown: str) -> Caller:
        found = self.find(shown)
        if found is not None:
            return found
        looked = self.age_s() <= STALE_S and await self._look_for_me()
        found = self.find(shown)
        if found is not None:
            return found
        if not looked:
            raise Unavailable(
                "the key shown is not known here, and the store could not be asked just now; try again",
                RETRY_AFTER_S,
            )
        raise AuthenticationFailed("no key has the secret shown; check that it is this server's, and whole")

    async def _look_for_me(self) -> bool:
        """Whether the store was looked at from now on, before the deadline."""
        with self._lock:
            if self._asked is None:
                self._asked = concurrent.futures.Future()
            asked = self._asked
        self._wake.set()
        waiting = asyncio.wrap_future(asked)
        # `wait` leaves what it waits for alone when it gives up: others wait for the same look.
        await asyncio.wait((waiting,), timeout=FORCED_WAIT_S)
        return waiting.done() and waiting.result()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._wake.wait(RENEW_S):
                if self._stopping.is_set():
                    break
                self._wake.clear()
                self._pause()
            with self._lock:
                asked, self._asked = self._asked, None
            looked = self._try()
            _tell(asked, looked)
        with self._lock:
            asked, self._asked = self._asked, None
        _tell(asked, False)

    def _pause(self) -> None:
        """Wait until another look may be forced, and count it."""
        now = self._monotonic()
        saved = self._allowed + (now - self._allowed_at) * FORCED_PER_S
        saved = min(saved, float(FORCED_AT_ONCE))
        if saved < 1:
            time.sleep((1 - saved) / FORCED_PER_S)
        self._allowed, self._allowed_at = max(saved, 1.0) - 1, self._monotonic()

    def _try(self) -> bool:
        try:
            self._look()
        except StoreError as problem:
            if not self._failing:
                self._failing = True
                _log.warning(
                    "keys cannot be renewed: %s; those known stay in force until the store is back", problem
                )
            return False
        except Exception:
            _log.exception("keys cannot be renewed; those known stay in force")
            return False
        if self._failing:
            self._failing = False
            _log.warning("keys are renewed again")
        return True

    def _look(self) -> None:
        began = self._monotonic()
        self._snapshot.renew(self._database, self._clock_ms())
        self._renewed = began


def _tell(asked: concurrent.futures.Future[bool] | None, looked: bool) -> None:
    """Those who wait, if any; whatever has become of them, the thread goes on."""
    try:
        if asked is not None:
            asked.set_result(looked)
    except concurrent.futures.InvalidStateError:
        pass
