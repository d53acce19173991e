"""Platforms that fail under load: whoever could be served is, once, and all that may be billed is in the books.

The long form, with every storm on both numbers of workers and judged times, is `benchmarks/platforms_chaos.py`.
"""

from pathlib import Path

import pytest
from platforms_storms import STORMS, recovers, storm_over
from platforms_upstream import Fault
from sdk_programs import python_of

SHORT = {
    # storm: workers
    "429 without retry-after": 1,
    "two of three platforms overloaded": 4,
    "silence after message_start": 1,
    "cut before the first content": 4,
    "cut after content, each fifth call": 1,
    "TLS reset at its first byte": 1,
    "credentials expired: 401": 4,
    "each platform in turn": 1,
    "keys of a pool that are limited, refused or out of money, in turn": 3,
}
CALLERS = 120
FOR_S = 4.0


@pytest.mark.parametrize("name", SHORT)
def test_whoever_a_healthy_platform_can_serve_is_served_once_and_paid_for(tmp_path: Path, name: str) -> None:
    storm = next(storm for storm in STORMS if storm.name == name)
    for_s = FOR_S if len(storm.phases) == 1 else FOR_S / 2
    found = storm_over(
        tmp_path, store_of(tmp_path), storm, workers=SHORT[name], for_s=for_s, callers=CALLERS
    ).findings
    print(found)
    assert not found.missed


def test_programs_on_the_sdk_do_not_notice_a_black_hole(tmp_path: Path) -> None:
    [storm] = [storm for storm in STORMS if storm.name == "a black hole"]
    found = storm_over(
        tmp_path,
        store_of(tmp_path),
        storm,
        workers=4,
        for_s=FOR_S,
        callers=CALLERS,
        sdk=python_of("2.11"),
    ).findings
    print(found)
    assert not found.missed


def test_workers_that_die_while_platforms_fail_lose_no_attempt(tmp_path: Path) -> None:
    [storm] = [storm for storm in STORMS if storm.name == "silence of each tenth call"]
    found = storm_over(
        tmp_path, store_of(tmp_path), storm, workers=3, for_s=FOR_S, callers=CALLERS, kills=2, seed=1
    ).findings
    print(found)
    assert not found.missed


def test_a_platform_that_is_well_again_is_used_again(tmp_path: Path) -> None:
    found = recovers(tmp_path, store_of(tmp_path), Fault("overloaded"), workers=1, within_s=30)
    print(found)
    assert not found.missed


def store_of(folder: Path) -> str:
    return f"sqlite:///{folder}/t.db"
