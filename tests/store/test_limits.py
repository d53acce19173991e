"""Many accounts in one exchange get what each would get alone, for the price of a few statements."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from trimtab.store import Database, Transaction
from trimtab.store.database import Row
from trimtab.store.limits import Caps, Slice, Trade, trade

NOW_MS = 1_800_000_000_000
OpenDatabase = Callable[[str], Database]
TABLES = {
    "key_leases": "substr(key_id, 2), simulated, worker, outstanding_nanousd, granted_nanousd",
    "key_permits": "substr(key_id, 2), worker, permits",
    "rate_slots": "substr(key_id, 2), slot_s, granted",
}


class Counted:
    """A transaction that counts what it asks the engine, with a clock that stands."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.words = transaction.words
        self.statements = 0

    def now_ms(self) -> int:
        return NOW_MS

    def __getattr__(self, name: str) -> Any:
        self.statements += 1
        return getattr(self._transaction, name)


def some_trades(dice: random.Random) -> list[Trade]:
    """One or two sides of some accounts, which keep, give back and ask for all kinds of things."""
    found = []
    for account in dice.sample("abcdefgh", dice.randint(1, 8)):
        caps = Caps(dice.choice([None, 5]), dice.choice([None, 7]), dice.choice([None, 1000]))
        found += [
            Trade(
                account=account,
                caps=caps,
                permits_kept=dice.choice([None, 0, 2]) if not side else None,
                permits_wanted=dice.randint(0, 3),
                rate_back=dice.choice([0, 0, 1]) if not side else 0,
                rate_back_slot=NOW_MS // 1000,
                rate_wanted=dice.randint(0, 3) if not side else 0,
                simulated=side,
                amount_kept=dice.choice([None, dice.randint(0, 300)]),
                amount_needed=dice.choice([0, dice.randint(1, 200)]),
                amount_wanted=dice.randint(0, 400),
                amount_ahead=dice.randint(0, 9000),
            )
            for side in (False, True)[: dice.randint(1, 2)]
        ]
    return found


def rows_of(database: Database, table: str, columns: str, place: str) -> list[Row]:
    asked = f"SELECT {columns} FROM {table} WHERE substr(key_id, 1, 1) = ?"
    return sorted(database.read(lambda tx: tx.rows(asked, (place,))))


def test_each_account_gets_together_with_others_what_it_gets_alone(
    url: str, database_at: OpenDatabase
) -> None:
    database, dice = database_at(url), random.Random(20)
    database.write(
        lambda tx: tx.change_many(
            "INSERT INTO key_spend (key_id, simulated, spent_nanousd) VALUES (?, ?, ?)",
            [(place + account, side, 250) for place in "12" for account in "abc" for side in (0, 1)],
        )
    )

    def run(place: str, worker: str, trades: Sequence[Trade]) -> list[Slice]:
        placed = [msgspec.structs.replace(one, account=place + one.account) for one in trades]
        return database.write(lambda tx: trade(Counted(tx), worker, placed), durable=False)

    granted = 0
    for _ in range(60):
        trades, worker = some_trades(dice), dice.choice(["w1", "w2"])
        together = run("1", worker, trades)
        assert together == [run("2", worker, [one])[0] for one in trades]
        granted += sum(bool(one.permits or one.requests or one.amount) for one in together)
    for table, columns in TABLES.items():
        one, two = (rows_of(database, table, columns, place) for place in "12")
        assert one == two != [], table
    assert granted > 60


def test_sixty_new_tags_cost_the_store_no_more_questions_than_one(
    url: str, database_at: OpenDatabase
) -> None:
    database = database_at(url)

    def statements(accounts: int) -> int:
        counted: list[Counted] = []
        caps = Caps(5, 60, 1000)
        trades = [
            Trade(
                account=f"{accounts} {n}",
                caps=caps,
                permits_kept=0,
                permits_wanted=1,
                rate_wanted=1,
                amount_kept=0,
                amount_needed=10,
            )
            for n in range(accounts)
        ]

        def work(tx: Transaction) -> list[Slice]:
            counted.append(Counted(tx))
            return trade(counted[-1], "w", trades)

        assert all(one.permits == one.requests == 1 and one.amount == 10 for one in database.write(work))
        return counted[-1].statements

    assert statements(60) == statements(1) <= 10
