"""However many processes share a key, together they stay within its limits, and use them to the full."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence

import pytest
import uvloop

from trimtab.app.limits import Trader
from trimtab.budgets import Book, Dealer, Ledger, Use
from trimtab.budgets.purse import caps_of
from trimtab.budgets.slices import MOST_AHEAD, MOST_AHEAD_QUICK
from trimtab.catalogue import NanoUSD
from trimtab.errors import BudgetSpent, RateLimited, StoreError, TrimtabError, Unavailable
from trimtab.records import Budget, Caller, Limits, Scope
from trimtab.store import Database, Transaction
from trimtab.store.limits import Caps, Slice, Trade, forget_worker, join, trade

Open = Callable[[], Database]


class Place:
    """One process's worth: a ledger with its dealer."""

    def __init__(self, database: Database, name: str) -> None:
        self.trader = Trader(database, name)
        self.dealer = Dealer(self.trader, time.monotonic, deadline_s=2)
        self.ledger = Ledger(self.dealer, time.monotonic)

    async def __aenter__(self) -> "Place":
        await self.dealer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.dealer.aclose()
        self.trader.close()


def caller(**limits: int) -> Caller:
    return Caller(key="key_1", limits=Limits(**limits))


async def until_admitted(
    place: Place, who: Caller, worst: int, hold_s: float, seen: Callable[[int], None], give_up_at: float
) -> bool:
    """A caller that tries again until it gets through."""
    while time.monotonic() < give_up_at:
        try:
            hold = await place.ledger.reserve(NanoUSD(worst), simulated=False, caller=who)
        except RateLimited:
            await asyncio.sleep(random.uniform(0.01, 0.05))
            continue
        seen(1)
        await asyncio.sleep(hold_s)
        seen(-1)
        place.ledger.settle(hold, NanoUSD(worst))
        return True
    return False


@pytest.mark.parametrize("places", [1, 4])
def test_never_more_in_flight_than_the_limit_and_soon_as_many(open_one: Open, places: int) -> None:
    most = now = 0
    full_at: list[float] = []
    began = 0.0

    def seen(change: int) -> None:
        nonlocal most, now
        now += change
        most = max(most, now)
        if now == 10:
            full_at.append(time.monotonic() - began)

    async def work() -> None:
        nonlocal began
        all_of_them = [Place(open_one(), f"w{n}") for n in range(places)]
        for place in all_of_them:
            await place.__aenter__()
        began = time.monotonic()
        who = caller(concurrency=10)
        tasks = [
            asyncio.create_task(until_admitted(all_of_them[n % places], who, 5, 0.15, seen, began + 30))
            for n in range(100)
        ]
        assert all(await asyncio.gather(*tasks))
        for place in all_of_them:
            await place.__aexit__()

    asyncio.run(work())
    assert most == 10
    assert now == 0
    assert full_at


def test_in_no_minute_more_requests_than_the_limit(open_one: Open) -> None:
    async def work() -> int:
        async with Place(open_one(), "w1") as one, Place(open_one(), "w2") as two:
            passed, waits = 0, [1]
            for n in range(60):
                try:
                    place = (one, two)[n % 2]
                    hold = await place.ledger.reserve(
                        NanoUSD(1), simulated=False, caller=caller(requests_per_minute=10)
                    )
                except RateLimited as problem:
                    waits.append(problem.retry_after_s)
                else:
                    passed += 1
                    place.ledger.settle(hold, NanoUSD(0))
            assert max(waits) <= 62
            return passed

    assert asyncio.run(work()) == 10


def test_requests_count_for_a_minute_and_the_second_in_which_they_may_be_made(open_one: Open) -> None:
    database = open_one()
    clock = [1_000_000]
    limits = Caps(requests_per_minute=5)

    class Clocked:
        """The transaction with a clock of ours."""

        def __init__(self, transaction: object) -> None:
            self._transaction = transaction

        def now_ms(self) -> int:
            return clock[0] * 1000

        def __getattr__(self, name: str) -> object:
            return getattr(self._transaction, name)

    def ask(wanted: int) -> Slice:
        one = Trade(account="k", caps=limits, rate_wanted=wanted)
        return database.write(lambda t: trade(Clocked(t), "w", [one])[0])  # type: ignore[arg-type]

    assert ask(3).requests == 3
    clock[0] += 30
    assert ask(9).requests == 2
    assert (ask(1).requests, ask(1).rate_retry_s) == (0, 32)
    clock[0] += 31
    assert ask(9).requests == 0  # the first may have been made a second after they were granted
    clock[0] += 1
    assert ask(9).requests == 3


