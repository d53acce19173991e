"""What is in flight and spent in this process, and the one way to get leave for a call.

Every call reserves its worst case before it goes out and settles what it came to after, on each account that it is
counted on: its key's own limits, and the budgets of its organisation, team, key, user and tags. Where a budget says so,
what is expected is reserved on it instead. Money is in integer nano-dollars. Simulated use is kept apart. One event
loop owns a ledger, so no step needs a lock.

Invariants: a request is counted in the periods in which it was admitted, however long it takes and however many calls
it makes; a call is held on all of its accounts or on none; each slice gets back exactly what was taken of it, less what
the call came to; what nobody knows of a call counts at its worst case, whatever was held.
"""

from collections.abc import Callable

import msgspec

from trimtab.budgets.book import Book
from trimtab.budgets.dealer import Dealer
from trimtab.budgets.purse import (
    NO_AMOUNTS,
    REQUESTS,
    Amounts,
    Drawn,
    Expect,
    Purse,
    holds_expected,
    purse_of,
    with_expected,
)
from trimtab.budgets.slices import AccountSlice
from trimtab.catalogue import NanoUSD
from trimtab.records import NOBODY, Budget, Caller, Draw

LATE_MS = 120_000
"""A request that is admitted longer than this after it arrived is counted in the periods of that moment: slices of
periods that are over are forgotten then."""

SET_BACK_S = 5.0
"""When requests have come from before that for so long, the wall clock was set back: periods of then go on, with what
was counted in them. Without it a clock that was a day ahead for a moment held a team in one minute for a day."""

PURSES_MAX = 10_000
"""Kinds of callers that are remembered, some KB each at the most. Tags are up to callers, so all are forgotten then."""

_Kind = tuple[str, str, str, str, tuple[str, ...] | None]
"""Key, organisation, team, user, tags; `None` for tags: not counted on budgets."""


class Use(msgspec.Struct, frozen=True, gc=False):
    """What budgets count a call by, at the most."""

    at_ms: int = 0
    """When its request arrived, Unix milliseconds."""
    tags: tuple[str, ...] = ()
    input_tokens: int = 0
    """Cache reads and writes included."""
    output_tokens: int = 0
    counted: bool = True
    """Whether it is counted on budgets at all, and not on its key's own limits only."""


UNUSED = Use()
"""Of a call for which only its cost matters."""


class Hold:
    """Leave for one call; settles exactly once."""

    __slots__ = ("amount", "amounts", "drawn", "open", "purse", "simulated", "takes_money")

    def __init__(
        self,
        amount: NanoUSD,
        simulated: bool,
        purse: Purse | None = None,
        amounts: Amounts = NO_AMOUNTS,
        drawn: Drawn | None = None,
    ) -> None:
        self.amount = amount
        self.simulated = simulated
        self.purse = purse
        """What it was taken from; `None` for a caller without limits or budgets."""
        self.amounts = amounts
        """The worst case by meter, where there is a purse; and what is expected, where that is held."""
        self.drawn = drawn
        """What all calls of the request come to, where there are budgets."""
        self.takes_money = purse is not None and purse.takes_money
        """Whether the key's own money is limited."""
        self.open = True

    @property
    def is_limited(self) -> bool:
        """Whether it was taken out of a slice of something that is spent: such a call must not be forgotten."""
        return self.purse is not None and self.purse.spends

    @property
    def accounts(self) -> tuple[str, ...]:
        """Those of budgets that it is counted on."""
        return () if self.purse is None else self.purse.accounts

    @property
    def draws(self) -> tuple[Draw, ...]:
        """The worst case, or what came of it, on each account, for all calls of the request so far."""
        return () if self.drawn is None else self.drawn.draws()


class _Counting:
    """What requests are counted on, exchanged as a whole."""

    __slots__ = ("book", "purses")

    def __init__(self, book: Book | None) -> None:
        self.book = book
        self.purses: dict[_Kind, Purse] = {}


