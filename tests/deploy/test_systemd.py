"""The systemd unit: what can be checked without a running systemd, which is not what a test machine has."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.app.supervisor import GRACE_S
from trimtab.gateway import ServerSettings

UNIT = Path(__file__).resolve().parent.parent.parent / "deploy" / "systemd" / "trimtab.service"
LINES = [line for line in UNIT.read_text().splitlines() if line and not line.startswith("#")]
SETTINGS = dict(line.split("=", 1) for line in LINES if "=" in line)
ANALYZE = shutil.which("systemd-analyze")
no_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze (Debian: systemd) is not installed")


def test_the_unit_waits_until_answers_in_flight_have_ended() -> None:
    assert SETTINGS["KillMode"] == "mixed", "the main process tells its workers; systemd must not"
    assert int(SETTINGS["TimeoutStopSec"]) >= ServerSettings().drain_s + GRACE_S


def test_the_unit_reloads_by_the_signal_that_reloads() -> None:
    assert SETTINGS["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert SETTINGS["Type"] == "notify"


def test_the_unit_runs_as_nobody_in_particular_and_writes_only_its_data() -> None:
    for name, value in {
        "User": "trimtab",
        "Group": "trimtab",
        "RemoveIPC": "yes",
        "PrivateTmp": "yes",
        "RestrictSUIDSGID": "yes",
        "StateDirectory": "trimtab",
        "WorkingDirectory": "/var/lib/trimtab",
        "ProtectSystem": "strict",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "UMask": "0077",
    }.items():
        assert SETTINGS[name] == value
    assert "SystemCallFilter=@system-service" in LINES
    assert "SystemCallFilter=~@privileged" in LINES


def test_the_unit_starts_without_a_platforms_key() -> None:
    """systemd starts nothing whose LoadCredential= names a file that is not there; the page has a drop-in for it."""
    assert not any(name.startswith("LoadCredential") for name in SETTINGS)
    page = (UNIT.parents[2] / "docs" / "operations.md").read_text()
    assert "LoadCredential=anthropic-key:/etc/trimtab/credentials/anthropic-key" in page


def test_the_page_makes_the_user_and_the_folders_that_the_unit_names() -> None:
    page = (UNIT.parents[2] / "docs" / "operations.md").read_text()
    assert f"--shell /usr/sbin/nologin {SETTINGS['User']}\n" in page
    assert f"-m 0700 {SETTINGS['WorkingDirectory']}\n" in page
    program, _, *options = SETTINGS["ExecStart"].split()
    assert (
        f"cd {SETTINGS['WorkingDirectory']} && runuser -u {SETTINGS['User']} -- {program} keys add ci "
        f"{' '.join(options)}\n" in page
    )


def test_the_command_of_the_unit_exists() -> None:
    _, command, *options = SETTINGS["ExecStart"].split()
    done = subprocess.run(
        [sys.executable, "-m", "trimtab", command, "--help"], capture_output=True, text=True, check=True
    )
    for option in options:
        assert option.startswith("/") or option in done.stdout


def test_no_secret_is_in_the_unit() -> None:
    assert not re.search(r"^Environment=.*(KEY|TOKEN|SECRET)", UNIT.read_text(), re.MULTILINE)


@pytest.fixture
def runnable(tmp_path: Path) -> Path:
    """The unit with a command that is here, because the checker looks for it."""
    unit = tmp_path / "trimtab.service"
    unit.write_text(UNIT.read_text().replace("/opt/trimtab/bin/trimtab", sys.executable))
    return unit


@no_systemd
def test_systemd_finds_no_mistake_in_the_unit(runnable: Path) -> None:
    assert ANALYZE is not None
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", str(runnable)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if "trimtab.service" in line]
    assert not said


@no_systemd
def test_systemd_rates_the_exposure_of_the_unit_as_low(runnable: Path) -> None:
    """Of 10; the threshold is in tenths. It was 1.4 when this was written (systemd 252)."""
    assert ANALYZE is not None
    done = subprocess.run(
        [ANALYZE, "security", "--offline=true", "--no-pager", "--threshold=20", str(runnable)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
