"""What this process holds of each account's limits, in memory.

What it is not: a thread or a database; `Dealer` fetches and returns slices. One event loop owns it, without locks.
Invariants: what is taken was granted before: calls in flight <= permits, requests made <= requests granted and not yet
forfeited, what is held and settled <= what was granted (beyond it only what a call came to over its own hold); of one
account there is one slice in a process, for as long as anybody may be counted on it.
"""

import heapq
import weakref

import msgspec

from trimtab.records import Budget
from trimtab.store.limits import AHEAD_PART, RATE_GRANT_S, Caps, Slice, Trade

MOST_AHEAD = 64
"""Requests or calls for which a slice is fetched ahead. Source: reference measurements; a slice of 64 made a shared
limit about 40 times as fast as a transaction for each call."""

MOST_SURE_S = 1.0
"""When the database says that the next request of a minute is some time off, that holds at most for so long: others may
give back what they were granted."""

QUICK_S = 0.3
MOST_AHEAD_QUICK = 4096
"""An account of which what was fetched is used up within this time fetches twice as much the next time, up to that for
so many calls. Slices of 64 gave a key that made 2,000 requests a second 30 exchanges a second, each of which all of its
callers waited for: on a loaded machine 1 % of its requests came to 50 ms and were told 503. With a budget in requests,
one request in four of 5,000 a second waited for one of 80 exchanges, which took a fifth of the processor's time."""

LOW_PART = 4
"""A slice of an amount is refilled when a quarter of it is left, and one of requests where whole ones are used up. A
refill waits for the disk: when slices were refilled only once they were empty, it took longer than a request may wait
in 2 % of cases on a loaded machine."""

IDLE_S = 0.4
"""What was not needed for so long goes back: soon enough that others reach their limit within a second, and late enough
that a key with a few requests a second seldom waits for an exchange (with 0.1 s one in three at 10 a second did)."""

LOOK_EVERY_S = 0.1
"""How often it is looked for."""

ACCOUNTS_MAX = 10_000
"""Accounts that are remembered while nothing of them is here, 4 KB each. Where each tag has a budget callers make as
many as they like: a million took 4 GB."""


class Shortage(msgspec.Struct, frozen=True):
    """What is missing for one more request."""

    permits: bool = False
    requests: bool = False
    amount: int = 0
    """What the slice lacks, in the account's unit."""


