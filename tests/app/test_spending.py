"""What was spent on a commitment is known without asking the store, and stays known while that is away."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trimtab.app import load_settings
from trimtab.app.spending import PlatformSpending, spending_wanted
from trimtab.errors import StoreError
from trimtab.routing import Spent
from trimtab.store import Database, StoreSettings, open_database
from trimtab.store.figures.platforms import SpendingWanted

HOUR_MS = 3_600_000
NOW_MS = 500_000 * HOUR_MS
ROW = "INSERT INTO attempts_by_hour VALUES (?, 0, 'live', ?, '', 'm', 1, 1, 0, 0, 0, 0, ?, 0, 0, 0, 0)"


class Away:
    """A database that can be away, or broken, and says when it was asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.problem: Exception | None = None
        self.asked = threading.Semaphore(0)

    def read(self, work: Callable[..., Any]) -> Any:
        try:
            if self.problem is not None:
                raise self.problem
            return self._database.read(work)
        finally:
            self.asked.release()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(StoreSettings(url=f"sqlite:///{tmp_path}/a.db"), clock_ms=lambda: NOW_MS)
    yield opened
    opened.close()


@pytest.fixture
def away(store: Database) -> Away:
    return Away(store)


@pytest.fixture
def problems() -> list[str]:
    return []


@pytest.fixture
def known(away: Away, problems: list[str]) -> Iterator[PlatformSpending]:
    made = PlatformSpending(away, clock_ms=lambda: NOW_MS, on_problem=problems.append, refresh_s=0.005)  # type: ignore[arg-type]
    yield made
    made.close()


def spend(store: Database, entry: str, nanousd: int, hours_ago: int = 24) -> None:
    row = (NOW_MS - hours_ago * HOUR_MS, entry, nanousd)
    store.write(lambda t: t.change(ROW, row))


def until(known: PlatformSpending, away: Away, entry: str, spent: Spent | None) -> None:
    for _ in range(1000):
        if known(entry) == spent:
            return
        assert away.asked.acquire(timeout=60)
    raise AssertionError(f"{entry}: {known(entry)}")


def test_spending_is_read_in_the_background_and_follows_the_store(
    known: PlatformSpending, store: Database, away: Away
) -> None:
    spend(store, "claude", 50)
    assert known("claude") is None
    known.watch({"claude": SpendingWanted(0)})
    until(known, away, "claude", Spent(50, 50, 1.0))
    spend(store, "claude", 7, hours_ago=10 * 24)
    until(known, away, "claude", Spent(57, 50, 7.0))
    assert known("bedrock") is None


def test_the_last_known_figures_stand_while_the_store_is_away_and_a_surprise_is_said_once(
    known: PlatformSpending, store: Database, away: Away, problems: list[str]
) -> None:
    spend(store, "claude", 50)
    known.watch({"claude": SpendingWanted(0)})
    until(known, away, "claude", Spent(50, 50, 1.0))
    away.problem = StoreError("store: away")
    for _ in range(2):  # what was being read meanwhile has come
        assert away.asked.acquire(timeout=60)
    spend(store, "claude", 5, hours_ago=23)
    for _ in range(3):
        assert away.asked.acquire(timeout=60)
    assert known("claude") == Spent(50, 50, 1.0)
    assert problems == []
    away.problem = RuntimeError("odd")
    while not problems:
        assert away.asked.acquire(timeout=60)
    for _ in range(3):
        assert away.asked.acquire(timeout=60)
    away.problem = None
    until(known, away, "claude", Spent(55, 55, 1.0))
    assert problems == ["spending on commitments: RuntimeError: odd; tried again"]


def test_a_new_configuration_is_heard_at_once_and_what_it_no_longer_names_is_forgotten(
    store: Database, away: Away
) -> None:
    spend(store, "claude", 50)
    spend(store, "bedrock", 9)
    slow = PlatformSpending(away, clock_ms=lambda: NOW_MS, on_problem=print, refresh_s=3600)  # type: ignore[arg-type]
    try:
        slow.watch({"claude": SpendingWanted(0)})
        until(slow, away, "claude", Spent(50, 50, 1.0))
        slow.watch({"bedrock": SpendingWanted(0)})
        assert slow("claude") is None
        until(slow, away, "bedrock", Spent(9, 9, 1.0))
        slow.watch({})
        assert slow("bedrock") is None
    finally:
        slow.close()


def test_without_a_commitment_nothing_runs_and_nothing_is_read(known: PlatformSpending, away: Away) -> None:
    known.watch({})
    known.refresh()
    assert not any(thread.name == "trimtab-spending" for thread in threading.enumerate())
    assert not away.asked.acquire(blocking=False)


def test_a_simulator_s_commitment_counts_what_was_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANY", "k")
    file = tmp_path / "trimtab.toml"
    commitment = "commitment = { usd = 5, from = 2026-01-02, until = 2026-12-31 }\n"
    file.write_text(
        f'version = 1\n[platforms.sim]\nkind = "simulator"\n{commitment}'
        f'[platforms.claude]\nkind = "anthropic"\napi_key = "env:ANY"\n{commitment}'
        '[platforms.other]\nkind = "simulator"\n'
    )
    day_ms = 1_767_312_000_000
    assert spending_wanted(load_settings(file)) == {
        "sim": SpendingWanted(day_ms, simulated=True),
        "claude": SpendingWanted(day_ms),
    }
