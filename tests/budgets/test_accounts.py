"""However many budgets a request falls under, it is held on all of them or on none, and counted once on each."""

import asyncio
import contextlib
import datetime
import time
from collections.abc import Callable, Iterable

import pytest
from waiting import until

from trimtab.app.limits import Trader
from trimtab.budgets import Book, Dealer, Hold, Ledger, Use
from trimtab.catalogue import NanoUSD
from trimtab.errors import BudgetSpent, RateLimited, TrimtabError
from trimtab.records import Budget, Caller, Draw, Limits, Outcome, RequestId, Scope, account_of
from trimtab.store import Database, StoreSettings, open_store
from trimtab.store.budgets.figures import counted_on, members_of

Open = Callable[[], Database]

RED = Scope("team", "red", "acme")
ANN = Caller(key="key_1", organisation="acme", team="red", user="ann")
BOB = Caller(key="key_2", organisation="acme", team="red", user="bob")
NOON = int(datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC).timestamp()) * 1000
MINUTE_MS = 60_000
DAY_MS = 86_400_000


class Place:
    """One process's worth: a ledger that keeps to budgets, and a store that it records in."""

    def __init__(
        self, database: Database, name: str, budgets: Iterable[Budget], store: StoreSettings | None = None
    ) -> None:
        self.trader = Trader(database, name)
        self.dealer = Dealer(self.trader, time.monotonic, deadline_s=20)
        self.ledger = Ledger(self.dealer, time.monotonic)
        self.ledger.keep_to(Book(budgets))
        self.at_ms = NOON
        self._count = 0
        self._name = name
        self._store = None
        if store is not None:
            self._store = open_store(store, clock_ms=lambda: self.at_ms, on_problem=None, worker=name)

    async def __aenter__(self) -> "Place":
        await self.dealer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.dealer.aclose()
        self.trader.close()
        if self._store is not None:
            await asyncio.to_thread(self._store.close, 20)

    async def hold(self, caller: Caller = ANN, usd: int = 0, into: int = 0, out: int = 0, tags: tuple[str, ...] = (), after: Hold | None = None) -> Hold:  # fmt: skip
        return await self.ledger.reserve(
            NanoUSD(usd), simulated=False, caller=caller, use=Use(self.at_ms, tags, into, out), after=after
        )

    def end(self, hold: Hold, usd: int = 0, into: int = 0, out: int = 0) -> None:
        """Settle, and record."""
        self.ledger.settle(hold, NanoUSD(usd), (into, out))
        if self._store is None:
            return
        self._count += 1
        self._store.put(
            Outcome(
                id=RequestId(f"{self._name}{self._count:030d}"),
                at_ms=self.at_ms,
                purpose="live",
                surface="messages",
                endpoint="messages",
                requested_model="m",
                session="s",
                result="ok",
                status=200,
                stream=False,
                cost_nanousd=usd,
                draws=hold.draws,
            )
        )


def a_budget(meter: str, limit: int, period: str = "month", scope: Scope = RED, **more: object) -> Budget:
    return Budget(f"{scope.kind}-{meter}", scope, meter, limit, period, **more)  # type: ignore[arg-type]


def counted(database: Database, *accounts: str) -> list[tuple[int, int]]:
    """Spent and held."""
    found = database.read(lambda tx: counted_on(tx, accounts))
    return [(one.spent, one.held) if (one := found.get((account, False))) else (0, 0) for account in accounts]


def test_a_team_spends_its_month_over_several_processes_and_not_a_nano_dollar_more(
    open_one: Open, store_settings: StoreSettings
) -> None:
    database = open_one()
    budgets = [a_budget("usd", 10_000)]
    account = account_of(RED, "usd", "month", NOON)

    async def work() -> int:
        spent = 0
        async with Place(open_one(), "w1", budgets, store_settings) as one, Place(open_one(), "w2", budgets, store_settings) as two:  # fmt: skip
            for n in range(300):
                place = (one, two)[n % 2]
                try:
                    hold = await place.hold((ANN, BOB)[n % 3 > 0], usd=100)
                except (RateLimited, BudgetSpent):
                    continue
                place.end(hold, n % 101)
                spent += n % 101
        return spent

    spent = asyncio.run(work())
    assert 9_800 < spent <= 10_000
    assert counted(database, account) == [(spent, 0)]


