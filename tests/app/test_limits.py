"""What serving processes may take from one another: only what nobody uses any more."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trimtab.app.limits
from trimtab.app.limits import FREE_EVERY_S, SILENT_S, Trader
from trimtab.errors import StoreError
from trimtab.store import Database, StoreSettings, Transaction, open_database
from trimtab.store.limits import PERMIT_LOST_MS, Caps, Trade

LIMITS = Caps(concurrency=5)


class Away:
    """A database that may be out of reach."""

    def __init__(self, database: Database) -> None:
        self.words = database.words
        self.away = False
        self.read = database.read
        self.close = database.close
        self._write = database.write

    def write(self, work: Callable[[Transaction], Any], *, durable: bool = True) -> Any:
        if self.away:
            raise StoreError("away")
        return self._write(work, durable=durable)


@pytest.fixture
def database(tmp_path: Path) -> Any:
    opened = Away(
        open_database(
            StoreSettings(url=f"sqlite:///{tmp_path}/l.db"), clock_ms=lambda: time.time_ns() // 1_000_000
        )
    )
    yield opened
    opened.close()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock that traders go by."""
    ahead = 0.0
    real = time.monotonic
    monkeypatch.setattr(trimtab.app.limits.time, "monotonic", lambda: real() + ahead)

    def move(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    return move


def wants(kept: int, wanted: int) -> Trade:
    return Trade(account="k", caps=LIMITS, permits_kept=kept, permits_wanted=wanted)


def all_were_silent(database: Away) -> None:
    database.write(lambda t: t.change("UPDATE workers SET seen_ms = seen_ms - ?", (2 * PERMIT_LOST_MS,)))


def watched(trader: Trader, later: Callable[[float], None], seconds: float) -> None:
    """Let a trader look on for a while."""
    for _ in range(int(seconds / FREE_EVERY_S) + 2):
        later(FREE_EVERY_S + 0.1)
        trader.exchange([])


def test_calls_that_outlast_an_outage_keep_their_permits(
    database: Away, later: Callable[[float], None]
) -> None:
    first, second = Trader(database, "first"), Trader(database, "second")
    first.exchange([])
    assert second.exchange([wants(0, 3)])[0].permits == 3  # three calls that will last
    watched(first, later, SILENT_S / 2)
    database.away = True
    later(SILENT_S)
    with pytest.raises(StoreError):
        first.exchange([wants(0, 5)])
    database.away = False
    all_were_silent(database)
    later(FREE_EVERY_S + 1)
    assert first.exchange([wants(0, 5)])[0].permits == 2
    started_since = Trader(database, "third")
    later(FREE_EVERY_S + 1)
    assert started_since.exchange([wants(0, 5)])[0].permits == 0
    for trader in (first, second, started_since):
        trader.close()


def test_a_wall_clock_that_jumps_frees_nobodys_permits(
    database: Away, later: Callable[[float], None]
) -> None:
    one, other = Trader(database, "one"), Trader(database, "other")
    assert one.exchange([wants(0, 5)])[0].permits == 5
    all_were_silent(database)  # as an hour's jump makes it look
    later(FREE_EVERY_S + 1)
    assert other.exchange([wants(0, 5)])[0].permits == 0
    one.exchange([])
    later(FREE_EVERY_S + 1)
    assert other.exchange([wants(0, 5)])[0].permits == 0
    for trader in (one, other):
        trader.close()


def test_permits_of_a_machine_that_is_gone_are_free_again(
    database: Away, later: Callable[[float], None]
) -> None:
    gone, here = Trader(database, "gone"), Trader(database, "here")
    assert gone.exchange([wants(0, 5)])[0].permits == 5
    assert here.exchange([wants(0, 5)])[0].permits == 0
    watched(here, later, SILENT_S)
    assert here.exchange([wants(0, 5)])[0].permits == 5
    for trader in (gone, here):
        trader.close()
