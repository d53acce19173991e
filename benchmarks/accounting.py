"""What budgets cost the CPU: a request's reserve and settle, and its intent and record, with 0, 1 and 4 accounts.

    python benchmarks/accounting.py [--smoke]

In memory, without a server, a store or a journal's file: slices are granted without bound, as they are nearly always in
steady use. The rounds of all kinds alternate, and the median counts, so that other work on the machine hits all alike.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Sequence

import msgspec

from trimtab.budgets import UNUSED, Book, Dealer, Hold, Ledger, Use
from trimtab.catalogue import Arm, NanoUSD
from trimtab.records import Budget, Caller, Intent, Limits, Plan, RequestId, Scope
from trimtab.store.limits import Slice, Trade

PLAN = Plan(Arm("claude-sonnet-4-6", "medium"), "claude", "default", ("tier default is claude-sonnet-4-6",))
CALLER = Caller(key="key_1", organisation="default", team="red", user="ann")
BUDGETS = (
    Budget("team", Scope("team", "red", "default"), "usd", 10**15, "month"),
    Budget("user", Scope("user", "ann", "default"), "tokens", 10**12, "day"),
    Budget("key", Scope("key", "key_1"), "output_tokens", 10**12, "day"),
    Budget("all", Scope("organisation", "default"), "requests", 10**12, "day"),
)
AT_MS = 1_795_348_800_000
NO_LIMITS = Limits()
WORST = NanoUSD(3_000_000)
ENCODER = msgspec.json.Encoder()


async def grant(trades: Sequence[Trade]) -> list[Slice]:
    """All that is asked for, and so much that nobody asks again soon."""
    return [Slice(64, 64, 0, one.amount_needed and 10**11, 10**15) for one in trades]


class Kind:
    """Requests of one kind of caller."""

    def __init__(self, name: str, budgets: Sequence[Budget], limits: Limits = NO_LIMITS) -> None:
        self.name = name
        self._caller = msgspec.structs.replace(CALLER, limits=limits)
        self.dealer = Dealer(grant, time.monotonic, deadline_s=5)
        self.ledger = Ledger(self.dealer, time.monotonic)
        self.ledger.keep_to(Book(budgets))
        self.rounds: list[float] = []

    async def one(self) -> Hold:
        """Reserve, and settle at less."""
        ledger = self.ledger
        use = Use(AT_MS, (), 1200, 500) if ledger.has_budgets else UNUSED
        hold = await ledger.reserve(WORST, simulated=False, caller=self._caller, use=use)
        ledger.settle(hold, NanoUSD(1_000_000), (800, 200))
        return hold

    async def measure(self, count: int, also: Callable[[Hold], object] | None = None) -> None:
        """One round."""
        one = self.one
        began = time.process_time()
        for _ in range(count):
            hold = await one()
            if also is not None:
                also(hold)
        self.rounds.append((time.process_time() - began) / count * 1e6)


def written(hold: Hold) -> bytes:
    """The line of its intent, which the record repeats."""
    return ENCODER.encode(
        Intent(
            RequestId("0" * 32), AT_MS, "live", "messages", "trimtab/auto", "s", PLAN, "claude-sonnet-4-6", WORST,
            key="key_1", organisation="default", team="red", user="ann", draws=hold.draws,
        )
    )  # fmt: skip


async def measured(count: int, rounds: int) -> None:
    """Print a line for each kind."""
    for title, also in (("reserve and settle", None), ("and the line of the intent", written)):
        kinds = [
            Kind("no limit, no budget", ()),
            Kind("budgets of others", (Budget("o", Scope("team", "blue", "default"), "usd", 1),)),
            Kind("a key with --usd", (), Limits(total_nanousd=10**15)),
            Kind("1 account", BUDGETS[:1]),
            Kind("4 accounts", BUDGETS),
        ]
        for kind in kinds:
            await kind.dealer.start()
        for _ in range(rounds):
            for kind in kinds:
                await kind.measure(count, also)
        print(f"{title}, us of CPU:")
        for kind in kinds:
            middle, least = statistics.median(kind.rounds), min(kind.rounds)
            print(f"  {kind.name:24}{middle:8.2f}   (best round {least:.2f})", flush=True)
            await kind.dealer.aclose()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a few requests of each kind")
    smoke = parser.parse_args().smoke
    asyncio.run(measured(200 if smoke else 5_000, 2 if smoke else 15))


if __name__ == "__main__":
    main()
