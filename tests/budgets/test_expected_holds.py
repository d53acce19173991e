"""A budget that holds what is expected of calls in flight lets many of them run, and is passed by what they use beyond
it and by no more."""

import asyncio
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.budgets import Book, Dealer, Hold, Ledger, Use
from trimtab.catalogue import NanoUSD
from trimtab.errors import BudgetSpent, RateLimited
from trimtab.records import Budget, Caller, Reserve, Scope
from trimtab.store.limits import Slice, Trade

RED = Scope("team", "red", "acme")
ANN = Caller(key="k1", organisation="acme", team="red", user="ann")
NOON = 1_795_348_800_000
MOST, USUAL = 64_000, 5_000


class Alone:
    """One process, and a database that grants what is left of one limit."""

    def __init__(self, *budgets: Budget, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.left = {False: budgets[0].limit, True: budgets[0].limit}
        self.kept = {False: 0, True: 0}
        self.dealer = Dealer(self._exchange, monotonic, deadline_s=20)
        self.ledger = Ledger(self.dealer, monotonic)
        self.ledger.keep_to(Book(budgets))

    async def _exchange(self, trades: Sequence[Trade]) -> list[Slice]:
        got = []
        for one in trades:
            side = one.simulated
            if one.amount_kept is not None:
                self.left[side] += self.kept[side] - one.amount_kept
                self.kept[side] = one.amount_kept
            enough = one.amount_needed and self.left[side] >= one.amount_needed
            amount = min(self.left[side], max(one.amount_needed, one.amount_wanted)) if enough else 0
            self.left[side] -= amount
            self.kept[side] += amount
            got.append(Slice(amount=amount, unspent=self.left[side] if one.amount_needed else None))
        return got

    async def __aenter__(self) -> "Alone":
        await self.dealer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.dealer.aclose()

    async def hold(self, at_ms: int = NOON, simulated: bool = False, expected: int = USUAL) -> Hold:
        return await self.ledger.reserve(
            NanoUSD(0),
            simulated=simulated,
            caller=ANN,
            use=Use(at_ms, (), 0, MOST),
            expect=lambda: (0, 0, expected),
        )


def a_minute(reserve: Reserve, limit: int = 100_000, **more: bool) -> Budget:
    return Budget("red", RED, "output_tokens", limit, "minute", reserve=reserve, **more)


async def as_many_as_run(place: Alone, most: int = 12) -> list[Hold]:
    holds: list[Hold] = []
    try:
        while len(holds) < most:
            holds.append(await place.hold())
    except (RateLimited, BudgetSpent):
        pass
    return holds


def test_calls_run_side_by_side_by_what_is_expected_of_them_and_not_by_their_max_tokens() -> None:
    async def work(reserve: Reserve) -> int:
        async with Alone(a_minute(reserve)) as place:
            return len(await as_many_as_run(place, 25))

    assert asyncio.run(work("worst")) == 1
    assert asyncio.run(work("expected")) == 20


def test_who_used_more_than_was_expected_waits_for_the_next_minute() -> None:
    async def work() -> None:
        async with Alone(a_minute("expected")) as place:
            holds = await as_many_as_run(place, 10)
            for hold in holds:
                place.ledger.settle(hold, NanoUSD(0), (0, 20_000))
            with pytest.raises(RateLimited):
                await place.hold()
            with pytest.raises(RateLimited):
                await place.hold(expected=0)  # whoever expects nothing may not begin, either
            assert [draw.amount for hold in holds for draw in hold.draws] == [20_000] * 10

    asyncio.run(work())


def test_what_nobody_knows_of_a_call_counts_at_its_worst_case_and_not_at_what_was_expected() -> None:
    async def work() -> None:
        async with Alone(a_minute("expected")) as place:
            first = await place.hold()
            assert [draw.amount for draw in first.draws] == [MOST]  # what stands should this process die
            place.ledger.settle(first, NanoUSD(0), None)
            assert len(await as_many_as_run(place)) == (100_000 - MOST) // USUAL

    asyncio.run(work())


def test_what_is_expected_is_held_on_the_side_where_the_call_turns_out_to_be() -> None:
    async def work() -> None:
        async with Alone(a_minute("expected")) as place:
            hold = await place.hold()
            place.ledger.move(hold, simulated=True)
            place.ledger.settle(hold, NanoUSD(0), (0, 100_000))
            with pytest.raises(RateLimited):
                await place.hold(simulated=True)
            assert len(await as_many_as_run(place, 25)) == 20

    asyncio.run(work())


def test_nobody_is_asked_what_to_expect_where_no_budget_of_the_caller_wants_it() -> None:
    async def work() -> None:
        async with Alone(a_minute("worst")) as place:
            assert not place.ledger.holds_expected
            hold = await place.ledger.reserve(
                NanoUSD(0),
                simulated=False,
                caller=ANN,
                use=Use(NOON, (), 0, MOST),
                expect=lambda: pytest.fail("asked"),
            )
            place.ledger.release(hold)

    asyncio.run(work())


def test_of_two_budgets_on_one_account_the_one_that_must_not_be_passed_is_not() -> None:
    for budgets in (
        (a_minute("expected", 100), a_minute("worst", 200)),
        (a_minute("worst", 200), a_minute("expected", 100)),
        (a_minute("worst", 100), a_minute("expected", 200)),
        (a_minute("expected", 100), a_minute("worst", 100), a_minute("expected", 50, hard=False)),
    ):
        (found,) = Book(budgets).of(ANN, ())
        assert (found.hard, found.limit, found.reserve) == (True, 100, "worst"), budgets
    (found,) = Book((a_minute("expected", 100), a_minute("worst", 50, hard=False))).of(ANN, ())
    assert (found.hard, found.limit, found.reserve) == (True, 100, "expected")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 70_000)),
        st.tuples(st.just("end"), st.integers(0, MOST)),
        st.tuples(st.just("lost"), st.just(MOST)),
    ),
    min_size=1,
    max_size=60,
)


@given(steps=STEPS)
@settings(max_examples=60)
def test_a_limit_is_passed_by_no_more_than_calls_in_flight_use_beyond_what_was_expected(
    steps: list[tuple[str, int]],
) -> None:
    limit = 100_000
    now = 1000.0

    async def work() -> None:
        nonlocal now
        counted, flying, beyond = 0, [], {}
        async with Alone(a_minute("expected", limit), monotonic=lambda: now) as place:
            for what, tokens in steps:
                now += 1.0
                if what == "ask":
                    try:
                        hold = await place.hold(expected=tokens)
                    except (RateLimited, BudgetSpent):
                        continue
                    flying.append((hold, min(max(tokens, 1), MOST)))
                    assert counted + sum(held for _, held in flying) <= limit
                    beyond = dict.fromkeys([id(one) for one, _ in flying], 0)
                elif flying:
                    hold, held = flying.pop(tokens % len(flying))
                    place.ledger.settle(hold, NanoUSD(0), (0, tokens) if what == "end" else None)
                    counted += tokens
                    beyond[id(hold)] = max(0, tokens - held)
                    assert counted <= limit + sum(beyond.values())

    asyncio.run(work())