def test_what_does_not_fit_one_budget_is_taken_from_none(open_one: Open) -> None:
    database = open_one()
    tag = Scope("tag", "night")
    budgets = [
        a_budget("usd", 1000),
        a_budget("tokens", 50, "day", Scope("user", "ann", "acme")),
        a_budget("requests", 100, "minute", tag),
    ]

    async def work() -> None:
        async with Place(database, "w1", budgets) as place:
            with pytest.raises(
                BudgetSpent, match="user 'ann' may use 50 tokens in a day, and this request alone"
            ):
                await place.hold(usd=900, into=40, out=20, tags=("night",))
            first = await place.hold(usd=900, into=40, out=5, tags=("night",))
            with pytest.raises(RateLimited, match="held for requests in flight"):
                await place.hold(usd=100, into=40, out=5)
            place.ledger.settle(first, NanoUSD(100), (10, 0))
            assert [(draw.account.partition("=")[0], draw.amount) for draw in first.draws] == [
                ("team", 100),
                ("user", 10),
                ("tag", 1),
            ]
            second = await place.hold(usd=900, into=30, out=10)
            place.ledger.release(second)
            assert second.draws == ()

    asyncio.run(work())
    held = [
        amount
        for _, amount in counted(database, *(account_of(b.scope, b.meter, b.period, NOON) for b in budgets))
    ]
    assert held == [100, 10, 1]  # nobody recorded it


def test_a_soft_budget_refuses_nothing_and_is_counted(open_one: Open, store_settings: StoreSettings) -> None:
    database = open_one()

    async def work() -> None:
        async with Place(database, "w1", [a_budget("usd", 10, hard=False)], store_settings) as place:
            for _ in range(3):
                hold = await place.hold(usd=1000)
                assert hold.draws == (Draw(account_of(RED, "usd", "month", NOON), 1000, leased=False),)
                place.end(hold, 700)

    asyncio.run(work())
    assert counted(database, account_of(RED, "usd", "month", NOON)) == [(2100, 0)]


def test_a_minute_renews_and_a_call_that_ends_later_counts_where_it_began(
    open_one: Open, store_settings: StoreSettings
) -> None:
    database = open_one()
    budgets = [a_budget("output_tokens", 100, "minute"), a_budget("requests", 3, "day")]

    async def work() -> None:
        async with Place(database, "w1", budgets, store_settings) as place:
            long = await place.hold(out=80)
            place.at_ms += 45_000
            with pytest.raises(RateLimited, match=r"slow down|in flight"):
                await place.hold(out=30)
            place.end(long, out=80)
            await asyncio.to_thread(lambda: until(lambda: counted(database, first)[0][0] == 80))
            with pytest.raises(RateLimited) as caught:
                while True:
                    await place.hold(out=30)
            assert caught.value.retry_after_s in (1, 15)
            place.at_ms += 15_000
            later = await place.hold(out=90)
            last = await place.hold(out=10)
            place.at_ms += 60_000
            with pytest.raises((BudgetSpent, RateLimited), match="3 requests in a day"):
                await place.hold(out=1)
            place.end(later, out=50)
            place.end(last, out=10)

    first, second = (account_of(RED, "output_tokens", "minute", NOON + n * MINUTE_MS) for n in range(2))
    asyncio.run(work())
    assert [spent for spent, _ in counted(database, first, second)] == [80, 60]


def test_a_spent_day_says_when_it_renews_and_is_not_asked_again(
    open_one: Open, store_settings: StoreSettings
) -> None:
    database = open_one()
    account = account_of(RED, "requests", "day", NOON)

    async def work() -> None:
        async with Place(database, "w1", [a_budget("requests", 2, "day")], store_settings) as place:
            for _ in range(2):
                place.end(await place.hold())
            await asyncio.to_thread(lambda: until(lambda: counted(database, account)[0] == (2, 0)))
            await asyncio.sleep(0.1)  # past what is remembered of a refusal
            with pytest.raises(
                BudgetSpent, match=r"0 requests left: wait until it renews at 2026-11-23T00:00Z, or"
            ):
                await place.hold()
            place.at_ms += DAY_MS
            place.end(await place.hold())

    asyncio.run(work())


