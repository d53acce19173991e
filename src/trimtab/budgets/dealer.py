"""Fetches slices of limits from the database and gives back what lies idle, on the event loop's side.

What it is not: SQL (`store.limits`) or the thread that runs it (`app` passes that in as `Exchange`).
Invariants: a request gets what it needs of all its accounts or of none, and holds nothing while it waits; one exchange
is under way at a time and serves all accounts that somebody waits for, so the database sees one transaction at a time
from each process, however many callers retry; nobody waits longer than `deadline_s`; when the database is away, what is
in the slices is used up and then `Unavailable` is said, never a refusal that blames the caller.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from trimtab.budgets.refusals import away, refusal, refused
from trimtab.budgets.slices import LOOK_EVERY_S, AccountSlice, Shortage, Slices
from trimtab.budgets.warnings import Refused
from trimtab.errors import StoreError, Unavailable
from trimtab.store.limits import PERMIT_LOST_MS, Slice, Trade

DEADLINE_S = 0.05
"""How long a request waits for its slice."""

AWAY_PAUSE_S = 0.25
"""After a failure nobody asks again for so long; who needs a slice is told at once that the limits cannot be asked."""

SEEN_EVERY_S = 2.0
"""How often the process says that it is alive."""

REFUSED_S = 0.05
"""How long an answer that there is nothing holds for all callers of an account: many who retry then cost the database
20 questions a second from each process, not one for each. Without it 200 callers against a limit of 10 kept SQLite so
busy that of their requests 3 % (on a loaded machine 40 %) waited past the deadline."""

PERMITS_USABLE_S = PERMIT_LOST_MS / 1000 - 10.0
"""Without having said so for this long, permits are not used any more: soon others may have them. Those of calls in
flight are said again when the store answers, and the others are asked for anew."""

ACCOUNTS_AT_ONCE = 256
"""Accounts in one exchange that somebody waits for, and as many that are given back beside: about 10 ms, on SQLite and
on PostgreSQL. A thousand at once would keep all who wait past their deadline."""

COME_BACK_S = 2.0
"""What was fetched too late for a request is kept for so long: its caller was told to come back in a second."""

Exchange = Callable[[Sequence[Trade]], Awaitable[list[Slice]]]
"""Runs trades in one transaction and says that the process is alive. Raises `StoreError`."""

_log = logging.getLogger("trimtab.budgets")


Short = tuple[AccountSlice, int, Shortage]
"""A slice, what was to be taken of it, and what it lacks for that."""


class Taken(msgspec.Struct, frozen=True):
    """Leave for one request, taken out of its slices."""

    slots: tuple[int | None, ...]
    """For each slice, of the grant that the request is from, if it took one; see `AccountSlice.untake`."""


class _Waiter(msgspec.Struct, eq=False):
    """One request that its slices cannot serve."""

    slices: Sequence[AccountSlice]
    amounts: Sequence[int]
    simulated: bool
    further: bool
    answered: "asyncio.Future[list[Short] | Taken]"
    """Done when an exchange that asked for it has ended: what it got, or what is still missing."""


class Dealer:
    """Gives leave to requests that are counted on limits."""

    def __init__(
        self,
        exchange: Exchange,
        monotonic: Callable[[], float],
        *,
        deadline_s: float = DEADLINE_S,
        on_refused: Callable[[Sequence[Refused]], None] = lambda _: None,
    ) -> None:
        """`on_refused` is told what the budgets refuse that will refuse it again; it must not wait."""
        self._on_refused = on_refused
        self._exchange = exchange
        self._monotonic = monotonic
        self._deadline_s = deadline_s
        self.slices = Slices()
        self._waiting: list[_Waiter] = []
        self._low: set[tuple[str, bool]] = set()
        """Accounts whose amount runs low, on which side."""
        self._low_requests: set[str] = set()
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._seen_at = 0.0
        self._away_until = 0.0
        self.problem: str | None = None
        """Why limits cannot be asked for, while that is so."""

    async def start(self) -> None:
        """Make the process known and begin. A store that is away, or held by a frozen process, is asked again later."""
        self._seen_at = self._monotonic()
        try:
            await self._exchange(())
        except StoreError as problem:
            self._failed(problem, ())
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def take(
        self,
        slices: Sequence[AccountSlice],
        amounts: Sequence[int],
        simulated: bool,
        further: bool = False,
        at_ms: int = 0,
    ) -> None:
        """From each slice one permit, one request and its amount; from all or from none. `further`: no request, for the
        call is one of a request that has been counted. `at_ms` is when the request arrived.

        Raises `RateLimited`, `BudgetSpent`, `Unavailable`.
        """
        short = self._at_once(slices, amounts, simulated, further)
        if short is None:
            return
        got = await self._fetched(short, slices, amounts, simulated, further)
        if not isinstance(got, Taken):
            self._on_refused(refused(got, simulated))
            raise refusal(got, simulated, at_ms)

    def _at_once(
        self, slices: Sequence[AccountSlice], amounts: Sequence[int], simulated: bool, further: bool
    ) -> list[Short] | None:
        """Take it out of the slices, or say what is missing. Raises `Unavailable`."""
        now = self._monotonic()
        if now - self._seen_at > PERMITS_USABLE_S:
            for one in slices:
                if one.caps.concurrency is not None:
                    raise away(one)
        taken = list(zip(slices, amounts, strict=True))
        for one, amount in taken:
            if one.lacks(amount, simulated, now, further):
                asked = [
                    (one, amount, one.shortage(amount, simulated, now, further)) for one, amount in taken
                ]
                return [(one, amount, lacks) for one, amount, lacks in asked if lacks is not None]
        for one, amount in taken:
            if one.take(amount, simulated, now, further):
                self._low.add((one.account, simulated))
                self._wanted.set()
            if not one.is_used:
                self.slices.use(one)
            if one.is_busy and one.runs_low_on_requests():
                self._low_requests.add(one.account)
                self._wanted.set()
        return None

    async def _fetched(
        self,
        short: list[Short],
        slices: Sequence[AccountSlice],
        amounts: Sequence[int],
        simulated: bool,
        further: bool,
    ) -> list[Short] | Taken:
        """Wait for an exchange, where one can help. Raises `Unavailable`."""
        loop = asyncio.get_running_loop()
        now = self._monotonic()
        if now < self._away_until:
            raise away(short[0][0])
        if _knows_of_none(short, simulated, now):
            return short
        waiter = _Waiter(slices, amounts, simulated, further, loop.create_future())
        for one in slices:
            one.waiting += 1
        self._waiting.append(waiter)
        self._wanted.set()
        try:
            async with asyncio.timeout(self._deadline_s):
                return await waiter.answered
        except TimeoutError:
            # A loop that lags may find the answer and the deadline in one turn. What came is used: a request of a
            # minute that is let go is lost to everybody for that minute.
            if (got := _answer(waiter)) is not None:
                return got
            raise away(short[0][0]) from None
        except StoreError:
            raise away(short[0][0]) from None
        except asyncio.CancelledError:
            self._give_back(waiter)
            raise
        finally:
            for one in slices:
                one.waiting -= 1
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _give_back(self, waiter: _Waiter) -> None:
        """What came in the moment in which it was given up."""
        got = _answer(waiter)
        if isinstance(got, Taken):
            now = self._monotonic()
            for one, amount, slot in zip(waiter.slices, waiter.amounts, got.slots, strict=True):
                one.untake(amount, waiter.simulated, slot, now)

    async def _run(self) -> None:
        """Exchange whenever somebody waits; otherwise look for idle slices and say that the process is alive."""
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            now = self._monotonic()
            if now - self._seen_at > PERMITS_USABLE_S:
                for one in self.slices.in_use():
                    one.lapse()
            waiting, self._waiting = _first_accounts(self._waiting)
            if self._waiting:
                self._wanted.set()
            low, self._low = self._low, set()
            trades = [] if now < self._away_until else self._beside(now, waiting, low)
            if waiting or trades or now - self._seen_at > SEEN_EVERY_S:
                try:
                    await self._trade(trades, waiting, now)
                except Exception as problem:  # without this task nobody with limits would be served again
                    _log.exception("an exchange of slices failed in our own code")
                    self._failed(problem, waiting)

    def _beside(
        self, now: float, waiting: Sequence[_Waiter], low: set[tuple[str, bool]]
    ) -> list[tuple[AccountSlice, Trade]]:
        """What nobody waits for: slices that lie idle go back, those that run low are refilled."""
        busy = {one.account for waiter in waiting for one in waiter.slices}
        low_requests, self._low_requests = self._low_requests, set()
        trades: list[tuple[AccountSlice, Trade]] = []
        for one in self.slices.in_use():
            if one.account in busy:
                continue
            sides = [side for side in (False, True) if (one.account, side) in low and one.runs_low(side)]
            refills = [one.more(side, now) for side in sides]
            if one.account in low_requests and one.runs_low_on_requests():
                refills.append(one.more_requests(now))
            trades += [(one, trade) for trade in refills or one.surplus(now)]
            if len(trades) >= ACCOUNTS_AT_ONCE:
                self._wanted.set()  # the rest with the next: who comes meanwhile waits for this one
                break
        return trades

    async def _trade(
        self, back: list[tuple[AccountSlice, Trade]], waiting: list[_Waiter], now: float
    ) -> None:
        trades = [*back, *self._asks(waiting, now)]
        try:
            got = await self._exchange([trade for _, trade in trades])
        except BaseException as problem:
            for one, _ in trades:
                one.unsure = True
                self.slices.use(one)
            if not isinstance(problem, Exception):
                raise  # cut off in the middle: `aclose` says again what is here
            self._failed(problem, waiting)
            return
        none_until = self._monotonic() + REFUSED_S
        for (one, trade), slice_ in zip(trades, got, strict=True):
            one.add(trade, slice_, now, none_until)
            one.unsure = False
            self.slices.use(one)
        self._seen_at = now
        if self.problem is not None:
            self.problem = None
            _log.warning("limits can be asked for again")
        # Taken here, not when the waiter runs again: by then others are counted who came meanwhile.
        for waiter in waiting:
            if waiter.answered.done():
                for one in waiter.slices:
                    one.keep(self._monotonic() + COME_BACK_S)
                continue
            try:
                short = self._at_once(waiter.slices, waiter.amounts, waiter.simulated, waiter.further)
            except Unavailable as lapsed:  # the process was frozen meanwhile: others may have its permits
                waiter.answered.set_exception(StoreError(str(lapsed)))
                continue
            if short is None:
                slots = tuple([None if waiter.further else one.slot for one in waiter.slices])
                waiter.answered.set_result(Taken(slots))
            elif _knows_of_none(short, waiter.simulated, self._monotonic()):
                waiter.answered.set_result(short)
            else:
                self._waiting.append(waiter)  # somebody was quicker, and there may be more
                self._wanted.set()

    def _asks(self, waiting: Sequence[_Waiter], now: float) -> list[tuple[AccountSlice, Trade]]:
        """One trade for each account that lacks something, and side; the first of an account asks for permits and
        requests for both."""
        groups: dict[str, tuple[AccountSlice, list[tuple[int, bool, bool]]]] = {}
        for waiter in waiting:
            for one, amount in zip(waiter.slices, waiter.amounts, strict=True):
                asked = (amount, waiter.simulated, waiter.further)
                groups.setdefault(one.account, (one, []))[1].append(asked)
        trades = []
        for one, group in groups.values():
            first = True
            for simulated in {simulated: None for _, simulated, _ in group}:
                costs = [amount for amount, side, _ in group if side == simulated]
                count = len(group) if first else len(costs)
                further = sum(further for _, _, further in group)
                asking = one.ask(
                    count, min(costs), sum(costs), simulated, now, only_amount=not first, further=further
                )
                if asking.asks_or_says:
                    trades.append((one, asking))
                first = False
        return trades

    def _failed(self, problem: Exception, waiting: Sequence[_Waiter]) -> None:
        self._away_until = self._monotonic() + AWAY_PAUSE_S
        if self.problem is None:
            _log.warning(
                "limits cannot be asked for: %s; callers with limits go on until their slices are used up",
                problem,
            )
        self.problem = str(problem)
        for waiter in waiting:
            if not waiter.answered.done():
                waiter.answered.set_exception(StoreError(str(problem)))

    async def aclose(self) -> None:
        """Stop, and give back all that is not in use. Never raises."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        self._task = None
        now = self._monotonic()
        back = [trade for one in self.slices.in_use() for trade in one.surplus(now, at_once=True)]
        if back:
            try:
                await self._exchange(back)
            except StoreError as problem:
                _log.warning("slices of limits could not be given back: %s", problem)


def _knows_of_none(short: Sequence[Short], simulated: bool, now: float) -> bool:
    """Whether asking for what is missing is in vain for one of the slices, and so for all."""
    return any(one.knows_of_none(lacks, simulated, now) for one, _, lacks in short)


def _answer(waiter: _Waiter) -> list[Short] | Taken | None:
    """What an exchange has found for it, if one has."""
    answered = waiter.answered
    if not answered.done() or answered.cancelled() or answered.exception() is not None:
        return None
    return answered.result()


def _first_accounts(waiting: list[_Waiter]) -> tuple[list[_Waiter], list[_Waiter]]:
    """Those who wait for one of the first accounts only, and the rest, who wait for the next exchange."""
    if sum(len(waiter.slices) for waiter in waiting) <= ACCOUNTS_AT_ONCE:
        return waiting, []
    accounts: set[str] = set()
    first, rest = [], []
    for waiter in waiting:
        also = {one.account for one in waiter.slices}
        if len(accounts | also) <= ACCOUNTS_AT_ONCE or not accounts:
            accounts |= also
            first.append(waiter)
        else:
            rest.append(waiter)
    return first, rest
