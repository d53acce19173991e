"""Whatever several processes do, in whatever order, and whenever they die: no hard budget is passed, nothing is counted
twice or lost, and nothing stays on loan to nobody. Where budgets hold what is expected, they are passed by no more than
what calls came to beyond that.

Each process is a ledger with its dealer and a store of its own, over one database of either engine. What a process that
died had written down (intents of calls under way, records that were not in the store yet) is recorded by another, as
recovery does it.
"""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from trimtab.budgets import Book, Dealer, Hold, Ledger, Use
from trimtab.budgets.purse import Amounts
from trimtab.catalogue import Arm, NanoUSD
from trimtab.errors import BudgetSpent, RateLimited
from trimtab.records import Attempt, Budget, Caller, Draw, Intent, Limits, Outcome, Plan, RequestId, Scope
from trimtab.store import StoreSettings, open_database, open_store
from trimtab.store.limits import Slice, Trade, forget_worker, join, trade

RED, ANN = Scope("team", "red", "acme"), Scope("user", "ann", "acme")
BUDGETS = (
    Budget("red", RED, "usd", 1000, "month"),
    Budget("red soft", RED, "tokens", 1, "total", hard=False),
    Budget("ann", ANN, "tokens", 300, "day"),
    Budget("ann's minute", ANN, "requests", 4, "minute"),
    Budget("each", Scope("key", "*"), "output_tokens", 150, "minute"),
    Budget("night", Scope("tag", "night"), "usd", 500, "total"),
    Budget("together", RED, "concurrency", 5),
)
LIMITS = {budget.name: budget.limit for budget in BUDGETS}
HOLDING_EXPECTED = ("red", "ann", "each")
CALLERS = (
    Caller(key="k1", organisation="acme", team="red", user="ann"),
    Caller(key="k2", organisation="acme", team="red", user="bob"),
    Caller(key="k3", organisation="acme", user="ann", limits=Limits(total_nanousd=700)),
)
BEGINNING = 1_795_348_800_000
PLAN = Plan(Arm("m"), "p")

Call = tuple["Process", Hold, int]
"""Whose, its leave, and its number."""

Asked = tuple[int, int, int, int]


class Process:
    """One process's worth, named as no other ever was."""

    def __init__(self, machine: "Accounts", n: int) -> None:
        self.name = f"w{n}"
        self._database = machine.database
        self.dealer = Dealer(self._exchange, lambda: machine.now, deadline_s=30)
        self.ledger = Ledger(self.dealer, lambda: machine.now)
        self.ledger.keep_to(Book(machine.budgets))
        self.store = open_store(machine.settings, clock_ms=lambda: 1, on_problem=None, worker=self.name)
        self.settled: Counter[str] = Counter()
        """By account of a slice."""
        self.unrecorded: list[Outcome] = []
        self.recorded = 0

    async def _exchange(self, trades: Sequence[Trade]) -> list[Slice]:
        def work(tx: Any) -> list[Slice]:
            join(tx, self.name, "h", 1)
            return trade(tx, self.name, trades)

        await asyncio.sleep(0)
        return self._database.write(work)

    def record(self, outcomes: Sequence[Outcome], *, recovered: bool = False) -> None:
        """Until they are in the store."""
        for outcome in outcomes:
            self.store.put(outcome, recovered)
        self.recorded += len(outcomes)
        end = time.monotonic() + 60
        while self.store.status().written < self.recorded:
            assert time.monotonic() < end
            time.sleep(0.001)