def test_a_clock_that_is_set_back_does_not_stop_a_key_for_hours(open_one: Open) -> None:
    database = open_one()
    now = time.time_ns() // 1_000_000_000
    database.write(lambda t: t.change("INSERT INTO rate_slots VALUES ('k', ?, 5)", (now + 7200,)))
    one = Trade(account="k", caps=Caps(requests_per_minute=5), rate_wanted=1)
    got = database.write(lambda t: trade(t, "w", [one]))[0]
    assert got.requests == 0  # they may have been made just now
    assert got.rate_retry_s <= 62


def test_money_given_out_and_money_spent_stay_within_the_cap(open_one: Open) -> None:
    async def work() -> int:
        spent = 0
        who = caller(total_nanousd=1000)
        async with Place(open_one(), "w1") as one, Place(open_one(), "w2") as two:
            for n in range(200):
                place = (one, two)[n % 2]
                try:
                    hold = await place.ledger.reserve(NanoUSD(30), simulated=False, caller=who)
                except (RateLimited, BudgetSpent):
                    continue
                cost = n % 30
                spent += cost
                place.ledger.settle(hold, NanoUSD(cost))
        return spent

    assert 970 - 60 < asyncio.run(work()) <= 1000


def test_a_key_whose_money_is_spent_is_told_so_and_not_to_try_again(open_one: Open) -> None:
    async def work() -> None:
        async with Place(open_one(), "w1") as place:
            with pytest.raises(
                BudgetSpent, match=r"may spend \$0\.000001 in all .* may cost up to \$0\.000002"
            ):
                await place.ledger.reserve(NanoUSD(2000), simulated=False, caller=caller(total_nanousd=1000))
            hold = await place.ledger.reserve(
                NanoUSD(900), simulated=False, caller=caller(total_nanousd=1000)
            )
            with pytest.raises(RateLimited, match="held for its requests in flight"):
                await place.ledger.reserve(NanoUSD(900), simulated=False, caller=caller(total_nanousd=1000))
            place.ledger.settle(hold, NanoUSD(10))
            # Simulated money has the same cap of its own.
            await place.ledger.reserve(NanoUSD(1000), simulated=True, caller=caller(total_nanousd=1000))

    asyncio.run(work())


def test_a_further_call_of_a_request_is_no_further_request_and_keeps_its_place(open_one: Open) -> None:
    async def work() -> None:
        who = caller(concurrency=1, requests_per_minute=2, total_nanousd=1000)
        async with Place(open_one(), "w1") as place:
            hold = await place.ledger.reserve(NanoUSD(900), simulated=False, caller=who)
            for _ in range(5):  # each fails and is followed by another
                place.ledger.settle(hold, NanoUSD(0))
                hold = await place.ledger.reserve(NanoUSD(900), simulated=False, caller=who, after=hold)
            with pytest.raises(RateLimited, match="in flight"):
                await place.ledger.reserve(NanoUSD(1), simulated=False, caller=who)
            place.ledger.settle(hold, NanoUSD(10))
            other = await place.ledger.reserve(NanoUSD(900), simulated=False, caller=who)
            place.ledger.settle(other, NanoUSD(10))
            with pytest.raises(RateLimited, match="in a minute"):
                await place.ledger.reserve(NanoUSD(900), simulated=False, caller=who)

    asyncio.run(work())


def test_a_further_call_is_made_when_others_have_used_up_the_minute(open_one: Open) -> None:
    async def work() -> None:
        who = caller(concurrency=3, requests_per_minute=2, total_nanousd=1000)
        async with Place(open_one(), "w1") as place:
            reserve = lambda **more: place.ledger.reserve(NanoUSD(100), simulated=False, caller=who, **more)  # noqa: E731
            first, second = await reserve(), await reserve()
            with pytest.raises(RateLimited, match="in a minute"):
                await reserve()
            beside = await reserve(after=second)  # of a request that waits for its first call still
            place.ledger.settle(first, NanoUSD(0))
            after = await reserve(after=first)
            for hold in (second, beside, after):
                place.ledger.settle(hold, NanoUSD(10))

    asyncio.run(work())