class Ledger:
    """Held and spent totals, real and simulated, the limits of keys, and budgets."""

    def __init__(self, dealer: Dealer | None = None, monotonic: Callable[[], float] = lambda: 0.0) -> None:
        """Without a dealer only callers without limits can be served."""
        self._dealer = dealer
        self._monotonic = monotonic
        self._held = {False: 0, True: 0}
        self._spent = {False: 0, True: 0}
        self.has_budgets = False
        """Whether there are budgets at all."""
        self.holds_expected = False
        """Whether any of them holds what is expected: only then is `expect` of use."""
        self._counting = _Counting(None)
        self._latest_ms = 0
        self._behind_since: float | None = None
        """Since when requests arrive in periods before those of `_latest_ms`, by a clock that never jumps."""

    def held(self, *, simulated: bool = False) -> NanoUSD:
        """Reserved for calls in flight."""
        return NanoUSD(self._held[simulated])

    def spent(self, *, simulated: bool = False) -> NanoUSD:
        """Settled since the process started."""
        return NanoUSD(self._spent[simulated])

    def keep_to(self, book: Book) -> None:
        """Count requests on these budgets from now on; what is in flight stays as it was admitted. May be called from
        any thread."""
        self._counting = _Counting(book if book else None)
        self.has_budgets = bool(book)
        self.holds_expected = any(holds_expected(budget) for budget in book.budgets)

    async def reserve(
        self,
        worst_case: NanoUSD,
        *,
        simulated: bool,
        caller: Caller = NOBODY,
        use: Use = UNUSED,
        after: Hold | None = None,
        expect: Expect | None = None,
    ) -> Hold:
        """Leave for a call that is about to go out, with its worst case held.

        `use` matters where there are budgets. `expect` is asked where one of them holds what is expected; without it
        the worst case is. `after`: an earlier hold of the same request, so that it is no further request and is counted
        on the same accounts. Waits only where a slice in this process is used up, and then at most for the dealer's
        deadline. Raises `RateLimited`, `BudgetSpent`, or `Unavailable` when the limits cannot be asked for.
        """
        purse: Purse | None = None
        if after is not None:
            purse = after.purse
        elif self.has_budgets or caller.limits.any:
            purse = self._purse(caller, use.at_ms, use.tags if use.counted else None)
        if purse is None:
            self._held[simulated] += worst_case
            return Hold(worst_case, simulated)
        into, out = use.input_tokens, use.output_tokens
        amounts: Amounts = (worst_case, into + out, into, out, 0 if after is not None else 1, 0)
        if purse.expects:
            amounts = with_expected(amounts, expect)
        if purse.slices:
            assert self._dealer is not None
            taken = [amounts[meter] for meter in purse.meters]
            await self._dealer.take(purse.slices, taken, simulated, after is not None, use.at_ms)
        drawn: Drawn | None = None
        if purse.accounts:
            drawn = Drawn(purse) if after is None or after.drawn is None else after.drawn
            drawn.add(amounts)
        self._held[simulated] += worst_case
        return Hold(worst_case, simulated, purse, amounts, drawn)

    def hard_budgets(
        self, caller: Caller, at_ms: int, tags: tuple[str, ...]
    ) -> tuple[Budget | None, Budget | None]:
        """A hard budget of money or tokens that a caller is counted on, and one that must not be passed by what is
        billed by use; `None` where there is none. A look into a dictionary."""
        purse = self._purse(caller, at_ms, tags)
        return (None, None) if purse is None else (purse.hard, purse.strict)

    def _purse(self, caller: Caller, at_ms: int, tags: tuple[str, ...] | None) -> Purse | None:
        """`None` for tags: not counted on budgets."""
        counting = self._counting
        book = counting.book
        if tags is not None:
            tags = None if book is None else tags if book.by_tag else ()
        kind = (caller.key, caller.organisation, caller.team, caller.user, tags)
        purse = counting.purses.get(kind)
        if purse is None or not purse.from_ms <= at_ms < purse.until_ms or purse.limits is not caller.limits:
            purse = self._new_purse(caller, book, tags, at_ms)
            if len(counting.purses) >= PURSES_MAX:
                counting.purses.clear()
            counting.purses[kind] = purse
        return None if purse.empty else purse

    def _new_purse(
        self, caller: Caller, book: Book | None, tags: tuple[str, ...] | None, at_ms: int
    ) -> Purse:
        dealer = self._dealer
        at_ms = self._admitted_ms(at_ms)
        if dealer is None:
            raise ValueError(f"key {caller.key!r} has limits or budgets and this ledger has no dealer")
        dealer.slices.forget_ended(self._latest_ms - LATE_MS)
        budgets = () if book is None or tags is None else book.of(caller, tags)
        return purse_of(caller, budgets, dealer.slices, at_ms)

    def _admitted_ms(self, at_ms: int) -> int:
        """The moment whose periods a request counts in that arrived at this one."""
        if at_ms >= self._latest_ms - LATE_MS:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._monotonic()
        elif self._monotonic() - self._behind_since > SET_BACK_S:
            self._latest_ms, self._behind_since = at_ms, None
        self._latest_ms = max(self._latest_ms, at_ms)
        return max(at_ms, self._latest_ms - LATE_MS)

    def move(self, hold: Hold, *, simulated: bool) -> None:
        """Move a hold to the other side if it is on the wrong one: only the answer shows whether a model was real."""
        if not hold.open or hold.simulated == simulated:
            return
        self._held[hold.simulated] -= hold.amount
        self._held[simulated] += hold.amount
        for one, amount in _taken(hold):
            one.refund(amount, hold.simulated)
            one.refund(-amount, simulated)
        hold.simulated = simulated

    def settle(self, hold: Hold, cost: NanoUSD, tokens: tuple[int, int] | None = (0, 0)) -> None:
        """Replace a hold by what the call came to: its cost, and its billed tokens in and out (0 where nothing was
        billed, `None` where it is not known, so that the worst case stands). A second settlement is a bug."""
        amounts = hold.amounts
        if tokens is None:
            came_to: Amounts = (cost, *amounts[1:6])
        else:
            came_to = (cost, tokens[0] + tokens[1], *tokens, amounts[4], 0)
        if hold.purse is not None and hold.purse.expects:
            came_to += came_to[:REQUESTS]
        self._close(hold, cost, came_to)

    def release(self, hold: Hold) -> None:
        """Let go of a hold whose call is not made after all, and will not be recorded."""
        self._close(hold, NanoUSD(0), NO_AMOUNTS)

    def _close(self, hold: Hold, cost: NanoUSD, came_to: Amounts) -> None:
        if not hold.open:
            raise ValueError("this hold is settled already")
        hold.open = False
        self._held[hold.simulated] -= hold.amount
        self._spent[hold.simulated] += cost
        purse = hold.purse
        if purse is None:
            return
        held, simulated = hold.amounts, hold.simulated
        now = self._monotonic()
        for one, meter in zip(purse.slices, purse.meters, strict=True):
            one.settle(held[meter] - came_to[meter], simulated, now)
        if hold.drawn is not None:
            hold.drawn.add(came_to, held)


def _taken(hold: Hold) -> list[tuple[AccountSlice, int]]:
    """What it holds of each slice."""
    purse = hold.purse
    if purse is None:
        return []
    return [(one, hold.amounts[meter]) for one, meter in zip(purse.slices, purse.meters, strict=True)]
