"""Keys that end and are renewed before they do, behind the requests that use them.

What it is not: where new keys come from. Invariant: at most one renewal is under way; while the old keys are good, no
request waits for it and none fails because of it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from trimtab.errors import UpstreamRefused

RENEW_S = 900.0
"""So long before their end keys are renewed, or at half of their life where that is shorter. AWS's own tools begin
15 minutes before, Google's 4; a token of Google's metadata server comes with what is left of its hour."""

AGAIN_S = 30.0
"""After a failed renewal, the next one at the earliest, while the old keys are good."""

AGAIN_WITHOUT_S = 1.0
"""The same without good keys: requests in between are refused at once with the reason."""

REFUSED_S = 10.0
"""Keys that a platform refuses are let go of when they have been here for so long; newer ones would only be fetched
again as they are, at every call where something else is the trouble."""

LAST_S = 5.0
"""Keys are not used in their last seconds: clocks differ, and a request takes its time."""


class Ending(Protocol):
    """Keys, or a token."""

    @property
    def expires(self) -> float | None:
        """Unix seconds; `None`: they do not end by themselves."""
        ...


K = TypeVar("K", bound=Ending)
E_co = TypeVar("E_co", bound=Ending, covariant=True)


class Source(Protocol[E_co]):
    """Has the keys of the moment."""

    def ready(self) -> E_co | None:
        """Keys that are good now, if they are here."""
        ...

    async def keys(self) -> E_co:
        """Keys that are good now. Raises `UpstreamRefused`."""
        ...

    def refused(self) -> None:
        """The platform did not take these keys: the next call gets others, where there is a way to them."""
        ...

    async def aclose(self) -> None:
        """Stop renewing."""
        ...


class Closing(Protocol):
    """What stops renewing."""

    async def aclose(self) -> None:
        """Stop."""
        ...


_log = logging.getLogger("trimtab.providers")


class Steady(Generic[K]):
    """Keys that do not end. See `Source`."""

    def __init__(self, keys: K) -> None:
        self._keys = keys

    def ready(self) -> K | None:
        """See the seam."""
        return self._keys

    async def keys(self) -> K:
        """See the seam."""
        return self._keys

    def refused(self) -> None:
        """See the seam. There is no way to others."""

    async def aclose(self) -> None:
        """See the seam."""


class Renewing(Generic[K]):
    """See `Source`. Bound to one event loop."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[K]],
        now: Callable[[], float],
        base: Closing | None = None,
        *,
        of: str,
    ) -> None:
        """`fetch` raises `UpstreamRefused` with what to do; `now` gives Unix seconds. `base` are the keys that `fetch`
        uses; they are closed with these. `of` says for messages whose credentials they are."""
        self._base = base
        self._of = of
        self._fetch = fetch
        self._now = now
        self._keys: K | None = None
        self._since = 0.0
        """When the keys came."""
        self._renew_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._problem: UpstreamRefused | None = None

    def ready(self) -> K | None:
        """See the seam. Begins a renewal when it is time for one."""
        keys = self._keys
        now = self._now()
        if keys is None or (keys.expires is not None and now >= keys.expires - LAST_S):
            return None
        if now >= self._renew_at and self._task is None:
            self._begin()
        return keys

    async def keys(self) -> K:
        """See the seam. Waits for a renewal; a cancelled caller does not stop it for the others."""
        keys = self.ready()
        if keys is not None:
            return keys
        if self._task is None:
            if self._problem is not None and self._now() < self._renew_at:
                raise self._refusal()
            self._begin()
        assert self._task is not None
        await asyncio.shield(self._task)
        keys = self.ready()
        if keys is None:
            raise self._refusal()
        return keys

    def refused(self) -> None:
        """See the seam. Not for keys that have just come."""
        if self._keys is None or self._now() < self._since + REFUSED_S:
            return
        self._keys = self._problem = None
        _log.warning(
            "the platform refused the %s credentials before their end; they are fetched anew", self._of
        )

    async def aclose(self) -> None:
        """See the seam."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        if self._base is not None:
            await self._base.aclose()

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._renew())

    async def _renew(self) -> None:
        try:
            keys = await self._fetch()
        except UpstreamRefused as problem:
            self._failed(problem)
        except Exception as problem:  # a bug or a bad answer must not end renewals for ever
            self._failed(UpstreamRefused(f"{self._of} credentials cannot be renewed: {problem}"))
        else:
            self._problem = None
            self._keys = keys
            now = self._since = self._now()
            self._renew_at = float("inf")
            if keys.expires is not None:
                left = keys.expires - now
                self._renew_at = keys.expires - min(RENEW_S, left / 2) if left > 0 else now + AGAIN_WITHOUT_S
        finally:
            self._task = None

    def _failed(self, problem: UpstreamRefused) -> None:
        now = self._now()
        expires = self._keys.expires if self._keys is not None else None
        good = expires is not None and now < expires - LAST_S
        self._problem = problem
        # At the end of the old keys it is tried at once, whatever was waited for.
        self._renew_at = min(now + AGAIN_S, expires - LAST_S) if expires and good else now + AGAIN_WITHOUT_S
        _log.warning("%s%s", problem, "; the old ones are used until they end" if good else "")

    def _refusal(self) -> UpstreamRefused:
        """An error of its own for each caller: one object raised twice would collect tracebacks."""
        if self._problem is not None:
            return UpstreamRefused(str(self._problem))
        return UpstreamRefused(
            f"the {self._of} credentials that were just fetched have expired already; set this machine's clock"
        )
