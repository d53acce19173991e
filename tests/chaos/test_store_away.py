"""A store that goes away under load: callers without limits do not notice, and the books are whole afterwards."""

import subprocess
from pathlib import Path

import pytest
import taking_away
from drive import TRIMTAB, Site
from postgres_server import available, running

AWAY_S = 8.0


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_postgresql_stopped_costs_nobody_a_request_but_keys_at_their_slices_end(
    tmp_path: Path, mode: str
) -> None:
    if not available():
        pytest.skip("PostgreSQL is not installed here (apt-get install postgresql)")
    with running(durable=True) as server:
        found = taking_away.postgres_stopped(tmp_path, server, mode=mode, away_s=AWAY_S)
    print(found)
    assert not found.missed


def test_a_locked_file_costs_nobody_a_request_but_keys_at_their_slices_end(tmp_path: Path) -> None:
    found = taking_away.sqlite_locked(tmp_path, away_s=AWAY_S)
    print(found)
    assert not found.missed


def test_the_doctor_says_that_the_disk_is_full(tmp_path: Path) -> None:
    if not taking_away.may_mount():
        pytest.skip("mounting a small disk needs root")
    with taking_away.small_disk(tmp_path / "disk") as disk:
        site = Site(tmp_path, None, f"sqlite:///{disk}/t.db", 1, journals=disk / "journal")
        site.key("k", usd=1)
        taking_away.fill(disk / "filler")
        asked = [*TRIMTAB, "doctor", "--config", str(site.config)]
        told = subprocess.run(
            asked, cwd=tmp_path, env=site.environment, capture_output=True, text=True, check=False
        )
    assert told.returncode == 1
    assert "PROBLEM  disk: 0 MiB are left where the " in told.stdout


def test_a_full_disk_costs_nobody_a_request_but_keys_at_their_slices_end(tmp_path: Path) -> None:
    if not taking_away.may_mount():
        pytest.skip("mounting a small disk needs root")
    found = taking_away.sqlite_disk_full(tmp_path, away_s=AWAY_S)
    print(found)
    assert not found.missed