def test_a_further_call_that_cannot_be_paid_for_is_refused_and_counted_once(open_one: Open) -> None:
    async def work() -> None:
        who = caller(requests_per_minute=2, total_nanousd=1000)
        async with Place(open_one(), "w1") as place:
            hold = await place.ledger.reserve(NanoUSD(900), simulated=False, caller=who)
            place.ledger.settle(hold, NanoUSD(900))
            with pytest.raises((BudgetSpent, RateLimited), match=r"money|may spend"):
                await place.ledger.reserve(NanoUSD(900), simulated=False, caller=who, after=hold)
            last = await place.ledger.reserve(NanoUSD(50), simulated=False, caller=who)
            place.ledger.settle(last, NanoUSD(0))
            with pytest.raises(RateLimited, match="in a minute"):
                await place.ledger.reserve(NanoUSD(50), simulated=False, caller=who)

    asyncio.run(work())


def test_a_call_that_cost_more_than_was_held_counts_once(open_one: Open) -> None:
    async def work() -> None:
        database = open_one()
        who = caller(total_nanousd=1000)
        async with Place(database, "w1") as place:
            hold = await place.ledger.reserve(NanoUSD(100), simulated=False, caller=who)
            place.ledger.settle(hold, NanoUSD(900))

            def record(transaction: Transaction) -> None:  # as the writer of records does
                transaction.change(
                    "INSERT INTO key_spend (key_id, simulated, spent_nanousd) VALUES ('key_1', ?, 900)",
                    (False,),
                )
                transaction.change("UPDATE key_leases SET outstanding_nanousd = outstanding_nanousd - 900")

            database.write(record)
            last = await place.ledger.reserve(NanoUSD(90), simulated=False, caller=who)
            with pytest.raises((BudgetSpent, RateLimited)):
                await place.ledger.reserve(NanoUSD(20), simulated=False, caller=who)
            place.ledger.settle(last, NanoUSD(90))

    asyncio.run(work())


def test_what_a_dead_process_held_counts_until_it_is_reconciled(open_one: Open) -> None:
    database = open_one()
    limits = Caps(concurrency=2, total=100)
    everything = Trade(
        account="k",
        caps=limits,
        permits_kept=0,
        permits_wanted=2,
        amount_kept=0,
        amount_needed=90,
        amount_wanted=90,
    )
    database.write(lambda t: join(t, "dead", "h", 1))
    assert database.write(lambda t: trade(t, "dead", [everything]))[0] == Slice(2, 0, 0, 90, 100)
    assert database.write(lambda t: trade(t, "alive", [everything]))[0] == Slice(0, 0, 0, 0, 100)
    database.write(lambda t: forget_worker(t, "dead", spent=False))
    assert database.write(lambda t: trade(t, "alive", [everything]))[0] == Slice(2, 0, 0, 90, 100)
    database.write(lambda t: forget_worker(t, "alive", spent=True))  # its journal is lost: all of it counts
    assert database.write(lambda t: trade(t, "third", [everything]))[0] == Slice(2, 0, 0, 0, 10)


def test_a_trade_whose_answer_was_lost_is_put_right_by_the_next(open_one: Open) -> None:
    database = open_one()
    lose = False

    async def exchange(trades: "list[Trade]") -> list[Slice]:
        got = database.write(lambda t: (join(t, "w", "h", 1), trade(t, "w", trades))[1])
        if lose:
            raise StoreError("the answer was lost")
        return got

    async def work() -> None:
        nonlocal lose
        dealer = Dealer(exchange, time.monotonic, deadline_s=2)  # type: ignore[arg-type]
        ledger = Ledger(dealer, time.monotonic)
        await dealer.start()
        who = caller(concurrency=3, total_nanousd=100)
        lose = True
        with pytest.raises(Unavailable, match="did not give another in time"):
            await ledger.reserve(NanoUSD(60), simulated=False, caller=who)
        lose = False
        await asyncio.sleep(0.4)
        holds = [await ledger.reserve(NanoUSD(33), simulated=False, caller=who) for _ in range(3)]
        for hold in holds:
            ledger.settle(hold, NanoUSD(0))
        await dealer.aclose()

    asyncio.run(work())
    assert database.read(lambda t: t.rows("SELECT permits FROM key_permits")) == [(0,)]
    assert database.read(lambda t: t.rows("SELECT DISTINCT outstanding_nanousd FROM key_leases")) == [(0,)]


