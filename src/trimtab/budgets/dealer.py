"""Fetches slices of limits from the database and gives back what lies idle, on the event loop's side.

What it is not: SQL (`store.limits`) or the thread that runs it (`app` passes that in as `Exchange`).
Invariants: one exchange is under way at a time and serves all keys that wait, so the database sees one transaction at a
time from each process, however many callers retry; nobody waits longer than `deadline_s`; when the database is away,
what is in the slices is used up and then `Unavailable` is said, never a refusal that blames the caller.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from trimtab.budgets.slices import LOOK_EVERY_S, KeySlice, Shortage, Slices
from trimtab.errors import BudgetSpent, RateLimited, StoreError, Unavailable
from trimtab.records import Caller
from trimtab.store.limits import PERMIT_LOST_MS, Slice, Trade

DEADLINE_S = 0.05
"""How long a request waits for its slice."""

AWAY_PAUSE_S = 0.25
"""After a failure nobody asks again for so long; who needs a slice is told at once that the limits cannot be asked."""

SEEN_EVERY_S = 2.0
"""How often the process says that it is alive."""

REFUSED_S = 0.05
"""How long an answer that there is nothing holds for all callers of a key: many who retry then cost the database 20
questions a second from each process, not one for each. Without it 200 callers against a limit of 10 kept SQLite so
busy that of their requests 3 % (on a loaded machine 40 %) waited past the deadline."""

PERMITS_USABLE_S = PERMIT_LOST_MS / 1000 - 10.0
"""Without having said so for this long, permits are not used any more: soon others may have them."""

RETRY_S = 1

KEYS_AT_ONCE = 64
"""Keys in one exchange, about 10 ms on SQLite; a thousand at once would keep all of them past their deadline."""

COME_BACK_S = 2.0
"""What was fetched too late for a request is kept for so long: its caller was told to come back in `RETRY_S`."""

Exchange = Callable[[Sequence[Trade]], Awaitable[list[Slice]]]
"""Runs trades in one transaction and says that the process is alive. Raises `StoreError`."""

_log = logging.getLogger("trimtab.budgets")


class Taken(msgspec.Struct, frozen=True):
    """Leave for one request, taken out of its key's slice."""

    money: bool
    """Whether the key's money is limited."""
    slot: int | None
    """Of the grant that the request is from, if it took one; see `KeySlice.untake`."""


class _Waiter(msgspec.Struct, eq=False):
    """One request that its key's slice cannot serve."""

    of_key: KeySlice
    worst_case: int
    simulated: bool
    further: bool
    answered: "asyncio.Future[Shortage | Taken]"
    """Done when an exchange that asked for it has ended: what it got, or what is still missing."""


