"""What serving processes know of budgets: which are in force, which are nearly spent, and who tells of it."""

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from key_store import CLI, admin_of, make
from waiting import until_so

from trimtab.admin import BudgetAdmin, FileBudgets
from trimtab.app.budget_watch import BudgetWatch
from trimtab.budgets import Book
from trimtab.budgets.settings import BudgetSettings
from trimtab.budgets.warnings import REFUSING, Refusals, Refused
from trimtab.errors import StoreError
from trimtab.records import Budget, Scope, account_of
from trimtab.store import Database, StoreSettings, open_database

RED = "team=acme/red/tokens/total"


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = (
        f"sqlite:///{tmp_path}/t.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    )
    opened = open_database(StoreSettings(url=url), clock_ms=clock_ms)
    make(admin_of(opened), organisation="acme", team="red", user="ann")
    yield opened
    opened.close()


def spend(database: Database, account: str, amount: int, simulated: bool = False) -> None:
    """As records do."""
    database.write(
        lambda tx: tx.change(
            "INSERT INTO key_spend (key_id, simulated, spent_nanousd) VALUES (?, ?, ?) ON CONFLICT (key_id, simulated) "
            "DO UPDATE SET spent_nanousd = excluded.spent_nanousd",
            (account, int(simulated), amount),
        )
    )


class Process:
    """A serving process, as far as budgets go."""

    def __init__(self, database: Database, file: dict[str, BudgetSettings]) -> None:
        self.books: list[Book] = []
        self.problems: list[str] = []
        self.refusals = Refusals()
        self.watch = BudgetWatch(
            database,
            self.books.append,
            clock_ms=clock_ms,
            on_problem=self.problems.append,
            refusals=self.refusals,
        )
        self.admin = BudgetAdmin(database, FileBudgets("trimtab.toml", file))
        self.watch.follow(self.admin, None)
        self.watch.load()

    def limits(self) -> list[tuple[str, int]]:
        return [(one.name, one.limit) for one in self.books[-1].budgets]


def red(tokens: int = 100, **more: Any) -> BudgetSettings:
    return BudgetSettings(organisation="acme", team="red", tokens_total=tokens, **more)


def running(*processes: Process, work: Callable[[], Any]) -> None:
    """With the threads of these processes."""

    async def whole() -> None:
        for one in processes:
            one.watch.start()
        try:
            await work()
        finally:
            for one in processes:
                await asyncio.to_thread(one.watch.close)

    asyncio.run(whole())


def test_what_the_file_says_is_in_force_when_loading_ends_and_changes_of_the_store_come_by_themselves(
    database: Database,
) -> None:
    one, two = (Process(database, {"file": red(7, soft=True)}) for _ in range(2))
    assert one.limits() == two.limits() == [("file.tokens_total", 7)]

    async def work() -> None:
        one.admin.put(CLI, "own", red(50))
        for process in (one, two):
            await until_so(
                lambda process=process: (
                    process.limits() == [("file.tokens_total", 7), ("own.tokens_total", 50)]
                )
            )  # type: ignore[misc]
        one.admin.put(CLI, "own", red(60))
        await until_so(lambda: two.limits() == [("file.tokens_total", 7), ("own.tokens_total", 60)])
        two.watch.follow(
            BudgetAdmin(database, FileBudgets("trimtab.toml", {"other": red(8, soft=True)})), None
        )
        await until_so(lambda: two.limits() == [("other.tokens_total", 8), ("own.tokens_total", 60)])
        one.admin.remove(CLI, "own")
        await until_so(lambda: two.limits() == [("other.tokens_total", 8)])
        await until_so(lambda: one.limits() == [("file.tokens_total", 7)])

    running(one, two, work=work)
    assert one.problems == two.problems == []


def test_a_warning_is_told_by_one_process_once_and_known_to_all(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    processes = [Process(database, {"red": red(100)}) for _ in range(3)]
    draw = (RED,)

    async def work() -> None:
        spend(database, RED, 79)
        spend(database, RED, 85, simulated=True)
        await until_so(lambda: all(one.watch.warnings(draw, True) for one in processes))
        assert all(one.watch.warnings(draw, False) == () for one in processes)
        spend(database, RED, 81)
        wanted = ("name=red.tokens_total; spent=81%; left_tokens=19",)
        await until_so(lambda: all(one.watch.warnings(draw, False) == wanted for one in processes))
        spend(database, RED, 100)
        await until_so(
            lambda: all("spent=100%" in "".join(one.watch.warnings(draw, False)) for one in processes)
        )
        spend(database, RED, 0)
        await until_so(lambda: not any(one.watch.warnings(draw, False) for one in processes))

    with caplog.at_level(logging.WARNING, "trimtab.budgets"):
        running(*processes, work=work)
    lines = sorted(one.getMessage() for one in caplog.records if "red.tokens_total" in one.getMessage())
    assert lines == [
        "budget red.tokens_total (simulated): 85 % of its limit is spent on account team=acme/red/tokens/total",
        "budget red.tokens_total: 81 % of its limit is spent on account team=acme/red/tokens/total",
        "budget red.tokens_total: its limit is reached on account team=acme/red/tokens/total",
    ]


class Receiver(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        self.got: list[str] = []
        self.said: list[Any] = []
        self.fails = True
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if not self.server.fails:
            self.server.got.append(str(self.headers["x-trimtab-delivery"]))
            self.server.said.append(json.loads(body))
        self.send_response(500 if self.server.fails else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def test_a_webhook_that_was_down_is_told_once_by_whichever_process_is_there_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.budgets.webhooks.FIRST_WAIT_MS", 50)
    receiver = Receiver()
    file = {"red": red(100, webhook=f"http://127.0.0.1:{receiver.server_address[1]}/")}
    spend(database, RED, 90)
    first = [Process(database, file) for _ in range(2)]

    def tries() -> int:
        row = database.read(lambda tx: tx.row("SELECT tries FROM budget_warnings"))
        return 0 if row is None else int(row[0])

    async def fails() -> None:
        await until_so(lambda: tries() >= 2)

    running(*first, work=fails)
    receiver.fails = False
    later = [Process(database, file) for _ in range(2)]

    async def works() -> None:
        state = "SELECT state FROM budget_warnings"
        await until_so(lambda: database.read(lambda tx: tx.row(state)) == ("sent",))

    try:
        running(*later, work=works)
    finally:
        receiver.shutdown()
        receiver.server_close()
    assert len(set(receiver.got)) == len(receiver.got) == 1


def test_a_budget_that_begins_to_refuse_is_told_by_one_process_once_for_a_period_and_a_limit(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver()
    receiver.fails = False
    file = {"red": red(100, webhook=f"http://127.0.0.1:{receiver.server_address[1]}/")}
    processes = [Process(database, file) for _ in range(3)]
    spend(database, RED, 60)
    scope = Scope("team", "red", "acme")

    def refuse(limit: int, asked: int) -> None:
        budget = Budget(name="red.tokens_total", scope=scope, meter="tokens", limit=limit, period="total")
        for one in processes:
            for _ in range(3):
                one.refusals([Refused(budget, RED, False, asked, 40)])

    async def work() -> None:
        refuse(100, 50)
        await until_so(lambda: len(receiver.got) == 1)
        refuse(100, 51)
        refuse(200, 170)  # as after a change of the limit
        await until_so(lambda: len(receiver.got) == 2)

    try:
        with caplog.at_level(logging.WARNING, "trimtab.budgets"):
            running(*processes, work=work)
    finally:
        receiver.shutdown()
        receiver.server_close()
    assert [(one["type"], one["asked"], one["spent"], one["left"]) for one in receiver.said] == [
        ("budget.refusing", 50, 60, 40),
        ("budget.refusing", 170, 60, 140),
    ]
    assert [one.getMessage() for one in caplog.records] == [
        "budget red.tokens_total: it refuses requests that may come to more than is left (name=red.tokens_total; "
        f"refused; asked_tokens={asked}; left_tokens=40) on account {RED}"
        for asked in (50, 170)
    ]
    assert [one.level for one in processes[0].admin.show(CLI, "red").warnings] == [REFUSING, REFUSING]


def test_limits_of_a_minute_are_in_the_header_and_in_no_log(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(database, {"red": red(100), "fast": BudgetSettings(team="red", requests_per_minute=5)})
    scope = Scope("team", "red", "acme")

    async def work() -> None:
        async with asyncio.timeout(60):
            while True:
                account = account_of(scope, "requests", "minute", clock_ms())
                spend(database, account, 5)
                if process.watch.warnings((account,), False):
                    break
                await asyncio.sleep(0.02)
        spend(database, RED, 90)
        await until_so(lambda: "red.tokens_total" in caplog.text)

    with caplog.at_level(logging.WARNING, "trimtab.budgets"):
        running(process, work=work)
    assert "fast.requests_per_minute" not in caplog.text


def test_who_has_a_budget_of_his_own_is_not_warned_by_everyones(database: Database) -> None:
    each = BudgetSettings(organisation="acme", team="*", tokens_total=10)
    process = Process(database, {"each": each, "red": red(1000)})
    spend(database, RED, 900)
    spend(database, "team=acme/blue/tokens/total", 9)

    async def work() -> None:
        await until_so(lambda: bool(process.watch.warnings(("team=acme/blue/tokens/total",), False)))
        assert process.watch.warnings((RED,), False) == ("name=red.tokens_total; spent=90%; left_tokens=100",)

    running(process, work=work)


def test_budgets_stay_in_force_while_the_store_is_away_and_a_line_says_so_once(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(database, {"red": red(100), "ghosts": BudgetSettings(usd_total=Decimal(5))})
    away = threading.Event()
    read = database.read

    def failing(work: Callable[[Any], Any]) -> Any:
        if away.is_set():
            raise StoreError("the store is away")
        return read(work)

    monkeypatch.setattr(database, "read", failing)

    async def work() -> None:
        away.set()
        await until_so(lambda: len(process.problems) == 1)
        process.watch.follow(BudgetAdmin(database, FileBudgets("t.toml", {"red": red(50)})), None)
        assert process.limits() == [("ghosts.usd_total", 5 * 10**9), ("red.tokens_total", 100)]
        away.clear()
        await until_so(lambda: process.limits() == [("red.tokens_total", 50)])

    running(process, work=work)
    assert process.problems == ["budgets: the store is away; those that are known stay in force"]


def test_a_budget_that_limits_nobody_is_said_when_it_comes_into_force(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "trimtab.budgets"):
        process = Process(database, {"ghosts": BudgetSettings(usd_total=Decimal(5))})
        process.watch.load()
    assert [one.getMessage() for one in caplog.records] == [
        "budget ghosts: there is no team 'ghosts' yet; teams come with the keys made for them: "
        "trimtab keys add NAME --team ghosts"
    ]
