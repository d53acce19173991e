"""Whoever is killed: every call that went out is in the books once, and no limit was passed."""

from pathlib import Path

import pytest
import taking_away
from killing import kill_under_load
from postgres_server import available, running


def test_after_kills_every_call_is_recorded_once_and_no_limit_was_passed(
    tmp_path: Path, store_url: str
) -> None:
    found = kill_under_load(tmp_path, store_url, kills=4, workers=3, cap_usd=0.05, seed=4)
    print(found)
    assert not found.missed


def test_a_single_process_that_is_killed_and_started_again_loses_nothing(tmp_path: Path) -> None:
    found = kill_under_load(tmp_path, f"sqlite:///{tmp_path}/t.db", kills=2, workers=1, cap_usd=0.05, seed=2)
    print(found)
    assert not found.missed


def test_kills_while_the_database_is_down_lose_no_call(tmp_path: Path) -> None:
    if not available():
        pytest.skip("PostgreSQL is not installed here (apt-get install postgresql)")
    with running(durable=True) as server:
        found = kill_under_load(
            tmp_path,
            server.new_database(),
            kills=3,
            workers=3,
            cap_usd=0.05,
            seed=7,
            away=lambda: taking_away.stopped(server, "immediate"),
        )
    print(found)
    assert not found.missed