def test_without_the_store_a_slice_is_used_up_and_then_the_store_is_blamed(open_one: Open) -> None:
    database = open_one()
    away = False

    async def exchange(trades: "list[Trade]") -> list[Slice]:
        if away:
            raise StoreError("gone")
        return database.write(lambda t: trade(t, "w", trades))

    async def work() -> None:
        nonlocal away
        dealer = Dealer(exchange, time.monotonic)  # type: ignore[arg-type]
        ledger = Ledger(dealer, time.monotonic)
        await dealer.start()
        who = caller(total_nanousd=5000)  # a slice is a fiftieth of it
        holds = [await ledger.reserve(NanoUSD(10), simulated=False, caller=who)]
        away = True
        with pytest.raises(Unavailable) as caught:
            while True:
                holds.append(await ledger.reserve(NanoUSD(10), simulated=False, caller=who))
        assert caught.value.retry_after_s == 1
        assert len(holds) == 10
        await ledger.reserve(NanoUSD(10), simulated=False)  # a caller without limits does not notice
        away = False
        await asyncio.sleep(0.3)
        await ledger.reserve(NanoUSD(10), simulated=False, caller=who)
        await dealer.aclose()

    asyncio.run(work())


@pytest.mark.parametrize(
    ("limits", "others", "holds_s"),
    [
        ({"concurrency": 2}, {"permits_kept": 0, "permits_wanted": 1}, 0.05),
        ({"requests_per_minute": 2}, {"rate_wanted": 1}, 1.0),
        ({"total_nanousd": 20}, {"amount_kept": 0, "amount_needed": 10, "amount_wanted": 10}, 0.05),
    ],
)
def test_callers_who_retry_at_once_do_not_each_ask_the_database(
    open_one: Open, limits: dict[str, int], others: dict[str, int], holds_s: float
) -> None:
    """And what comes free elsewhere is still found out soon."""
    database = open_one()
    now = 1000.0
    asked = 0
    who = caller(**limits)
    database.write(lambda t: join(t, "other", "h", 1))
    database.write(lambda t: trade(t, "other", [Trade(account=who.key, caps=caps_of(who.limits), **others)]))

    async def exchange(trades: "list[Trade]") -> list[Slice]:
        nonlocal asked
        asked += any(one.permits_wanted or one.rate_wanted or one.amount_needed for one in trades)
        return database.write(lambda t: trade(t, "w", trades))

    async def refused(ledger: Ledger) -> bool:
        try:
            await ledger.reserve(NanoUSD(10), simulated=False, caller=who)
        except RateLimited:
            return True
        return False

    async def work() -> None:
        nonlocal now
        dealer = Dealer(exchange, lambda: now, deadline_s=2)  # type: ignore[arg-type]
        ledger = Ledger(dealer, lambda: now)
        await dealer.start()
        assert not await refused(ledger)
        for _ in range(100):
            assert await refused(ledger)
        now += holds_s - 0.01
        assert await refused(ledger)
        assert asked == 2
        now += 0.02
        assert await refused(ledger)
        assert asked == 3
        database.write(lambda t: forget_worker(t, "other", spent=False))
        database.write(lambda t: t.change("DELETE FROM rate_slots"))
        now += holds_s + 0.01
        assert not await refused(ledger)
        await dealer.aclose()

    asyncio.run(work())


def test_too_little_money_in_several_places_comes_together_for_a_call_while_callers_retry(
    open_one: Open,
) -> None:
    now = 1000.0
    admitted = False
    traders = [Trader(open_one(), name) for name in ("first", "second")]

    async def work() -> None:
        nonlocal now, admitted
        who = caller(total_nanousd=100)
        dealers = [Dealer(trader, lambda: now, deadline_s=2) for trader in traders]
        ledgers = [Ledger(dealer, lambda: now) for dealer in dealers]
        for dealer, ledger in zip(dealers, ledgers, strict=True):
            await dealer.start()
            ledger.settle(await ledger.reserve(NanoUSD(30), simulated=False, caller=who), NanoUSD(0))
        for _ in range(2):  # each holds 30 and 40 are left: too little for anybody until one gives in
            for ledger in ledgers:
                try:
                    await ledger.reserve(NanoUSD(80), simulated=False, caller=who)
                    admitted = True
                except (RateLimited, BudgetSpent):
                    pass
            now += 0.051
        for dealer in dealers:
            await dealer.aclose()

    asyncio.run(work())
    for trader in traders:
        trader.close()
    assert admitted