class Pace:
    """For how many calls to fetch ahead, by how long the last slice did."""

    __slots__ = ("_asked_at", "ahead")

    def __init__(self) -> None:
        self.ahead = MOST_AHEAD
        self._asked_at = -RATE_GRANT_S

    def adapt(self, now: float) -> float:
        """A slice is asked for; the seconds since one was."""
        lasted_s = now - self._asked_at
        if lasted_s < QUICK_S:
            self.ahead = min(2 * self.ahead, MOST_AHEAD_QUICK)
        elif lasted_s > RATE_GRANT_S:
            self.ahead = max(self.ahead // 2, MOST_AHEAD)
        self._asked_at = now
        return lasted_s


class AccountSlice:
    """The slices of one account: a key's own limits, or a budget in one period."""

    def __init__(
        self,
        account: str,
        caps: Caps,
        budget: Budget | None = None,
        ends_ms: int | None = None,
        *,
        known: bool = True,
    ) -> None:
        self.account = account
        self.keep_to(caps, budget)
        self.ends_ms = ends_ms
        """Unix milliseconds in which its period is over, if it ever is."""
        self.waiting = 0
        """Requests that wait for an exchange about it."""
        self.is_used = False
        """Whether it is among `Slices.in_use`."""
        self.in_flight = 0
        self.permits = 0
        self._over = 0
        """How many more the database counts than may be used: calls that went on when their permits were lost."""
        self.requests = 0
        self.slot = 0
        """The second that `requests` were granted in, by the database's clock."""
        self._requests_until = 0.0
        self._spare = (0, 0, 0.0)
        """Requests that were fetched before the others were used up, their slot, and until when they may be made."""
        self._pace = Pace()
        """Of its requests a minute."""
        self.is_busy = False
        """Whether the last slice of requests was used up before its time was over."""
        self.balance = {False: 0, True: 0}
        self._granted = {False: 0, True: 0}
        self._known = {False: known, True: known}
        """Whether `_granted` is so; not where this process had slices of it before and forgot them."""
        self._last_grant = {False: 0, True: 0}
        self._paces = {False: Pace(), True: Pace()}
        """Of its amount."""
        self._used_at = 0.0
        self.unsure = False
        """Whether the last trade's answer was lost, so that the database may think that more or less is here."""
        self.unspent: dict[bool, int | None] = {False: None, True: None}
        """What was not spent of the account when it was last asked for."""
        self.rate_retry_s = 1
        """Seconds until there may be another request, as last told."""
        self._no_permits_until = self._no_requests_until = 0.0
        """Until then the answer holds that there are none."""
        self._no_balance = {False: (0, 0.0), True: (0, 0.0)}
        """What was asked for and not had, and until when that holds."""
        self._too_little = {False: False, True: False}
        """Whether there was no more when the balance here did not do for anybody who waited."""
        self._low = {False: 0, True: 0}
        """A balance below this is to be refilled."""

    def keep_to(self, caps: Caps, budget: Budget | None) -> None:
        """Its limits from now on, and the budget whose limit it is; `None` for those that a key carries."""
        self.caps, self.budget = caps, budget
        self._is_plain = (
            caps.concurrency is None and caps.requests_per_minute is None and caps.total is not None
        )

    def lacks(self, amount: int, simulated: bool, now: float, further: bool = False) -> bool:
        """Whether anything is missing for one more request, or a further call of one. About 0.1 us where it is about an
        amount only."""
        if self._is_plain:
            return amount > self.balance[simulated] and amount > 0
        return self.shortage(amount, simulated, now, further) is not None

    def take(self, amount: int, simulated: bool, now: float, further: bool = False) -> bool:
        """Use one request, unless this is a further call of one, one permit and the amount. Only where it `lacks`
        nothing. Whether it is time to fetch more of the amount."""
        self.in_flight += 1
        self._used_at = now
        if not further and self.caps.requests_per_minute is not None:
            self.requests -= 1
        balance = self.balance
        balance[simulated] = rest = balance[simulated] - amount
        return rest < self._low[simulated] and amount != 0

    def settle(self, rest: int, simulated: bool, now: float) -> None:
        """A call has ended: its permit is free, and so is what it did not cost, which is negative where it cost more
        than was held."""
        self.in_flight -= 1
        self._used_at = now
        self.balance[simulated] += rest

    def shortage(
        self, worst_case: int, simulated: bool, now: float, further: bool = False
    ) -> Shortage | None:
        """What exactly one more request lacks; `None` when it can go."""
        caps = self.caps
        permits = caps.concurrency is not None and self.in_flight >= self.permits
        requests = not further and caps.requests_per_minute is not None and not self._has_requests(now)
        amount = 0
        if worst_case > 0 and caps.total is not None and worst_case > (balance := self.balance[simulated]):
            amount = worst_case - balance
        if permits or requests or amount:
            return Shortage(permits, requests, amount)
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
            all_here = not self.unsure and self.permits >= (self.caps.concurrency or 0)
            if all_here or now < self._no_permits_until:
                return True
        if short.requests and now < self._no_requests_until:
            return True
        refused, until = self._no_balance[simulated]
        return short.amount >= refused and short.amount > 0 and now < until

    def untake(self, amount: int, simulated: bool, slot: int | None, now: float) -> None:
        """A request that was taken, in a slot where it took a request of the minute, is not made after all."""
        self.settle(amount, simulated, now)
        if self.caps.requests_per_minute is not None and slot == self.slot:
            self.requests += 1  # of another grant it is forfeited: it would count in the wrong second

    @property
    def idle(self) -> bool:
        """Whether nothing is held here that could be given back."""
        permits = self.in_flight or self.permits or self._over
        held = permits or self.requests or self._spare[0] or self.unsure or self.waiting
        return not held and self.balance[False] <= 0 and self.balance[True] <= 0

    def keep(self, until: float) -> None:
        """Hold on to what is here: somebody was sent away to come back for it."""
        self._used_at = max(self._used_at, until - IDLE_S)

    def runs_low(self, simulated: bool) -> bool:
        """Whether it is time to fetch more of the amount, so that nobody has to wait for it."""
        return self.balance[simulated] < self._low[simulated]

    def runs_low_on_requests(self) -> bool:
        """Whether it is time to fetch more requests, as those accounts do that are busy."""
        if self._spare[0]:
            return False
        most = self._most_requests()
        return most >= MOST_AHEAD and self.requests < most // LOW_PART

    def _most_requests(self) -> int:
        return min(self._pace.ahead, (self.caps.requests_per_minute or 0) // AHEAD_PART)

    def _adapt(self, now: float) -> None:
        self.is_busy = self._pace.adapt(now) < RATE_GRANT_S

    def more_requests(self, now: float) -> Trade:
        """Requests for later, beside those that are here."""
        self._adapt(now)
        return Trade(account=self.account, caps=self.caps, rate_wanted=self._most_requests())

    def more(self, simulated: bool, now: float) -> Trade:
        """As much as the last time, by how long that did, or what there is."""
        pace = self._paces[simulated]
        before = pace.ahead
        pace.adapt(now)
        return Trade(
            account=self.account,
            caps=self.caps,
            simulated=simulated,
            amount_kept=self._granted[simulated],
            amount_needed=1,
            amount_ahead=self._last_grant[simulated] * pace.ahead // before,
        )

    def lapse(self) -> None:
        """Nobody heard of this process for so long that others may have its permits: only calls in flight keep one."""
        if self.caps.concurrency is not None:
            self.permits = self.in_flight
            self.unsure = True

    def refund(self, amount: int, simulated: bool) -> None:
        """What a call that goes on does not hold here any more; negative where it holds more."""
        self.balance[simulated] += amount

    def ask(
        self,
        waiting: int,
        least: int,
        total: int,
        simulated: bool,
        now: float,
        *,
        only_amount: bool,
        further: int = 0,
    ) -> Trade:
        """What to fetch for `waiting` more calls, of which `further` are no new requests; `least` and `total` are the
        smallest and the sum of their worst cases. `only_amount` leaves the rest to another trade of the same exchange.
        """
        caps = self.caps
        permits = requests = back = needed = wanted = ahead_amount = 0
        if caps.concurrency is not None and not only_amount:
            ahead = min(MOST_AHEAD, caps.concurrency // AHEAD_PART)
            permits = max(0, waiting + ahead - (self.permits - self.in_flight))
        new = waiting - further
        enough = not new or (self.requests >= new and now < self._requests_until)
        if caps.requests_per_minute is not None and not only_amount and not enough:
            self._adapt(now)
            back, self.requests = self.requests, 0  # what is left over is granted anew
            requests = new + self._most_requests()
        balance = self.balance[simulated]
        if self._too_little[simulated] and 0 < balance < least:
            # Near the cap several processes may each hold too little for one call, and together enough.
            self.balance[simulated] -= balance
            self._granted[simulated] -= balance
            balance = 0
        if caps.total is not None and total > balance:
            needed = max(1, least - balance)
            wanted = max(needed, total - balance)
            pace = self._paces[simulated]
            pace.adapt(now)
            ahead_amount = total * pace.ahead // waiting - balance
        return Trade(
            account=self.account,
            caps=caps,
            permits_kept=max(self.permits, self.in_flight)
            if permits or (self.unsure and not only_amount)
            else None,
            permits_wanted=permits,
            rate_back=back,
            rate_back_slot=self.slot,
            rate_wanted=requests,
            simulated=simulated,
            amount_kept=self._granted[simulated]
            if needed or (self.unsure and self._known[simulated])
            else None,
            amount_unknown=needed > 0 and not self._known[simulated],
            amount_needed=needed,
            amount_wanted=wanted,
            amount_ahead=ahead_amount,
        )

    def surplus(self, now: float, *, at_once: bool = False) -> list[Trade]:
        """What has lain idle and goes back; it is out of the slice at once. Empty when there is nothing."""
        idle = at_once or now - self._used_at >= IDLE_S
        limit = self.caps.concurrency
        said, kept = self.permits + self._over, 0 if limit is None else self.in_flight
        too_many = said > kept and (limit is None or self._over > 0 or said > limit)
        if not idle and not self.unsure and not too_many:
            return []
        self.permits = min(self.permits, kept)
        self._over = kept - self.permits
        gives_permits = kept != said
        back = self.requests if at_once or now >= self._requests_until else 0
        self.requests -= back
        trades: list[Trade] = []
        for simulated in (False, True):
            amount = max(0, self.balance[simulated])
            self.balance[simulated] -= amount
            self._granted[simulated] -= amount
            if gives_permits or back or amount or self.unsure:
                trades.append(
                    Trade(
                        account=self.account,
                        caps=self.caps,
                        permits_kept=kept if gives_permits or self.unsure else None,
                        permits_wanted=int(self.unsure and not at_once and kept > 0 and not trades),
                        rate_back=back,
                        rate_back_slot=self.slot,
                        simulated=simulated,
                        amount_kept=self._granted[simulated]
                        if amount or (self.unsure and self._known[simulated])
                        else None,
                    )
                )
                gives_permits, back = False, 0
        spare, slot, until = self._spare
        if spare and (at_once or now >= until):
            self._spare = (0, 0, 0.0)
            trades.append(Trade(account=self.account, caps=self.caps, rate_back=spare, rate_back_slot=slot))
        return trades

    def add(self, trade: Trade, got: Slice, asked_at: float, none_until: float) -> None:
        """Take in what was granted. `asked_at` is when the asking began; `none_until` is how long a refusal holds."""
        if trade.permits_kept is not None and trade.permits_wanted:
            self.permits = max(0, trade.permits_kept + got.permits)
            self._over = max(0, trade.permits_kept - self.permits)
        if got.amount_kept is not None:
            self._granted[trade.simulated] = got.amount_kept
            self._known[trade.simulated] = True
        self.balance[trade.simulated] += got.amount
        self._granted[trade.simulated] += got.amount
        if trade.amount_needed:
            self._last_grant[trade.simulated] = got.amount
            self._low[trade.simulated] = got.amount // LOW_PART
        if got.requests:
            granted = (got.requests, got.slot, asked_at + RATE_GRANT_S)
            if self.requests > 0 and asked_at < self._requests_until:
                self._spare = granted
            else:
                self.requests, self.slot, self._requests_until = granted
            self.rate_retry_s = 1
        elif trade.rate_wanted:
            self.rate_retry_s = got.rate_retry_s
        if trade.permits_wanted and got.permits <= 0:
            self._no_permits_until = none_until
        if trade.rate_wanted and not got.requests:
            sure_s = min(MOST_SURE_S, got.rate_retry_s - 1)
            self._no_requests_until = max(none_until, asked_at + sure_s)
        if trade.amount_needed:
            self._too_little[trade.simulated] = not got.amount
            if not got.amount:
                self._no_balance[trade.simulated] = (trade.amount_needed, none_until)
        if got.unspent is not None:
            self.unspent[trade.simulated] = got.unspent


class Slices:
    """The slices of all accounts with limits."""

    def __init__(self) -> None:
        self._accounts: dict[str, AccountSlice] = {}
        """All that may be used here again."""
        self._let_go: weakref.WeakValueDictionary[str, AccountSlice] = weakref.WeakValueDictionary()
        """Those that were too many, while a purse or a request under way has them still: there is one of an account."""
        self._most = ACCOUNTS_MAX
        self._ending: list[tuple[int, str]] = []
        """A heap of those whose period ends, by when."""
        self._in_use: dict[str, AccountSlice] = {}
        self._forgotten_ms = 0
        """Of periods that were over by then some may be forgotten."""
        self._lets_go = False
        """Whether any others may be."""

    def of(
        self, account: str, caps: Caps, budget: Budget | None = None, ends_ms: int | None = None
    ) -> AccountSlice:
        """The slices of an account, with its limits as they are now."""
        found = self._accounts.get(account)
        if found is None and (found := self._let_go.get(account)) is not None:
            self._accounts[account] = found
            if ends_ms is not None:
                heapq.heappush(self._ending, (ends_ms, account))
        if found is None:
            if len(self._accounts) >= self._most:
                self._let_idle_go()
            known = not self._lets_go and (ends_ms is None or ends_ms >= self._forgotten_ms)
            found = self._accounts[account] = AccountSlice(account, caps, budget, ends_ms, known=known)
            if ends_ms is not None:
                heapq.heappush(self._ending, (ends_ms, account))
        else:
            found.keep_to(caps, budget)
        return found

    def _let_idle_go(self) -> None:
        """What was granted on them the database knows; what was spent beyond it is not there yet, so those stay."""
        self._lets_go = True
        for account, one in list(self._accounts.items()):
            if one.idle and not one.balance[False] and not one.balance[True]:
                self._let_go[account] = self._accounts.pop(account)
        self._most = max(ACCOUNTS_MAX, 2 * len(self._accounts))
        self._ending = [one for one in self._ending if one[1] in self._accounts]
        heapq.heapify(self._ending)

    def use(self, one: AccountSlice) -> None:
        """Something of it is held from now on."""
        one.is_used = True
        self._in_use[one.account] = one

    def in_use(self) -> list[AccountSlice]:
        """Every account of which something is held. Cost: by these, not by all that were ever used."""
        for account in [account for account, one in self._in_use.items() if one.idle]:
            self._in_use.pop(account).is_used = False
        return list(self._in_use.values())

    def forget_ended(self, before_ms: int) -> None:
        """Let go of accounts whose period was over by then. Nobody is counted on them any more, unless the clock is set
        back."""
        self._forgotten_ms = max(self._forgotten_ms, before_ms)
        ending = self._ending
        kept = []
        while ending and ending[0][0] < before_ms:
            ended = heapq.heappop(ending)
            if ended[1] not in self._accounts:
                continue
            if self._accounts[ended[1]].idle:
                del self._accounts[ended[1]]
            else:  # a long call is under way
                kept.append(ended)
        for ended in kept:
            heapq.heappush(ending, ended)