@pytest.mark.parametrize("ahead_ms", [0, DAY_MS], ids=["an hour back", "a day ahead and back"])
def test_a_clock_that_is_set_back_neither_stops_a_team_nor_gives_it_a_period_twice(
    open_one: Open, store_settings: StoreSettings, ahead_ms: int
) -> None:
    """The periods of then go on with what was counted in them, though the process had forgotten its slices of them."""
    database = open_one()
    minute = account_of(RED, "output_tokens", "minute", NOON)
    budgets = [a_budget("output_tokens", 100, "minute"), a_budget("usd", 10_000, "month")]

    async def work() -> None:
        async with Place(database, "w1", budgets, store_settings) as place:
            now = 1000.0
            place.ledger = Ledger(place.dealer, lambda: now)
            place.ledger.keep_to(Book(budgets))

            async def spend(out: int) -> None:
                place.end(await place.hold(usd=out, out=out), usd=out, out=out)

            await spend(70)
            under_way = await place.hold(usd=20, out=20)
            await asyncio.to_thread(until, lambda: counted(database, minute)[0][0] == 70)
            place.end(under_way, usd=20, out=20)
            for after in (MINUTE_MS, 60 * MINUTE_MS, 61 * MINUTE_MS + ahead_ms):
                place.at_ms = NOON + after
                await spend(60)
            place.at_ms = NOON
            waits = []
            for _ in range(5):
                try:
                    await spend(30)
                except RateLimited as refused:
                    waits.append(refused.retry_after_s)
                now += 2
            assert max(waits) <= 60
            for amount in (10, 11):  # ten are left of it
                with contextlib.suppress(RateLimited):
                    await spend(amount)
            place.at_ms += MINUTE_MS
            await spend(30)

    asyncio.run(work())
    assert counted(database, minute)[0][0] == 100