class Dealer:
    """Gives leave to requests of keys with limits."""

    def __init__(
        self, exchange: Exchange, monotonic: Callable[[], float], *, deadline_s: float = DEADLINE_S
    ) -> None:
        self._exchange = exchange
        self._monotonic = monotonic
        self._deadline_s = deadline_s
        self._slices = Slices()
        self._waiting: list[_Waiter] = []
        self._low: set[tuple[str, bool]] = set()
        """Keys whose money runs low, on which side."""
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
        self, caller: Caller, worst_case: int, simulated: bool, further: bool = False
    ) -> tuple[KeySlice, bool]:
        """One permit, one request and the money; (the slices they are from, whether money was taken). `further`: no
        request, for the call is one of a request that has been counted.

        Raises `RateLimited`, `BudgetSpent`, `Unavailable`.
        """
        of_key = self._slices.of(caller)
        got = self._at_once(of_key, worst_case, simulated, further)
        if isinstance(got, Shortage):
            got = await self._fetched(of_key, got, worst_case, simulated, further)
        if isinstance(got, Shortage):
            raise self._refusal(of_key, got, worst_case, simulated)
        return of_key, got.money

    def _at_once(self, of_key: KeySlice, worst_case: int, simulated: bool, further: bool) -> Shortage | Taken:
        """Take it out of the slice, or say what is missing. Raises `Unavailable`."""
        short = self._shortage(of_key, worst_case, simulated, further)
        if short is not None:
            return short
        takes_money = of_key.take(worst_case, simulated, self._monotonic(), further)
        self._slices.use(of_key)
        if takes_money and of_key.runs_low(simulated):
            self._low.add((of_key.key, simulated))
            self._wanted.set()
        if of_key.runs_low_on_requests():
            self._low_requests.add(of_key.key)
            self._wanted.set()
        return Taken(takes_money, None if further else of_key.slot)

    def _shortage(self, of_key: KeySlice, worst_case: int, simulated: bool, further: bool) -> Shortage | None:
        now = self._monotonic()
        if of_key.limits.concurrency is not None and now - self._seen_at > PERMITS_USABLE_S:
            raise _away(of_key)
        return of_key.shortage(worst_case, simulated, now, further)

    async def _fetched(
        self, of_key: KeySlice, short: Shortage, worst_case: int, simulated: bool, further: bool
    ) -> Shortage | Taken:
        """Wait for an exchange, where one can help. Raises `Unavailable`."""
        loop = asyncio.get_running_loop()
        now = self._monotonic()
        if now < self._away_until:
            raise _away(of_key)
        if of_key.knows_of_none(short, simulated, now):
            return short
        waiter = _Waiter(of_key, worst_case, simulated, further, loop.create_future())
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
            raise _away(of_key) from None
        except StoreError:
            raise _away(of_key) from None
        except asyncio.CancelledError:
            self._give_back(waiter)
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _give_back(self, waiter: _Waiter) -> None:
        """What came in the moment in which it was given up."""
        got = _answer(waiter)
        if isinstance(got, Taken):
            waiter.of_key.untake(got.slot, self._monotonic())
            if got.money:
                waiter.of_key.refund(waiter.worst_case, waiter.simulated)

    def _refusal(
        self, of_key: KeySlice, short: Shortage, worst_case: int, simulated: bool
    ) -> RateLimited | BudgetSpent:
        limits, unspent = of_key.limits, of_key.unspent[simulated]
        if short.money and unspent is not None and unspent < worst_case:
            return BudgetSpent(
                f"this key may spend {_usd(limits.total_nanousd)} in all and has {_usd(unspent)} left; this request "
                f"may cost up to {_usd(worst_case)}: lower max_tokens, or have the key's limit raised"
            )
        if short.permits:
            return RateLimited(
                f"this key has its limit of {limits.concurrency} requests in flight; wait for one to end",
                RETRY_S,
            )
        if short.requests:
            return RateLimited(
                f"this key has its limit of {limits.requests_per_minute} requests in a minute; slow down",
                of_key.rate_retry_s,
            )
        return RateLimited(
            "what is left of this key's money is held for its requests in flight; wait for one to end",
            RETRY_S,
        )

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
            waiting, self._waiting = _first_keys(self._waiting)
            if self._waiting:
                self._wanted.set()
            low, self._low = self._low, set()
            trades = [] if now < self._away_until else self._beside(now, waiting, low)
            if waiting or trades or now - self._seen_at > SEEN_EVERY_S:
                try:
                    await self._trade(trades, waiting, now)
                except Exception as problem:  # without this task no key with limits would be served again
                    _log.exception("an exchange of slices failed in our own code")
                    self._failed(problem, waiting)

    def _beside(self, now: float, waiting: Sequence[_Waiter], low: set[tuple[str, bool]]) -> list[Trade]:
        """What nobody waits for: slices that lie idle go back, those that run low are refilled."""
        busy = {waiter.of_key.key for waiter in waiting}
        low_requests, self._low_requests = self._low_requests, set()
        trades = []
        for one in self._slices.in_use():
            if one.key in busy:
                continue
            sides = [side for side in (False, True) if (one.key, side) in low and one.runs_low(side)]
            refills = [one.more(side) for side in sides]
            if one.key in low_requests and one.runs_low_on_requests():
                refills.append(one.more_requests(now))
            trades += refills or one.surplus(now)
        return trades

    async def _trade(self, back: list[Trade], waiting: list[_Waiter], now: float) -> None:
        asks = self._asks(waiting, now)
        trades = [*back, *asks]
        try:
            got = await self._exchange(trades)
        except Exception as problem:
            for trade in trades:
                of_key = self._slices.find(trade.key)
                of_key.unsure = True
                self._slices.use(of_key)
            self._failed(problem, waiting)
            return
        none_until = self._monotonic() + REFUSED_S
        for trade, slice_ in zip(trades, got, strict=True):
            of_key = self._slices.find(trade.key)
            of_key.add(trade, slice_, now, none_until)
            of_key.unsure = False
            self._slices.use(of_key)
        self._seen_at = now
        if self.problem is not None:
            self.problem = None
            _log.warning("limits can be asked for again")
        # Taken here, not when the waiter runs again: by then others are counted who came meanwhile.
        for waiter in waiting:
            if waiter.answered.done():
                waiter.of_key.keep(self._monotonic() + COME_BACK_S)
                continue
            result = self._at_once(waiter.of_key, waiter.worst_case, waiter.simulated, waiter.further)
            if isinstance(result, Shortage) and not waiter.of_key.knows_of_none(
                result, waiter.simulated, self._monotonic()
            ):
                self._waiting.append(waiter)  # somebody was quicker, and there may be more
                self._wanted.set()
            else:
                waiter.answered.set_result(result)

    def _asks(self, waiting: Sequence[_Waiter], now: float) -> list[Trade]:
        """One trade for each key and side; the first of a key asks for permits and requests for both."""
        groups: dict[str, list[_Waiter]] = {}
        for waiter in waiting:
            groups.setdefault(waiter.of_key.key, []).append(waiter)
        trades = []
        for group in groups.values():
            of_key, first = group[0].of_key, True
            for simulated in {waiter.simulated: None for waiter in group}:
                costs = [waiter.worst_case for waiter in group if waiter.simulated == simulated]
                count = len(group) if first else len(costs)
                further = sum(waiter.further for waiter in group)
                trades.append(
                    of_key.ask(
                        count, min(costs), sum(costs), simulated, now, only_money=not first, further=further
                    )
                )
                first = False
        return trades

    def _failed(self, problem: Exception, waiting: Sequence[_Waiter]) -> None:
        self._away_until = self._monotonic() + AWAY_PAUSE_S
        if self.problem is None:
            _log.warning(
                "limits cannot be asked for: %s; keys with limits go on until their slices are used up",
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
        back = [trade for one in self._slices.in_use() for trade in one.surplus(now, at_once=True)]
        if back:
            try:
                await self._exchange(back)
            except StoreError as problem:
                _log.warning("slices of limits could not be given back: %s", problem)


def _answer(waiter: _Waiter) -> Shortage | Taken | None:
    """What an exchange has found for it, if one has."""
    answered = waiter.answered
    if not answered.done() or answered.cancelled() or answered.exception() is not None:
        return None
    return answered.result()


def _first_keys(waiting: list[_Waiter]) -> tuple[list[_Waiter], list[_Waiter]]:
    """Those who wait for one of the first keys, and the rest, who wait for the next exchange."""
    if len(waiting) <= KEYS_AT_ONCE:
        return waiting, []
    keys: set[str] = set()
    for waiter in waiting:
        if len(keys) == KEYS_AT_ONCE:
            break
        keys.add(waiter.of_key.key)
    first = [waiter for waiter in waiting if waiter.of_key.key in keys]
    return first, [waiter for waiter in waiting if waiter.of_key.key not in keys]


def _away(of_key: KeySlice) -> Unavailable:
    return Unavailable(
        f"the slice of key {of_key.key!r}'s limits is used up, and the store did not give another in time; try again",
        RETRY_S,
    )


def _usd(nanousd: int | None) -> str:
    return f"${(nanousd or 0) / 1e9:.6f}".rstrip("0").rstrip(".")