class Accounts(RuleBasedStateMachine):
    """What may happen."""

    url = ""
    """Of an empty database; made anew for each run."""

    @initialize(expected=st.booleans())
    def begin(self, expected: bool) -> None:
        self.budgets = [
            msgspec.structs.replace(one, reserve="expected")
            if expected and one.name in HOLDING_EXPECTED
            else one
            for one in BUDGETS
        ]
        self.settings = StoreSettings(url=self.new_url(), batch_ms=1)
        self.database = open_database(self.settings, clock_ms=lambda: 1)
        self.loop = asyncio.new_event_loop()
        self.now, self.at_ms, self.count = 1000.0, BEGINNING, 0
        self.calls: list[Call] = []
        self.used: Counter[tuple[str, bool]] = Counter()
        """By account and side: what was settled, at a dead process what it may have been."""
        self.beyond: Counter[str] = Counter()
        """By account of a slice: what calls came to beyond what was held for them."""
        self.processes: list[Process] = []
        self.started = 0
        for _ in range(3):
            self.start()

    def new_url(self) -> str:
        return f"sqlite:///{tempfile.mkdtemp()}/t.db"

    def start(self) -> None:
        self.started += 1
        self.processes.append(Process(self, self.started))
        self.run(self.processes[-1].dealer.start())

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    # What a client does

    amounts = st.tuples(st.integers(0, 400), st.integers(0, 120), st.integers(0, 90), st.integers(0, 130))
    """At the most, and what is expected in per cent of that; who expects too much is not believed."""

    async def reserved(self, process: Process, caller: Caller, night: bool, amounts: Asked, after: Hold | None) -> Hold | None:  # fmt: skip
        usd, into, out, percent = amounts
        use = Use(self.at_ms, ("night",) if night else (), into, out)
        try:
            return await process.ledger.reserve(
                NanoUSD(usd), simulated=False, caller=caller, use=use, after=after,
                expect=lambda: (usd * percent // 100, into * percent // 100, out * percent // 100),
            )  # fmt: skip
        except (BudgetSpent, RateLimited):
            return None

    @rule(which=st.integers(0, 2), who=st.sampled_from(CALLERS), night=st.booleans(), amounts=amounts)
    def ask(self, which: int, who: Caller, night: bool, amounts: Asked) -> None:
        process = self.processes[which]
        hold = self.run(self.reserved(process, who, night, amounts, None))
        if hold is not None:
            self.count += 1
            self.calls.append((process, hold, self.count))

    @rule(
        which=st.integers(0, 2), asked=st.lists(st.tuples(st.sampled_from(CALLERS), amounts), min_size=2, max_size=6),
        gone=st.sets(st.integers(0, 5)), turns=st.integers(0, 6),
    )  # fmt: skip
    def ask_at_once_and_leave(self, which: int, asked: list[tuple[Caller, Asked]], gone: set[int], turns: int) -> None:  # fmt: skip
        """Several together, of whom some go away while they wait, or just when they got it."""
        process = self.processes[which]

        async def work() -> list[Hold | BaseException | None]:
            tasks = [
                asyncio.create_task(self.reserved(process, who, False, amounts, None))
                for who, amounts in asked
            ]
            for _ in range(turns):
                await asyncio.sleep(0)
            for n in gone:
                if n < len(tasks):
                    tasks[n].cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

        for hold in self.run(work()):
            if isinstance(hold, Hold):
                self.count += 1
                self.calls.append((process, hold, self.count))
            else:
                assert hold is None or isinstance(hold, asyncio.CancelledError), hold

    @rule(n=st.integers(0, 99), part=st.integers(0, 100), again=amounts)
    def fail_and_ask_again(self, n: int, part: int, again: Asked) -> None:
        """A further call of the same request, after the first one has failed, maybe after it was billed in part."""
        if not self.calls:  # no precondition: how soon what lies idle goes back is up to the machine's clock
            return
        process, hold, number = self.calls.pop(n % len(self.calls))
        self.settled(process, hold, part)
        further = self.run(self.reserved(process, CALLERS[0], False, again, hold))
        if further is None:
            self.ended(process, hold, number)
        else:
            self.used -= self.drawn_after(hold)  # it is in the further one's from here on
            self.calls.append((process, further, number))

    def drawn_after(self, hold: Hold) -> Counter[tuple[str, bool]]:
        return self.last_settled

    def settled(self, process: Process, hold: Hold, part: int) -> None:
        usd, _, into, out, request, _ = hold.amounts[:6]
        usd, into, out = usd * part // 100, into * part // 100, out * part // 100
        known = part % 7 > 0
        process.ledger.settle(hold, NanoUSD(usd), (into, out) if known else None)
        came_to = (usd, into + out, into, out, request, 0) if known else (usd, *hold.amounts[1:6])
        taken = self.taken(hold, came_to)
        process.settled += {account: amount for account, (amount, _) in taken.items()}
        self.beyond += {account: max(0, amount - held) for account, (amount, held) in taken.items()}
        self.last_settled = Counter({(one.account, one.leased): one.amount for one in hold.draws})
        self.used += self.last_settled

    @staticmethod
    def taken(hold: Hold, amounts: Amounts) -> dict[str, tuple[int, int]]:
        """Of these amounts what falls on each slice, and what is held there."""
        purse = hold.purse
        if purse is None:
            return {}
        amounts = (*amounts[:6], *amounts[:4])
        return {
            one.account: (amounts[meter], hold.amounts[meter])
            for one, meter in zip(purse.slices, purse.meters, strict=True)
        }

    def ended(self, process: Process, hold: Hold, number: int) -> None:
        process.unrecorded.append(self.outcome(number, hold.draws))

    def outcome(self, number: int, draws: tuple[Draw, ...]) -> Outcome:
        return Outcome(
            RequestId(f"{number:032x}"), BEGINNING, "live", "messages", "messages", "m", "s", "ok", 200, False, PLAN,
            (Attempt("p", "m", "ok"),), draws=draws,
        )  # fmt: skip

    @rule(n=st.integers(0, 99), part=st.integers(0, 100))
    def answer(self, n: int, part: int) -> None:
        if not self.calls:
            return
        process, hold, number = self.calls.pop(n % len(self.calls))
        self.settled(process, hold, part)
        self.ended(process, hold, number)

    @rule(n=st.integers(0, 99))
    def take_back(self, n: int) -> None:
        """The call could not be written down, so it is not made."""
        if not self.calls:
            return
        process, hold, _ = self.calls[n % len(self.calls)]
        if hold.amounts[4]:  # the first call of its request
            self.calls.pop(n % len(self.calls))
            process.ledger.release(hold)
            assert hold.draws == ()

    # What goes on beside

    @rule(which=st.integers(0, 2))
    def write_records(self, which: int) -> None:
        process = self.processes[which]
        process.record(process.unrecorded)
        process.unrecorded = []

    @rule(seconds=st.sampled_from((0.06, 0.5, 3.0)))
    def time_passes(self, seconds: float) -> None:
        """What lies idle goes back with the next exchange."""
        self.now += seconds

    @rule(ms=st.sampled_from((20_000, 61_000, 86_400_000, 31 * 86_400_000)))
    def periods_change(self, ms: int) -> None:
        self.at_ms += ms

    @rule(ms=st.sampled_from((61_000, 3_600_000, 86_400_000)), seconds=st.sampled_from((0.5, 6.0)))
    def the_clock_is_set_back(self, ms: int, seconds: float) -> None:
        """Periods come again of which processes have forgotten their slices, minutes after all was recorded."""
        for which, process in enumerate(self.processes):
            self.write_records(which)
            process.dealer._seen_at = self.now + seconds
        self.at_ms -= ms
        for process in self.processes:
            process.ledger.hard_budgets(CALLERS[1], self.at_ms, ())
        self.now += seconds

    @rule(which=st.integers(0, 2), whole=st.booleans())
    def kill(self, which: int, whole: bool) -> None:
        """`kill -9`; its journal is recovered by another process, or was lost with its disk."""
        dead = self.processes.pop(which)
        dead.dealer._task.cancel()  # type: ignore[union-attr]
        self.run(asyncio.wait([dead.dealer._task]))  # type: ignore[list-item]
        dead.store.close(60)
        under_way = [(hold, number) for process, hold, number in self.calls if process is dead]
        self.calls = [call for call in self.calls if call[0] is not dead]
        for hold, _ in under_way:
            self.used += Counter({(one.account, one.leased): one.amount for one in hold.draws})
            self.beyond += {account: worst - held for account, (worst, held) in self.taken(hold, hold.amounts).items()}  # fmt: skip
        self.start()
        if whole:
            intents = [self.intent(number, hold) for hold, number in under_way]
            outcomes = [*dead.unrecorded, *(one.outcome() for one in intents)]
            self.processes[-1].record(outcomes, recovered=True)
        else:
            lost = [*(hold.draws for hold, _ in under_way), *(outcome.draws for outcome in dead.unrecorded)]
            for draws in lost:
                self.used -= Counter({(one.account, one.leased): one.amount for one in draws})
        leased = self.leases(dead.name)
        self.database.write(lambda tx: forget_worker(tx, dead.name, spent=not whole))
        if not whole:
            self.used += Counter(
                {
                    (account, True): amount
                    for account, amount in leased.items()
                    if amount > 0 and "=" in account
                }
            )

    def intent(self, number: int, hold: Hold) -> Intent:
        made = Intent(
            RequestId(f"{number:032x}"), BEGINNING, "live", "messages", "m", "s", PLAN, "m", NanoUSD(0), draws=hold.draws
        )  # fmt: skip
        return msgspec.json.decode(msgspec.json.encode(made), type=Intent)

    # What holds

    def leases(self, worker: str = "") -> dict[str, int]:
        rows = self.database.read(
            lambda tx: tx.rows(
                "SELECT key_id, sum(outstanding_nanousd) FROM key_leases WHERE outstanding_nanousd > 0 "
                "AND (? = '' OR worker = ?) GROUP BY key_id",
                (worker, worker),
            )
        )
        return {str(account): int(amount) for account, amount in rows}

    def spent(self) -> dict[str, int]:
        rows = self.database.read(lambda tx: tx.rows("SELECT key_id, spent_nanousd FROM key_spend"))
        return {str(account): int(amount) for account, amount in rows}

    def limit_of(self, account: str) -> int:
        whose, meter = account.split("/", maxsplit=1)[0], account.split("/")[-2]
        for budget in BUDGETS:
            scope = f"{budget.scope.kind}="
            if budget.hard and whose.startswith(scope) and budget.meter == meter:
                return budget.limit
        raise AssertionError(account)

    @invariant()
    def no_hard_budget_is_passed(self) -> None:
        if not hasattr(self, "used"):
            return
        used, beyond = Counter(self.used), Counter(self.beyond)
        for _, hold, _ in self.calls:
            beyond += {account: worst - held for account, (worst, held) in self.taken(hold, hold.amounts).items()}  # fmt: skip
            used += Counter({(one.account, one.leased): one.amount for one in hold.draws})
        for (account, leased), amount in used.items():
            assert not leased or amount <= self.limit_of(account) + beyond[account], account
        spent, out = self.spent(), self.leases()
        for account in spent.keys() | out.keys():
            if "=" in account and "/tokens/total" not in account:
                most = self.limit_of(account) + self.beyond[account]
                assert spent.get(account, 0) + out.get(account, 0) <= most, account
        assert sum(hold.purse is not None and hold.purse.slices[-1].caps.concurrency is not None for _, hold, _ in self.calls) <= LIMITS["together"]  # fmt: skip

    @invariant()
    def a_process_has_what_it_was_granted_and_did_not_use_or_hold(self) -> None:
        if not hasattr(self, "used"):
            return
        for process in self.processes:
            held: Counter[str] = Counter()
            for mine, hold, _ in self.calls:
                if mine is process:
                    held += {account: amount for account, (_, amount) in self.taken(hold, hold.amounts).items()}  # fmt: skip
            for one in process.dealer.slices.in_use():
                if one.caps.total is not None:
                    there = one.balance[False] + held[one.account] + process.settled[one.account]
                    assert there == one._granted[False], one.account

    def teardown(self) -> None:
        if not hasattr(self, "used"):
            return
        try:
            self.end()
        finally:
            self.database.close()
            self.loop.close()

    def end(self) -> None:
        """All calls end, all processes close, and the books are held against what was used."""
        for n in range(len(self.calls)):
            self.answer(0, n * 7 % 101)
        self.now += 100
        for process in self.processes:
            process.record(process.unrecorded)
            self.run(process.dealer.aclose())
            process.store.close(60)
        assert {account: amount for account, amount in self.leases().items() if "=" in account} == {}
        counted = {account: amount for account, amount in self.spent().items() if "=" in account and amount}
        used: Counter[str] = Counter()
        for (account, _), amount in self.used.items():
            used[account] += amount
        assert counted == dict(+used)


HOW = hypothesis_settings(max_examples=25, stateful_step_count=40)


def test_on_sqlite() -> None:
    run_state_machine_as_test(Accounts, settings=HOW)


def test_on_postgresql(postgres_server: Any) -> None:
    class OnPostgres(Accounts):
        def new_url(self) -> str:
            return str(postgres_server.new_database())

    run_state_machine_as_test(OnPostgres, settings=hypothesis_settings(HOW, max_examples=8))


if __name__ == "__main__":
    pytest.main([__file__])