def test_any_number_of_tags_takes_little_memory_and_none_may_spend_twice(
    open_one: Open, store_settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.budgets.slices.ACCOUNTS_MAX", 10)
    monkeypatch.setattr("trimtab.budgets.ledger.PURSES_MAX", 10)
    database = open_one()
    budgets = [a_budget("usd", 100, period, Scope("tag", "*")) for period in ("day", "total")]
    first = [account_of(Scope("tag", "t0"), "usd", period, NOON) for period in ("day", "total")]  # type: ignore[arg-type]

    async def work() -> int:
        async with Place(database, "w1", budgets, store_settings) as place:

            async def spend(tag: str, usd: int) -> None:
                place.end(await place.hold(usd=usd, tags=(tag,)), usd=usd)

            under_way = [await place.hold(usd=30, tags=("t0",))]
            await spend("t0", 40)
            most = 0
            for round_ in range(3):
                for n in range(60):
                    await spend(f"r{round_}-{n}", 1)
                    most = max(most, len(place.dealer.slices._accounts))
                await asyncio.sleep(0.6)  # what lies idle goes back
            place.end(under_way.pop(), usd=20)
            for n in range(60):
                await spend(f"again-{n}", 1)
            await asyncio.to_thread(
                until, lambda: [spent for spent, _ in counted(database, *first)] == [60, 60]
            )
            await asyncio.sleep(0.6)
            for n in range(60):
                await spend(f"more-{n}", 1)
            assert first[0] not in place.dealer.slices._accounts
            with pytest.raises(BudgetSpent, match=r"0\.00000004 left"):
                await spend("t0", 41)
            await spend("t0", 40)
            return most

    assert asyncio.run(work()) <= 200
    assert [spent for spent, _ in counted(database, *first)] == [100, 100]


def test_concurrency_of_a_team_holds_over_its_keys_and_processes(open_one: Open) -> None:
    budgets = [a_budget("concurrency", 2)]

    async def work() -> None:
        async with Place(open_one(), "w1", budgets) as one, Place(open_one(), "w2", budgets) as two:
            first = await one.hold(ANN)
            second = await two.hold(BOB)
            with pytest.raises(RateLimited, match="team 'red' has its limit of 2 requests in flight"):
                await one.hold(BOB)
            assert first.draws == ()
            for place, hold in ((one, first), (two, second)):
                place.end(hold)
            admitted, give_up_at = 0, time.monotonic() + 60
            while admitted < 2:  # what lies idle elsewhere comes soon
                try:
                    await two.hold(ANN)
                    admitted += 1
                except RateLimited:
                    assert time.monotonic() < give_up_at
                    await asyncio.sleep(0.05)

    asyncio.run(work())


def test_further_calls_of_a_request_are_counted_with_it_in_the_period_it_came_in(open_one: Open) -> None:
    async def work() -> None:
        budgets = [a_budget("usd", 1000, "minute"), a_budget("requests", 1, "minute")]
        async with Place(open_one(), "w1", budgets) as place:
            first = await place.hold(usd=400)
            place.ledger.settle(first, NanoUSD(30))
            place.at_ms += MINUTE_MS
            place.ledger.keep_to(Book([]))
            second = await place.hold(usd=500, after=first)
            assert {draw.account: draw.amount for draw in second.draws} == {
                account_of(RED, "usd", "minute", NOON): 530,
                account_of(RED, "requests", "minute", NOON): 1,
            }
            beside = await place.hold(usd=300, after=second)
            place.ledger.settle(second, NanoUSD(0))
            place.ledger.settle(beside, NanoUSD(7))
            assert [draw.amount for draw in beside.draws] == [37, 1]

    asyncio.run(work())


def test_what_turns_out_to_be_simulated_is_held_on_that_side(open_one: Open) -> None:
    async def work() -> None:
        async with Place(open_one(), "w1", [a_budget("usd", 1000)]) as place:
            hold = await place.hold(usd=900)
            place.ledger.move(hold, simulated=True)
            again = await place.hold(usd=900)
            place.ledger.settle(hold, NanoUSD(900))
            place.ledger.settle(again, NanoUSD(900))

    asyncio.run(work())


def test_each_has_a_budget_of_its_own_and_one_by_name_stands_in_for_it() -> None:
    each = Budget("each", Scope("user", "*", "acme"), "usd", 10, "day")
    anns = Budget("anns", Scope("user", "ann", "acme"), "usd", 50, "day")
    stricter = Budget("stricter", Scope("user", "ann", "acme"), "usd", 40, "day")
    soft = Budget("soft", Scope("user", "ann", "acme"), "usd", 1, "day", hard=False)
    tags = Budget("tags", Scope("tag", "*"), "requests", 5, "day")
    book = Book([each, anns, soft, stricter, tags])
    assert [(b.scope.name, b.limit, b.hard) for b in book.of(ANN, ())] == [("ann", 40, True)]
    assert [(b.scope.name, b.limit) for b in book.of(BOB, ("x", "*", "x"))] == [
        ("bob", 10),
        ("x", 5),
        ("*", 5),
    ]
    assert book.of(Caller(user="ann", organisation="other"), ()) == ()
    assert book.of(Caller(), ()) == ()


def test_limits_of_the_key_itself_and_budgets_are_held_together(open_one: Open) -> None:
    async def work() -> None:
        who = Caller(
            key="key_1", organisation="acme", team="red", limits=Limits(concurrency=1, total_nanousd=500)
        )
        async with Place(open_one(), "w1", [a_budget("usd", 1000)]) as place:
            hold = await place.hold(who, usd=400)
            with pytest.raises(RateLimited, match="this key has its limit of 1 requests in flight"):
                await place.hold(who, usd=10)
            place.end(hold, 400)
            with pytest.raises(TrimtabError, match="this key"):
                await place.hold(who, usd=200)
            other = await place.hold(BOB, usd=600)
            assert hold.takes_money
            assert not other.takes_money

    asyncio.run(work())


def test_of_a_budget_that_everyone_has_those_who_used_most_are_shown_first(open_one: Open) -> None:
    each = Scope("user", "*", "acme")
    users = {
        name: account_of(Scope("user", name, "acme"), "usd", "day", NOON)
        for name in ("a", "b/c", "100%", "_")
    }
    others = [
        account_of(Scope("user", "a", "other"), "usd", "day", NOON),
        account_of(Scope("user", "a", "acme"), "usd", "day", NOON + DAY_MS),
        account_of(Scope("user", "a", "acme"), "tokens", "day", NOON),
        account_of(Scope("team", "a", "acme"), "usd", "day", NOON),
        account_of(Scope("tag", "x", "acme"), "usd", "day", NOON),
    ]
    database = open_one()
    rows = [(account, 0, n) for n, account in enumerate([*users.values(), *others])]
    database.write(lambda tx: tx.change_many("INSERT INTO key_spend VALUES (?, ?, ?)", rows))
    look = lambda scope, most: database.read(lambda tx: members_of(tx, scope, "usd", "day", NOON, most))  # noqa: E731
    assert look(each, 9) == [users[name] for name in ("_", "100%", "b/c", "a")]
    assert look(each, 2) == [users[name] for name in ("_", "100%")]
    assert look(Scope("tag", "*"), 9) == []


@pytest.fixture
def store_settings(either_store: str) -> StoreSettings:
    """The store that the databases of a test are in."""
    return StoreSettings(url=either_store)
