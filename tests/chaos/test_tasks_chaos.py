"""Hundreds of tasks at once, cancelled, left and cut off by killed processes: every limit holds and every sum is right."""

from pathlib import Path

from tasking import tasks_under_fire


def test_budgets_of_many_tasks_hold_whoever_is_killed(tmp_path: Path, store_url: str) -> None:
    found = tasks_under_fire(tmp_path, store_url, tasks=60, workers=4, kills=3, seed=1, usd=4)
    print(found)
    assert not found.missed
