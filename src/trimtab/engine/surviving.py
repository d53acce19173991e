"""What is done when a platform fails: another place, or the same one again, within bounds.

What it is not: the record of how platforms fare (`Standings`), or the order of places (`routing`).
Invariants: a client is given one answer, of one attempt; nothing is tried again after the first byte of content may
have gone out; each attempt has its own hold and intent and is in the record; a platform that asks to be left alone for
longer than may be waited is not asked again; real and simulated answers never share a record.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from trimtab.budgets import Hold
from trimtab.config import fail
from trimtab.engine.endings import SHOULD_RETRY, Fault, fault_of
from trimtab.engine.job import Job
from trimtab.engine.metered import Metered
from trimtab.engine.outcome_of import so_far
from trimtab.engine.racing import Problem, race
from trimtab.engine.reply import MeteredReply
from trimtab.engine.route import Route
from trimtab.errors import RequestError, Unavailable, UpstreamBroken, UpstreamError
from trimtab.records import Attempt
from trimtab.routing import retry_after

BACKOFF_S = 0.5
MOST_BACKOFF_S = 8.0
"""Waits for a platform that does not say how long are so long, doubled each time. Source: the vendor's SDK (2.11)."""

BURST = 10.0
"""So many calls may be made again at once when a platform fails, before the share of `RetrySettings.share` counts."""


DOUBT_S = 1.0
"""A call that tries a platform again after failures is given so long before another place is asked beside it: the
request that happens to try does not wait for a deadline."""


class RetrySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[retries]`."""

    attempts: int = 3
    """Calls that one request may make, at most; each place that serves it may be tried once in any case."""
    here: int = 0
    """Of these, so many may go to a platform that has failed the request already. The vendors' SDKs ask twice more
    themselves, so that retries here multiply theirs."""
    share: float = 0.2
    """Calls again at the same platform, at most, as a part of all calls to it: a platform in trouble is not given more
    of it."""
    wait_s: float = 10.0
    """How long a request waits for a platform before it asks again, at most."""
    within_s: float = 120.0
    """No call is begun later than so long after the request came."""
    silent_s: float = 60.0
    """How long a place may say nothing at all to a call for a stream (no head, or no event after it) while another
    place could take over; 0: as long as its own deadlines let it. Those are for the case that nobody else is there, and
    are longer than most callers wait. An answer in one piece is silent while the model works, so it has these only."""
    hold_s: float = 5.0
    """How long the beginning of a stream is held back, so that another place can still take over, when its first
    content does not come. With one place only nothing is held back."""
    hedge_after_s: float = 0.0
    """After so long without an answer a second place is asked beside the first, and both are paid; 0: never."""


def check_retries(settings: RetrySettings, where: Callable[[str], str]) -> None:
    """Raise `ConfigError` for a figure out of its bounds; `where` places a key."""
    for name, least, most in (
        ("attempts", 1, 20),
        ("here", 0, 19),
        ("share", 0.0, 1.0),
        ("wait_s", 0.0, 600.0),
        ("within_s", 0.0, 86_400.0),
        ("silent_s", 0.0, 86_400.0),
        ("hold_s", 0.0, 600.0),
        ("hedge_after_s", 0.0, 600.0),
    ):
        value = getattr(settings, name)
        if not least <= value <= most:  # so written that nan is refused
            fail(where(name), value, f"must be from {least:g} to {most:g}")


class Surviving:
    """Makes one request's calls until there is an answer. One per configuration version."""

    def __init__(
        self,
        metered: Metered,
        settings: RetrySettings,
        uniform: Callable[[], float],
        unix_s: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`uniform` gives numbers from 0 to 1, for jitter."""
        self._metered = metered
        self._settings = settings
        self._uniform = uniform
        self._unix_s = unix_s
        self._sleep = sleep
        self.asks_again = settings.here > 0
        """Whether a platform may be asked again, so that requests with one place come here too."""
        self._again: dict[str, float] = {}
        """Calls that may be made again now, by place."""

    async def answer(self, route: Route, job: Job, hold: Hold) -> MeteredReply:
        """The first answer that is one, or the last failure. The caller must `close` it. Spends money.

        Raises `UpstreamError` when the last call got no answer, or `RequestError` where its platform has no words for
        the request; the request is recorded then.
        """
        reply, problem = await self.attempt(route, job, hold)
        if problem is not None:
            reply.close(problem)
            raise problem
        return reply

    async def attempt(
        self,
        route: Route,
        job: Job,
        hold: Hold,
        before: tuple[Attempt, ...] = (),
        simulated: bool | None = None,
    ) -> tuple[MeteredReply, Problem]:
        """The first answer that is one, or the last failure with what broke it, which is not recorded yet. `before` are
        attempts of the request that came before these; `simulated`: the side on which they were, which must not change.
        Spends money. Cancelled, the request is recorded."""
        settings = self._settings
        reply = self._metered.begin(job, hold, before)
        left = max(settings.attempts, route.places) - 1
        here = settings.here
        if here:
            kept = self._again.get(job.place, BURST)
            self._again[job.place] = min(kept + settings.share, BURST)
        while True:
            more = left > 0 and (route.has_more or here > 0)
            after_s = self._beside_after_s(reply.job) if left > 0 and route.has_more else None
            if after_s is None:
                problem = await self._alone(reply, holds=more, simulated=simulated)
            else:
                reply, problem, calls = await self._raced(route, reply, after_s, simulated)
                left -= calls
            fault = _fault(reply, problem)
            if fault is None:
                return reply, None
            if reply.status:
                simulated = reply.simulated
            following = None
            if left > 0 and more:
                following, again = await self._following(route, reply, problem, fault, here)
                here -= again
            if following is None:
                return reply, problem
            reply, left = following, left - 1

    async def _alone(self, reply: MeteredReply, *, holds: bool, simulated: bool | None) -> Problem:
        try:
            return await self._made(reply, holds=holds, simulated=simulated)
        except BaseException as gone:
            reply.close(gone)
            raise

    async def _made(self, reply: MeteredReply, *, holds: bool, simulated: bool | None) -> Problem:
        """Make the call, as far as it must have come before it is the client's; what broke it."""
        settings = self._settings
        silent_s = settings.silent_s if holds and reply.job.call.stream else 0.0
        try:
            await reply.open(silent_s)
            if simulated not in (None, reply.simulated):
                raise mixed(reply)
            if holds:
                await reply.hold_back(settings.hold_s, silent_s)
        except (UpstreamError, RequestError) as problem:
            return problem
        return None

    # Two at once

    def _beside_after_s(self, job: Job) -> float | None:
        """After how long a second place is asked beside the first; `None` where none is."""
        standings, after_s = self._metered.standings, self._settings.hedge_after_s
        if standings is not None and standings.is_in_doubt(job.place, job.model.id):
            return min(after_s, DOUBT_S) if after_s else DOUBT_S
        return after_s or None

    async def _raced(
        self, route: Route, first: MeteredReply, after_s: float, simulated: bool | None
    ) -> tuple[MeteredReply, Problem, int]:
        """See `race`."""
        known, place = self._metered.standings, first.job.place
        in_doubt = known is not None and known.is_in_doubt(place, first.job.model.id)

        async def beside() -> MeteredReply | None:
            standings, model = self._metered.standings, first.job.model.id
            job = route.next(
                lambda one: standings is None or standings.keeps_away(one.place.key, model) is None
            )
            if job is None:
                return None
            try:
                hold = await self._metered.reserve(
                    job, (*first.before, so_far(first.job, first.hold.amount)), first.hold
                )
            except (RequestError, Unavailable):
                return None
            return self._metered.begin(job, hold, first.before)

        return await race(
            first,
            after_s,
            make=lambda reply: self._made(reply, holds=True, simulated=simulated),
            beside=beside,
            failed=lambda reply, problem: _fault(reply, problem) is not None,
            in_doubt=in_doubt,
        )

    def _in_time(self, job: Job, wait_s: float = 0.0) -> bool:
        """Whether a call may still begin, so long from now."""
        now = self._metered.runtime.monotonic() + wait_s
        return now - job.arrived < self._settings.within_s and (job.deadline is None or now < job.deadline)

    async def _following(
        self, route: Route, reply: MeteredReply, problem: Problem, fault: Fault, here: int
    ) -> tuple[MeteredReply | None, int]:
        """The next call, begun, and how many of those at the same platform it takes; `None` where there is none."""
        failed, wait_s, again = reply.job, None, 0
        if not self._in_time(failed):
            return None, 0
        job = self._elsewhere(route, failed.model.id)
        if job is None and here > 0 and fault.here and (wait_s := self._wait_s(reply)) is not None:
            job, again = failed, 1
        if job is None:
            return None, 0
        before = (*reply.before, reply.end(problem))
        try:
            if wait_s:
                await self._sleep(wait_s)
            hold = await self._metered.reserve(job, before, reply.hold)
        except (RequestError, Unavailable):
            return None, 0  # what cannot be paid for is not made: the failure is the answer
        except BaseException as gone:
            reply.close(gone)
            raise
        reply.carry()
        return self._metered.begin(job, hold, before), again

    def _elsewhere(self, route: Route, model: str) -> Job | None:
        standings = self._metered.standings
        if standings is None:
            return route.next(lambda _: True)
        job = route.next(lambda one: standings.keeps_away(one.place.key, model) is None)
        return job or route.next(lambda one: standings.is_last_resort(one.place.key, model))

    def _wait_s(self, reply: MeteredReply) -> float | None:
        """How long to wait before the same platform is asked again; `None` where it is not to be."""
        place = reply.job.place
        allowed = self._again.get(place, BURST)
        if allowed < 1:
            return None
        wait_s = retry_after(reply.headers, self._unix_s())
        if wait_s is None:
            tries = sum(made.platform == reply.job.provider.name for made in reply.before)
            longest = min(BACKOFF_S * 2.0**tries, MOST_BACKOFF_S)
            wait_s = longest * (0.5 + self._uniform() / 2)
        if wait_s > self._settings.wait_s or not self._in_time(reply.job, wait_s):
            return None
        self._again[place] = allowed - 1
        return wait_s


def mixed(reply: MeteredReply) -> UpstreamBroken:
    """What breaks a call whose answer is not of the side, real or simulated, of the others of its request."""
    side = "simulated" if reply.simulated else "real"
    return UpstreamBroken(
        f"platform {reply.job.provider.name} gives {side} answers, and another one of this request does not"
    )


def making(
    metered: Metered, surviving: Surviving | None, route: Route | None, job: Job, hold: Hold
) -> Coroutine[Any, Any, MeteredReply]:
    """A request's calls until there is an answer, its head arrived; one call where there is nowhere else to go, or
    nothing is tried again. Raises `UpstreamError`, `RequestError`; it is recorded then."""
    if route is None or surviving is None:
        return metered.call(job, hold)
    return surviving.answer(route, job, hold)


def _fault(reply: MeteredReply, problem: Problem) -> Fault | None:
    if problem is None and reply.is_whole:
        return None  # whatever came behind its end
    if isinstance(problem, RequestError):
        return Fault("unclear", here=False)
    return fault_of(reply.status, reply.header(SHOULD_RETRY), reply.answered, reply.error_type, problem)