def test_a_key_whose_permits_are_all_here_never_asks_for_more(open_one: Open) -> None:
    database = open_one()
    asked = 0

    async def exchange(trades: "list[Trade]") -> list[Slice]:
        nonlocal asked
        asked += any(one.permits_wanted for one in trades)
        return database.write(lambda t: trade(t, "w", trades))

    async def work() -> None:
        dealer = Dealer(exchange, lambda: 1000.0, deadline_s=2)  # type: ignore[arg-type]
        ledger = Ledger(dealer, lambda: 1000.0)
        await dealer.start()
        who = caller(concurrency=1)
        hold = await ledger.reserve(NanoUSD(10), simulated=False, caller=who)
        for _ in range(100):
            with pytest.raises(RateLimited):
                await ledger.reserve(NanoUSD(10), simulated=False, caller=who)
        assert asked == 1
        ledger.settle(hold, NanoUSD(10))
        await ledger.reserve(NanoUSD(10), simulated=False, caller=who)
        await dealer.aclose()

    asyncio.run(work())


def test_many_threads_trading_at_once_never_pass_a_limit(open_one: Open) -> None:
    limits = Caps(concurrency=7, total=10_000)
    problems: list[TrimtabError] = []

    def one(name: str) -> None:
        database = open_one()
        luck = random.Random(name)
        kept, money = 0, 0
        try:
            for _ in range(40):
                kept, money = luck.randint(0, kept), luck.randint(0, money)
                got = database.write(
                    lambda t, kept=kept, money=money: trade(
                        t, name, [Trade(account="k", caps=limits, permits_kept=kept, permits_wanted=luck.randint(1, 4),
                                        amount_kept=money, amount_needed=luck.randint(1, 3000), amount_wanted=3000)])
                )[0]  # fmt: skip
                kept, money = kept + got.permits, money + got.amount
                held = database.read(
                    lambda t: t.row(
                        "SELECT (SELECT coalesce(sum(permits), 0) FROM key_permits), (SELECT coalesce(sum(outstanding_nanousd), 0) FROM key_leases)"
                    )
                )
                assert held is not None
                assert held[0] <= 7
                assert held[1] <= 10_000
        except TrimtabError as problem:
            problems.append(problem)

    threads = [threading.Thread(target=one, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


def test_a_key_in_steady_use_does_not_wait_for_its_slices(open_one: Open) -> None:
    database = open_one()
    slow, refused = 0.03, 0

    async def exchange(trades: "list[Trade]") -> list[Slice]:
        await asyncio.sleep(slow)
        return database.write(lambda t: trade(t, "w", trades))

    async def work() -> int:
        dealer = Dealer(exchange, time.monotonic, deadline_s=0.001)  # type: ignore[arg-type]
        ledger = Ledger(dealer, time.monotonic)
        await dealer.start()
        who, waited = caller(total_nanousd=10_000_000), 0
        for _ in range(300):
            try:
                hold = await ledger.reserve(NanoUSD(1000), simulated=False, caller=who)
            except Unavailable:
                waited += 1
                await asyncio.sleep(slow)
                continue
            ledger.settle(hold, NanoUSD(1000))
            await asyncio.sleep(0.002)
        await dealer.aclose()
        return waited

    refused = asyncio.run(work())
    assert refused <= 3  # the first slice has to be fetched
    kept = database.read(lambda t: t.rows("SELECT sum(outstanding_nanousd) FROM key_leases"))
    assert kept == [((300 - refused) * 1000,)]  # what was spent is not recorded here, the rest went back


def test_a_dealer_that_closes_in_the_middle_of_an_exchange_leaves_nothing_on_loan(open_one: Open) -> None:
    database = open_one()
    hangs, hanging = False, asyncio.Event()

    async def exchange(trades: "list[Trade]") -> list[Slice]:
        if hangs:
            hanging.set()
            await asyncio.sleep(3600)
        return database.write(lambda t: trade(t, "w", trades))

    async def work() -> None:
        nonlocal hangs
        dealer = Dealer(exchange, time.monotonic, deadline_s=5)  # type: ignore[arg-type]
        ledger = Ledger(dealer, time.monotonic)
        await dealer.start()
        hold = await ledger.reserve(NanoUSD(1000), simulated=False, caller=caller(total_nanousd=10_000))
        ledger.settle(hold, NanoUSD(0))
        hangs = True  # what lies idle is on its way back, and never comes there
        await hanging.wait()
        hangs = False
        await dealer.aclose()

    asyncio.run(work())
    assert database.read(lambda t: t.rows("SELECT sum(outstanding_nanousd) FROM key_leases")) == [(0,)]


@pytest.mark.parametrize(
    "limits", [{"concurrency": 20}, {"total_nanousd": 1000}, {"requests_per_minute": 20}]
)
def test_a_burst_that_fits_the_limit_is_never_refused(open_one: Open, limits: dict[str, int]) -> None:
    async def work() -> None:
        async with Place(open_one(), "w1") as place:

            async def one(delay_s: float) -> None:
                await asyncio.sleep(delay_s)
                hold = await place.ledger.reserve(NanoUSD(15), simulated=False, caller=caller(**limits))
                await asyncio.sleep(0.2)
                place.ledger.settle(hold, NanoUSD(1))

            # All at once, one by one while an exchange is under way, and in between.
            await asyncio.gather(*(one(n * 0.0007) for n in range(10)), *(one(0.0) for _ in range(10)))

    asyncio.run(work())


def test_an_account_in_a_hurry_is_seldom_asked_for_and_one_at_rest_holds_little() -> None:
    now, asked = 0.0, list[Trade]()
    budget = Budget("all", Scope("key", "k"), "requests", 10**9, "total")

    async def exchange(trades: Sequence[Trade]) -> list[Slice]:
        asked.extend(trades)
        return [Slice(0, 0, 0, one.amount_ahead, 10**9) for one in trades]

    async def work() -> None:
        nonlocal now
        dealer = Dealer(exchange, lambda: now, deadline_s=60)
        ledger = Ledger(dealer, lambda: now)
        ledger.keep_to(Book((budget,)))
        await dealer.start()

        async def one(apart_s: float) -> None:
            nonlocal now
            hold = await ledger.reserve(NanoUSD(0), simulated=False, caller=Caller(key="k"), use=Use(1))
            ledger.settle(hold, NanoUSD(0))
            now += apart_s
            await asyncio.sleep(0)

        for _ in range(20_000):
            await one(0.0002)
        assert len(asked) < 20
        assert max(trade.amount_ahead for trade in asked) <= MOST_AHEAD_QUICK
        for _ in range(2 * MOST_AHEAD_QUICK):
            await one(0.2)
        assert asked[-1].amount_ahead == MOST_AHEAD
        await dealer.aclose()

    asyncio.run(work())


def test_many_keys_that_begin_at_once_are_all_served_soon(open_one: Open) -> None:
    async def work() -> None:
        place = Place(open_one(), "w1")

        async def slow(trades: Sequence[Trade]) -> list[Slice]:
            await asyncio.sleep(0.002 * len(trades))  # all in one exchange would come too late for all
            return await place.trader(trades)

        dealer = Dealer(slow, time.monotonic, deadline_s=0.5)
        ledger = Ledger(dealer, time.monotonic)
        await dealer.start()
        limits = Limits(concurrency=5, requests_per_minute=60, total_nanousd=10_000)

        async def one(n: int) -> None:
            while True:
                try:
                    hold = await ledger.reserve(
                        NanoUSD(10), simulated=False, caller=Caller(key=f"k{n}", limits=limits)
                    )
                except Unavailable:
                    await asyncio.sleep(0.5)
                    continue
                ledger.settle(hold, NanoUSD(0))
                return

        async with asyncio.timeout(60):
            await asyncio.gather(*(one(n) for n in range(300)))
        await dealer.aclose()
        place.trader.close()

    asyncio.run(work())


def test_a_process_that_starts_while_the_store_is_held_serves_and_leases_later(open_one: Open) -> None:
    database = open_one()
    away = True

    async def exchange(trades: "list[Trade]") -> list[Slice]:
        if away:
            raise StoreError("held by a frozen process")
        return database.write(lambda t: trade(t, "w", trades))

    async def work() -> None:
        nonlocal away
        dealer = Dealer(exchange, time.monotonic, deadline_s=2)  # type: ignore[arg-type]
        ledger = Ledger(dealer, time.monotonic)
        await dealer.start()
        await ledger.reserve(NanoUSD(10), simulated=False)
        with pytest.raises(Unavailable):
            await ledger.reserve(NanoUSD(10), simulated=False, caller=caller(total_nanousd=5000))
        away = False
        await asyncio.sleep(0.4)
        await ledger.reserve(NanoUSD(10), simulated=False, caller=caller(total_nanousd=5000))
        await dealer.aclose()

    asyncio.run(work())


@pytest.mark.parametrize("gone", [False, True], ids=["the deadline passes", "the client goes away"])
def test_a_request_of_the_minute_that_comes_late_is_not_lost_for_the_minute(
    open_one: Open, gone: bool
) -> None:
    """On a loop that lags (which runs timers first) a grant and the deadline, or the client's end, come in one turn."""

    async def work() -> list[str]:
        trader = Trader(open_one(), "w1")
        callers: list[asyncio.Task[str]] = []
        lag = True

        async def exchange(trades: Sequence[Trade]) -> list[Slice]:
            nonlocal lag
            got = await trader(trades)
            if lag and any(one.requests for one in got):
                lag = False
                time.sleep(0.2)  # past the deadline  # noqa: ASYNC251
                if gone:
                    for task in callers:
                        asyncio.get_running_loop().call_soon(task.cancel)
            return got

        dealer = Dealer(exchange, time.monotonic, deadline_s=5 if gone else 0.1)
        await dealer.start()
        ledger = Ledger(dealer, time.monotonic)

        async def call() -> str:
            try:
                await ledger.reserve(NanoUSD(5), simulated=False, caller=caller(requests_per_minute=3))
            except TrimtabError as problem:
                return type(problem).__name__
            return "served"

        callers = [asyncio.create_task(call()) for _ in range(3)]
        first = await asyncio.gather(*callers, return_exceptions=True)
        after = [await call() for _ in range(3)]
        await dealer.aclose()
        trader.close()
        return [str(each) for each in first] + after

    said = uvloop.run(work())
    assert said.count("served") == 3, said


class Hurried:
    """A dealer whose key is asked much of, by a clock that the test moves."""

    def __init__(self, database: Database, rpm: int) -> None:
        self.now, self.exchanges, self.waited, self.taken = 0.0, 0, 0, 0
        self._database = database
        self.dealer = Dealer(self._exchange, lambda: self.now, deadline_s=5)
        self._ledger = Ledger(self.dealer, lambda: self.now)
        self._who = caller(requests_per_minute=rpm)

    async def _exchange(self, trades: Sequence[Trade]) -> list[Slice]:
        self.exchanges += bool(trades)
        await asyncio.sleep(0)
        return self._database.write(lambda t: trade(t, "w", trades))

    async def one(self) -> None:
        """One request, half a millisecond after the last."""
        self.now += 0.0005
        asked = asyncio.create_task(self._ledger.reserve(NanoUSD(1), simulated=False, caller=self._who))
        await asyncio.sleep(0)
        self.waited += not asked.done()
        self._ledger.settle(await asked, NanoUSD(1))
        self.taken += 1

    def granted(self) -> int:
        """Requests of the last minute, as the database has them."""
        rows = self._database.read(lambda t: t.rows("SELECT coalesce(sum(granted), 0) FROM rate_slots"))
        return int(rows[0][0])


def test_a_key_that_makes_many_requests_seldom_waits_for_them_and_gives_the_rest_back(open_one: Open) -> None:
    async def work() -> None:
        hurried = Hurried(open_one(), 1_000_000)
        await hurried.dealer.start()
        for _ in range(4000):
            await hurried.one()
        await hurried.dealer.aclose()
        assert hurried.waited <= 4  # by slices of 64 it would be 62 times
        assert hurried.exchanges <= 16
        assert hurried.granted() == 4000

    asyncio.run(work())


def test_requests_fetched_early_are_neither_lost_nor_made_twice(open_one: Open) -> None:
    async def work() -> None:
        hurried = Hurried(open_one(), 5000)
        await hurried.dealer.start()
        with pytest.raises(RateLimited):
            while True:
                await hurried.one()
        assert hurried.taken == hurried.granted() == 5000
        await hurried.dealer.aclose()

    asyncio.run(work())
