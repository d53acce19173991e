"""A process that nobody heard of for long has lost its permits, and does not use them when it comes back."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from trimtab.budgets import Book, Dealer, Hold, Ledger, Use
from trimtab.catalogue import NanoUSD
from trimtab.errors import RateLimited, Unavailable
from trimtab.records import Budget, Caller, Limits, Scope
from trimtab.store import Database
from trimtab.store.limits import PERMIT_LOST_MS, Slice, Trade, free_permits, join, trade

Open = Callable[[], Database]

TEAM = Budget("together", Scope("team", "red"), "concurrency", 5, "total")
KEY = Caller(key="k", limits=Limits(concurrency=5))
MEMBER = Caller(key="k", team="red")


class Process:
    """A ledger with its dealer, which can be frozen as by SIGSTOP: on its way to the database, and for so long."""

    def __init__(self, database: Database, name: str) -> None:
        self.name, self.now = name, 1000.0
        self.moves = asyncio.Event()
        self.moves.set()
        self._database = database
        self.dealer = Dealer(self._exchange, lambda: self.now, deadline_s=20)
        self.ledger = Ledger(self.dealer, lambda: self.now)
        self.ledger.keep_to(Book([TEAM]))

    async def _exchange(self, trades: Sequence[Trade]) -> list[Slice]:
        await self.moves.wait()

        def work(tx: object) -> list[Slice]:
            join(tx, self.name, "h", 1)  # type: ignore[arg-type]
            return trade(tx, self.name, trades)  # type: ignore[arg-type]

        return self._database.write(work)

    async def begin(self, who: Caller) -> Hold:
        return await self.ledger.reserve(NanoUSD(1), simulated=False, caller=who, use=Use(1_795_348_800_000))

    async def said(self, who: Caller) -> Hold | RateLimited:
        """What a caller is told at last who comes back when the limits cannot be asked."""
        async with asyncio.timeout(60):
            while True:
                try:
                    return await self.begin(who)
                except RateLimited as refused:
                    return refused
                except Unavailable:
                    await asyncio.sleep(0.01)


@pytest.mark.parametrize("who", [KEY, MEMBER], ids=["of a key", "of a team's budget"])
@pytest.mark.parametrize("ended", [5, 2, 0], ids=["all had ended", "some had ended", "all go on"])
def test_a_process_that_was_frozen_past_its_lease_does_not_use_permits_that_others_have(
    open_one: Open, who: Caller, ended: int
) -> None:
    async def work() -> None:
        database = open_one()
        frozen, other = Process(database, "frozen"), Process(database, "other")
        for process in (frozen, other):
            await process.dealer.start()
        calls = [await frozen.begin(who) for _ in range(5)]

        frozen.moves.clear()
        frozen.now += PERMIT_LOST_MS / 1000 + 10
        database.write(lambda tx: free_permits(tx, ["frozen"]))
        theirs = [await other.begin(who) for _ in range(5)]
        assert isinstance(await other.said(who), RateLimited)

        # It moves again: first of all come the ends of its calls, then new requests, and somewhere its dealer.
        for call in calls[:ended]:
            frozen.ledger.settle(call, NanoUSD(1))
        with pytest.raises(Unavailable):
            await frozen.begin(who)
        frozen.moves.set()
        assert isinstance(await frozen.said(who), RateLimited)

        for call in calls[ended:]:  # those that went on do not make room either: others have their permits
            frozen.ledger.settle(call, NanoUSD(1))
            frozen.now += 0.1
            assert isinstance(await frozen.said(who), RateLimited)

        for call in theirs:
            other.ledger.settle(call, NanoUSD(1))
        again: list[Hold] = []
        async with asyncio.timeout(60):
            while len(again) < 5:  # nothing is lost for good
                frozen.now += 0.1
                other.now += 0.1
                if isinstance(told := await other.said(who), Hold):
                    again.append(told)
                else:
                    await asyncio.sleep(0.01)
        for process in (frozen, other):
            await process.dealer.aclose()

    asyncio.run(work())
