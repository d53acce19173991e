"""Money in flight and spent in this process, in integer nano-dollars.

Every call reserves its worst case before it goes out and settles its cost after; nothing is spent that was not
reserved. Simulated money is kept apart. One event loop owns a ledger, so no step needs a lock.
"""

from trimtab.catalogue import NanoUSD


class Hold:
    """One reservation; settles exactly once."""

    __slots__ = ("amount", "open", "simulated")

    def __init__(self, amount: NanoUSD, *, simulated: bool) -> None:
        self.amount = amount
        self.simulated = simulated
        self.open = True


class Ledger:
    """Held and spent totals, real and simulated."""

    def __init__(self) -> None:
        self._held = {False: 0, True: 0}
        self._spent = {False: 0, True: 0}

    def held(self, *, simulated: bool = False) -> NanoUSD:
        """Reserved for calls in flight."""
        return NanoUSD(self._held[simulated])

    def spent(self, *, simulated: bool = False) -> NanoUSD:
        """Settled since the process started."""
        return NanoUSD(self._spent[simulated])

    def reserve(self, worst_case: NanoUSD, *, simulated: bool) -> Hold:
        """Hold the worst case of a call that is about to go out."""
        self._held[simulated] += worst_case
        return Hold(worst_case, simulated=simulated)

    def mark_simulated(self, hold: Hold) -> None:
        """Move a hold to the simulated side: only the answer showed that no real platform was called."""
        if hold.open and not hold.simulated:
            self._held[False] -= hold.amount
            self._held[True] += hold.amount
            hold.simulated = True

    def settle(self, hold: Hold, cost: NanoUSD) -> None:
        """Replace a hold by the actual cost (0 where nothing was billed). A second settlement is a bug."""
        if not hold.open:
            raise ValueError("this hold is settled already")
        hold.open = False
        self._held[hold.simulated] -= hold.amount
        self._spent[hold.simulated] += cost
