"""Money in flight and spent in this process, in integer nano-dollars, and the one way to get leave for a call.

Every call reserves its worst case before it goes out and settles its cost after. Simulated money is kept apart. One
event loop owns a ledger, so no step needs a lock.
"""

from collections.abc import Callable

from trimtab.budgets.dealer import Dealer
from trimtab.budgets.slices import KeySlice
from trimtab.catalogue import NanoUSD
from trimtab.records import NOBODY, Caller


class Hold:
    """Leave for one call; settles exactly once."""

    __slots__ = ("amount", "of_key", "open", "simulated", "takes_money")

    def __init__(
        self, amount: NanoUSD, *, simulated: bool, of_key: KeySlice | None = None, takes_money: bool = False
    ) -> None:
        self.amount = amount
        self.simulated = simulated
        self.of_key = of_key
        """The slices that it was taken from; `None` for a caller without limits."""
        self.takes_money = takes_money
        """Whether the key's money is limited."""
        self.open = True


class Ledger:
    """Held and spent totals, real and simulated, and the limits of keys."""

    def __init__(self, dealer: Dealer | None = None, monotonic: Callable[[], float] = lambda: 0.0) -> None:
        """Without a dealer only callers without limits can be served."""
        self._dealer = dealer
        self._monotonic = monotonic
        self._held = {False: 0, True: 0}
        self._spent = {False: 0, True: 0}

    def held(self, *, simulated: bool = False) -> NanoUSD:
        """Reserved for calls in flight."""
        return NanoUSD(self._held[simulated])

    def spent(self, *, simulated: bool = False) -> NanoUSD:
        """Settled since the process started."""
        return NanoUSD(self._spent[simulated])

    async def reserve(
        self, worst_case: NanoUSD, *, simulated: bool, caller: Caller = NOBODY, further: bool = False
    ) -> Hold:
        """Leave for a call that is about to go out, with its worst case held.

        `further`: a call of a request that has made one already, so it is no further request of the minute. Waits only
        where the caller has limits and its slice in this process is used up, and then at most for the dealer's
        deadline. Raises `RateLimited`, `BudgetSpent`, or `Unavailable` when the limits cannot be asked for.
        """
        of_key: KeySlice | None = None
        takes_money = False
        if caller.limits.any:
            if self._dealer is None:
                raise ValueError(f"key {caller.key!r} has limits and this ledger has no dealer")
            of_key, takes_money = await self._dealer.take(caller, worst_case, simulated, further)
        self._held[simulated] += worst_case
        return Hold(worst_case, simulated=simulated, of_key=of_key, takes_money=takes_money)

    def move(self, hold: Hold, *, simulated: bool) -> None:
        """Move a hold to the other side if it is on the wrong one: only the answer shows whether a model was real."""
        if not hold.open or hold.simulated == simulated:
            return
        self._held[hold.simulated] -= hold.amount
        self._held[simulated] += hold.amount
        if hold.of_key is not None and hold.takes_money:
            hold.of_key.refund(hold.amount, hold.simulated)
            hold.of_key.refund(-hold.amount, simulated)
        hold.simulated = simulated

    def settle(self, hold: Hold, cost: NanoUSD) -> None:
        """Replace a hold by the actual cost (0 where nothing was billed). A second settlement is a bug."""
        if not hold.open:
            raise ValueError("this hold is settled already")
        hold.open = False
        self._held[hold.simulated] -= hold.amount
        self._spent[hold.simulated] += cost
        if hold.of_key is not None:
            hold.of_key.end(self._monotonic())
            if hold.takes_money:
                hold.of_key.refund(hold.amount - cost, hold.simulated)
