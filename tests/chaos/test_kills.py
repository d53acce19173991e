"""Whoever is killed: every call that went out is in the books once, and no limit was passed."""

from pathlib import Path

from killing import kill_under_load


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
