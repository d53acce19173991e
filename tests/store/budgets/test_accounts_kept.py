"""What accounts of budgets begin with, and for how long they are kept."""

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trimtab.catalogue import Arm
from trimtab.messages import Usage
from trimtab.records import Attempt, Budget, Outcome, Plan, RequestId, Scope, account_of
from trimtab.store import Database, StoreSettings, open_database, open_store
from trimtab.store.budgets.beginnings import begin
from trimtab.store.budgets.old import forget_old_accounts

DAY_MS = 86_400_000
NOON = int(datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC).timestamp()) * 1000


class Clocked:
    """A transaction with a clock of ours."""

    def __init__(self, transaction: object, now_ms: int) -> None:
        self._transaction, self._now_ms = transaction, now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def __getattr__(self, name: str) -> object:
        return getattr(self._transaction, name)


class ClockedDatabase:
    """A database with a clock of ours, whatever its engine says the time is."""

    def __init__(self, database: Database, now_ms: int) -> None:
        self._database, self._now_ms = database, now_ms

    def read(self, work: Callable[[object], object]) -> object:
        return self._database.read(lambda tx: work(Clocked(tx, self._now_ms)))

    def write(self, work: Callable[[object], object], *, durable: bool = True) -> object:
        return self._database.write(lambda tx: work(Clocked(tx, self._now_ms)), durable=durable)


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> StoreSettings:
    if request.param == "postgresql":
        return StoreSettings(url=request.getfixturevalue("postgres_url"))
    return StoreSettings(url=f"sqlite:///{tmp_path}/t.db")


@pytest.fixture
def database(settings: StoreSettings) -> Iterator[Database]:
    opened = open_database(settings, clock_ms=lambda: NOON)
    yield opened
    opened.close()


def record(n: int, key: str, at_ms: int, cost: int = 100, **more: object) -> Outcome:
    usage = Usage(input_tokens=5, cache_read_input_tokens=3, output_tokens=2)
    attempt = Attempt("p", "m", "ok", usage=usage, cost_nanousd=cost, cost_source="reported")
    fields: dict[str, object] = {
        "id": RequestId(f"{n:032x}"),
        "at_ms": at_ms,
        "purpose": "live",
        "surface": "messages",
        "endpoint": "messages",
        "requested_model": "m",
        "session": "s",
        "result": "ok",
        "status": 200,
        "stream": False,
        "plan": Plan(Arm("m"), "p"),
        "attempts": (attempt,),
        "cost_nanousd": cost,
        "key": key,
        "team": "red" if key != "k3" else "blue",
        "organisation": "acme",
    }
    return Outcome(**(fields | more))  # type: ignore[arg-type]


def spent(database: Database) -> dict[tuple[str, int], int]:
    rows = database.read(lambda tx: tx.rows("SELECT key_id, simulated, spent_nanousd FROM key_spend"))
    return {
        (str(account), int(simulated)): int(amount)
        for account, simulated, amount in rows
        if "=" in str(account)
    }


