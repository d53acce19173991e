"""What this process holds of each key's limits, in memory.

What it is not: a thread or a database; `Dealer` fetches and returns slices. One event loop owns it, without locks.
Invariant: what is taken was granted before: calls in flight <= permits, requests made <= requests granted and not yet
forfeited, money held and settled <= money granted (beyond it only what a call cost over its own hold).
"""

import msgspec

from trimtab.records import Caller, Limits
from trimtab.store.limits import AHEAD_PART, RATE_GRANT_S, Slice, Trade

MOST_AHEAD = 64
"""Requests or calls for which a slice is fetched ahead. Source: reference measurements; a slice of 64 made a shared
limit about 40 times as fast as a transaction for each call."""

MOST_SURE_S = 1.0
"""When the database says that the next request of a minute is some time off, that holds at most for so long: others may
give back what they were granted."""

QUICK_S = 0.3
MOST_AHEAD_QUICK = 4096
"""A key that used up what it had fetched within this time fetches twice as much the next time, up to so many. Slices of
64 gave a key that made 2,000 requests a second 30 exchanges a second, each of which all of its callers waited for: on a
loaded machine 1 % of its requests came to 50 ms and were told 503."""

LOW_PART = 4
"""A slice of money is refilled when a quarter of it is left, and one of requests where the key uses up whole ones. A
refill waits for the disk: when slices were refilled only once they were empty, it took longer than a request may wait
in 2 % of cases on a loaded machine."""

IDLE_S = 0.4
"""What was not needed for so long goes back: soon enough that others reach their limit within a second, and late enough
that a key with a few requests a second seldom waits for an exchange (with 0.1 s one in three at 10 a second did)."""

LOOK_EVERY_S = 0.1
"""How often it is looked for."""


class Shortage(msgspec.Struct, frozen=True):
    """What is missing for one more request."""

    permits: bool = False
    requests: bool = False
    money: int = 0
    """Nano-dollars that the slice lacks."""


