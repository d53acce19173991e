"""200 callers who do not give up, against limits of 10 over several processes."""

from pathlib import Path

import pytest
from limiting import against_concurrency, against_money, against_rate


@pytest.mark.parametrize("workers", [1, 4])
def test_never_more_calls_in_flight_than_the_limit_and_soon_all_of_it(
    tmp_path: Path, store_url: str, workers: int
) -> None:
    found = against_concurrency(tmp_path, store_url, workers=workers, hold_s=3, timed=False)
    print(found)
    assert not found.missed


def test_in_a_minute_no_more_calls_than_the_limit_and_soon_all_of_it(tmp_path: Path, store_url: str) -> None:
    found = against_rate(tmp_path, store_url, workers=4, hold_s=5)
    print(found)
    assert not found.missed


def test_money_for_ten_calls_lets_ten_out(tmp_path: Path, store_url: str) -> None:
    found = against_money(tmp_path, store_url, workers=4, hold_s=3)
    print(found)
    assert not found.missed