def test_a_budget_that_is_set_in_the_middle_of_its_period_begins_with_what_was_spent_in_it(
    settings: StoreSettings, database: Database
) -> None:
    store = open_store(settings, clock_ms=lambda: NOON, on_problem=None)
    store.put(record(1, "k1", NOON))
    store.put(record(2, "k2", NOON - DAY_MS))
    store.put(record(3, "k1", NOON - 40 * DAY_MS))  # another month
    store.put(record(4, "k3", NOON))
    store.put(record(5, "k1", NOON, simulated=True))
    store.put(record(6, "k1", NOON, purpose="eval"))
    store.put(record(7, "k1", NOON, attempts=(), cost_nanousd=0, result="error"))  # refused
    assert store.close(20) == 0
    for n, user in enumerate(("ann", "bob", "ann"), start=1):
        database.write(
            lambda tx, n=n, user=user: tx.change(  # type: ignore[misc]
                "INSERT INTO keys (id, version, name, organisation, team, user_name, created_ms, admin, limits, labels) "
                "VALUES (?, 1, ?, 'acme', '', ?, 1, 0, '{}', '{}')",
                (f"k{n}", f"k{n}", user),
            )
        )
    scopes = [
        Scope("team", "red", "acme"),
        Scope("user", "*", "acme"),
        Scope("user", "bob", "acme"),
        Scope("key", "k1"),
    ]
    budgets = [
        Budget("a", scopes[0], "usd", 1, "month"),
        Budget("b", scopes[0], "tokens", 1, "day"),
        Budget("c", scopes[1], "usd", 1, "month"),
        Budget("d", scopes[2], "usd", 1, "month"),
        Budget("e", scopes[3], "requests", 1, "total"),
        Budget("f", scopes[3], "output_tokens", 1, "minute"),
        Budget("g", Scope("tag", "t"), "usd", 1),
    ]
    clocked: Database = ClockedDatabase(database, NOON)  # type: ignore[assignment]
    assert begin(clocked, budgets) == 5
    red, red_tokens, each, bob, k1 = (account_of(b.scope, b.meter, b.period, NOON) for b in budgets[:5])
    ann = account_of(Scope("user", "ann", "acme"), "usd", "month", NOON)
    found = spent(database)
    assert found == {
        (red, 0): 200, (red, 1): 100, (red_tokens, 0): 10, (red_tokens, 1): 10, (each, 0): 0, (each, 1): 0,
        (ann, 0): 200, (ann, 1): 100, (bob, 0): 100, (bob, 1): 0, (k1, 0): 2, (k1, 1): 1,
    }  # fmt: skip
    again = open_store(settings, clock_ms=lambda: NOON, on_problem=None)
    again.put(record(8, "k1", NOON))  # as a process that does not count it yet
    assert again.close(20) == 0
    assert begin(clocked, budgets) == 0
    assert spent(database) == found  # it is counted on from when it began
    assert begin(clocked, budgets, known=budgets[1:]) == 1  # it was gone for a while
    assert spent(database) == found | {(red, 0): 300}
    later: Database = ClockedDatabase(database, NOON + 20 * DAY_MS)  # type: ignore[assignment]
    assert begin(later, budgets) == 4
    assert spent(database)[account_of(scopes[0], "usd", "month", NOON + 20 * DAY_MS), 0] == 0


def test_accounts_whose_periods_are_long_over_are_forgotten_and_no_other(database: Database) -> None:
    red, odd = Scope("team", "red", "acme"), Scope("tag", "2026-01")
    hour = 3_600_000
    kept = [
        account_of(red, "usd", "minute", NOON - hour),
        account_of(red, "usd", "day", NOON - 61 * DAY_MS),
        account_of(red, "usd", "month", NOON - 390 * DAY_MS),
        account_of(odd, "usd", "total", NOON),
        "key_1",
        "2020-01",
    ]
    old = [
        account_of(red, "usd", "minute", NOON - 3 * hour),
        account_of(red, "usd", "minute", NOON - 500 * DAY_MS),
        account_of(odd, "tokens", "day", NOON - 64 * DAY_MS),
        account_of(odd, "requests", "month", NOON - 440 * DAY_MS),
    ]
    for account in kept + old:
        database.write(lambda tx, a=account: tx.change("INSERT INTO key_spend VALUES (?, 0, 5)", (a,)))  # type: ignore[misc]
        database.write(
            lambda tx, a=account: tx.change("INSERT INTO key_leases VALUES (?, 0, 'w', 5, 5)", (a,))
        )  # type: ignore[misc]
        database.write(lambda tx, a=account: tx.change("INSERT INTO limit_locks VALUES (?)", (a,)))  # type: ignore[misc]
    clocked = ClockedDatabase(database, NOON)
    while clocked.write(forget_old_accounts):  # type: ignore[arg-type]
        pass
    for table in ("key_spend", "key_leases", "limit_locks"):
        left = database.read(lambda tx, t=table: tx.rows(f"SELECT key_id FROM {t}"))  # type: ignore[misc]
        assert sorted(str(account) for (account,) in left) == sorted(kept)