class KeySlice:
    """The slices of one key."""

    def __init__(self, key: str, limits: Limits) -> None:
        self.key = key
        self.limits = limits
        self.in_flight = 0
        self.permits = 0
        self.requests = 0
        self.slot = 0
        """The second that `requests` were granted in, by the database's clock."""
        self._requests_until = 0.0
        self._spare = (0, 0, 0.0)
        """Requests that were fetched before the others were used up, their slot, and until when they may be made."""
        self._ahead = MOST_AHEAD
        self._asked_at = -RATE_GRANT_S
        self._busy = False
        """Whether the last slice of requests was used up before its time was over."""
        self.money = {False: 0, True: 0}
        self._granted = {False: 0, True: 0}
        self._last_grant = {False: 0, True: 0}
        self._used_at = 0.0
        self.unsure = False
        """Whether the last trade's answer was lost, so that the database may think that more or less is here."""
        self.unspent: dict[bool, int | None] = {False: None, True: None}
        """Money that the key had not spent when it was last asked for."""
        self.rate_retry_s = 1
        """Seconds until there may be another request, as last told."""
        self._no_permits_until = self._no_requests_until = 0.0
        """Until then the answer holds that there are none."""
        self._no_money = {False: (0, 0.0), True: (0, 0.0)}
        """What was asked for and not had, and until when that holds."""
        self._too_little = {False: False, True: False}
        """Whether there was no more when the money here did not do for anybody who waited."""

    def shortage(
        self, worst_case: int, simulated: bool, now: float, further: bool = False
    ) -> Shortage | None:
        """What one more request lacks, or a further call of one; `None` when it can go."""
        limits = self.limits
        permits = limits.concurrency is not None and self.in_flight >= self.permits
        requests = not further and limits.requests_per_minute is not None and not self._has_requests(now)
        money = 0
        if limits.total_nanousd is not None and worst_case > 0:
            money = max(0, worst_case - self.money[simulated])
        if permits or requests or money:
            return Shortage(permits, requests, money)
        return None

    def _has_requests(self, now: float) -> bool:
        """Whether there is one to make, of the spare ones if need be. What is too late is forfeited."""
        if self._spare[0] and (self.requests <= 0 or now >= self._requests_until):
            self.requests, self.slot, self._requests_until = self._spare
            self._spare = (0, 0, 0.0)
        return self.requests > 0 and now < self._requests_until

    def knows_of_none(self, short: Shortage, simulated: bool, now: float) -> bool:
        """Whether asking for what is missing is in vain: all permits are here, or just now there was nothing."""
        if short.permits:
            all_here = not self.unsure and self.permits >= (self.limits.concurrency or 0)
            if all_here or now < self._no_permits_until:
                return True
        if short.requests and now < self._no_requests_until:
            return True
        refused, until = self._no_money[simulated]
        return short.money >= refused and short.money > 0 and now < until

    def take(self, worst_case: int, simulated: bool, now: float, further: bool = False) -> bool:
        """Use one request, unless this is a further call of one, one permit and the money; whether money was taken.
        Only after `shortage` gave `None`."""
        self.in_flight += 1
        self._used_at = now
        if self.limits.requests_per_minute is not None and not further:
            self.requests -= 1
        if self.limits.total_nanousd is None:
            return False
        self.money[simulated] -= worst_case
        return True

    def untake(self, slot: int | None, now: float) -> None:
        """A request that was taken, in a slot where it took a request of the minute, is not made after all. The money
        is `refund`ed apart from this."""
        self.end(now)
        if self.limits.requests_per_minute is not None and slot == self.slot:
            self.requests += 1  # of another grant it is forfeited: it would count in the wrong second

    @property
    def idle(self) -> bool:
        """Whether nothing is held here that could be given back."""
        held = self.in_flight or self.permits or self.requests or self._spare[0] or self.unsure
        return not held and self.money[False] <= 0 and self.money[True] <= 0

    def keep(self, until: float) -> None:
        """Hold on to what is here: somebody was sent away to come back for it."""
        self._used_at = max(self._used_at, until - IDLE_S)

    def runs_low(self, simulated: bool) -> bool:
        """Whether it is time to fetch more money, so that nobody has to wait for it."""
        return self.money[simulated] < self._last_grant[simulated] // LOW_PART

    def runs_low_on_requests(self) -> bool:
        """Whether it is time to fetch more requests, as keys do that use up whole slices of them."""
        if not self._busy or self._spare[0]:
            return False
        most = self._most_requests()
        return most >= MOST_AHEAD and self.requests < most // LOW_PART

    def _most_requests(self) -> int:
        return min(self._ahead, (self.limits.requests_per_minute or 0) // AHEAD_PART)

    def _adapt(self, now: float) -> None:
        """How far to fetch ahead, by how long the last slice did."""
        lasted_s = now - self._asked_at
        if lasted_s < QUICK_S:
            self._ahead = min(2 * self._ahead, MOST_AHEAD_QUICK)
        elif lasted_s > RATE_GRANT_S:
            self._ahead = max(self._ahead // 2, MOST_AHEAD)
        self._busy = lasted_s < RATE_GRANT_S
        self._asked_at = now

    def more_requests(self, now: float) -> Trade:
        """Requests for later, beside those that are here."""
        self._adapt(now)
        return Trade(key=self.key, limits=self.limits, rate_wanted=self._most_requests())

    def more(self, simulated: bool) -> Trade:
        """As much money as the last time, or what there is."""
        return Trade(
            key=self.key,
            limits=self.limits,
            simulated=simulated,
            money_kept=self._granted[simulated],
            money_needed=1,
            money_ahead=self._last_grant[simulated],
        )

    def end(self, now: float) -> None:
        """A call has ended: its permit is free."""
        self.in_flight -= 1
        self._used_at = now

    def refund(self, amount: int, simulated: bool) -> None:
        """What a call did not cost; negative where it cost more than was held."""
        self.money[simulated] += amount

    def ask(
        self,
        waiting: int,
        least: int,
        total: int,
        simulated: bool,
        now: float,
        *,
        only_money: bool,
        further: int = 0,
    ) -> Trade:
        """What to fetch for `waiting` more calls, of which `further` are no new requests; `least` and `total` are the
        smallest and the sum of their worst cases. `only_money` leaves the rest to another trade of the same exchange.
        """
        limits = self.limits
        permits = requests = back = needed = wanted = ahead_money = 0
        if limits.concurrency is not None and not only_money:
            ahead = min(MOST_AHEAD, limits.concurrency // AHEAD_PART)
            permits = max(0, waiting + ahead - (self.permits - self.in_flight))
        new = waiting - further
        enough = not new or (self.requests >= new and now < self._requests_until)
        if limits.requests_per_minute is not None and not only_money and not enough:
            self._adapt(now)
            back, self.requests = self.requests, 0  # what is left over is granted anew
            requests = new + self._most_requests()
        balance = self.money[simulated]
        if self._too_little[simulated] and 0 < balance < least:
            # Near the cap several processes may each hold too little for one call, and together enough.
            self.money[simulated] -= balance
            self._granted[simulated] -= balance
            balance = 0
        if limits.total_nanousd is not None and total > balance:
            needed = max(1, least - balance)
            wanted = max(needed, total - balance)
            ahead_money = total * self._ahead // waiting - balance
        return Trade(
            key=self.key,
            limits=limits,
            permits_kept=self.permits if permits or (self.unsure and not only_money) else None,
            permits_wanted=permits,
            rate_back=back,
            rate_back_slot=self.slot,
            rate_wanted=requests,
            simulated=simulated,
            money_kept=self._granted[simulated] if needed or self.unsure else None,
            money_needed=needed,
            money_wanted=wanted,
            money_ahead=ahead_money,
        )

    def surplus(self, now: float, *, at_once: bool = False) -> list[Trade]:
        """What has lain idle and goes back; it is out of the slice at once. Empty when there is nothing."""
        idle = at_once or now - self._used_at >= IDLE_S
        limit = self.limits.concurrency
        if not idle and not self.unsure and (limit is None or self.permits <= max(limit, self.in_flight)):
            return []
        kept = min(self.permits, self.in_flight)
        gives_permits, self.permits = kept != self.permits, kept
        back = self.requests if at_once or now >= self._requests_until else 0
        self.requests -= back
        trades = []
        for simulated in (False, True):
            money = max(0, self.money[simulated])
            self.money[simulated] -= money
            self._granted[simulated] -= money
            if gives_permits or back or money or self.unsure:
                trades.append(
                    Trade(
                        key=self.key,
                        limits=self.limits,
                        permits_kept=kept if gives_permits or self.unsure else None,
                        rate_back=back,
                        rate_back_slot=self.slot,
                        simulated=simulated,
                        money_kept=self._granted[simulated] if money or self.unsure else None,
                    )
                )
                gives_permits, back = False, 0
        spare, slot, until = self._spare
        if spare and (at_once or now >= until):
            self._spare = (0, 0, 0.0)
            trades.append(Trade(key=self.key, limits=self.limits, rate_back=spare, rate_back_slot=slot))
        return trades

    def add(self, trade: Trade, got: Slice, asked_at: float, none_until: float) -> None:
        """Take in what was granted. `asked_at` is when the asking began; `none_until` is how long a refusal holds."""
        self.permits += got.permits
        self.money[trade.simulated] += got.money
        self._granted[trade.simulated] += got.money
        if trade.money_needed:
            self._last_grant[trade.simulated] = got.money
        if got.requests:
            granted = (got.requests, got.slot, asked_at + RATE_GRANT_S)
            if self.requests > 0 and asked_at < self._requests_until:
                self._spare = granted
            else:
                self.requests, self.slot, self._requests_until = granted
            self.rate_retry_s = 1
        elif trade.rate_wanted:
            self.rate_retry_s = got.rate_retry_s
        if trade.permits_wanted and not got.permits:
            self._no_permits_until = none_until
        if trade.rate_wanted and not got.requests:
            sure_s = min(MOST_SURE_S, got.rate_retry_s - 1)
            self._no_requests_until = max(none_until, asked_at + sure_s)
        if trade.money_needed:
            self._too_little[trade.simulated] = not got.money
            if not got.money:
                self._no_money[trade.simulated] = (trade.money_needed, none_until)
        if got.unspent is not None:
            self.unspent[trade.simulated] = got.unspent


class Slices:
    """The slices of all keys with limits."""

    def __init__(self) -> None:
        self._keys: dict[str, KeySlice] = {}
        """All that were ever used here; some hundred bytes each."""
        self._in_use: dict[str, KeySlice] = {}

    def of(self, caller: Caller) -> KeySlice:
        """The slices of a caller's key, with its limits as they are now."""
        found = self._keys.get(caller.key)
        if found is None:
            found = self._keys[caller.key] = KeySlice(caller.key, caller.limits)
        elif found.limits is not caller.limits:
            found.limits = caller.limits
        return found

    def find(self, key: str) -> KeySlice:
        """The slices of a key that was used here before."""
        return self._keys[key]

    def use(self, of_key: KeySlice) -> None:
        """Something of it is held from now on."""
        self._in_use[of_key.key] = of_key

    def in_use(self) -> list[KeySlice]:
        """Every key of which something is held. Cost: by these, not by all that were ever used."""
        for key in [key for key, one in self._in_use.items() if one.idle]:
            del self._in_use[key]
        return list(self._in_use.values())
