"""Commands called where there is no store: those that only read or change say so and leave the folder as it is."""

import sys
from pathlib import Path

import pytest

from trimtab.cli import main
from trimtab.store import StoreSettings, open_database

READING = (
    "users list",
    "users list --json",
    "users role ann admin",
    "users remove ann",
    "keys list",
    "keys show ci",
    "keys audit",
    "keys audit --verify",
    "keys revoke ci",
    "content status",
    "content show 00",
    "explain 00",
    "content delete --before now",
    "jobs list",
    "jobs show 00",
    "jobs limits",
    "jobs limit queue default none",
    "jobs schedules",
    "jobs cancel 00",
)
EMPTY = {
    "users list": "No users in ",
    "keys list": "No keys in ",
    "keys audit": "no changes yet",
    "content status": "content.keep is off",
    "jobs list": "no jobs",
    "jobs limits": "no limits",
    "jobs schedules": "no schedules",
}


class Shell:
    """A folder of its own in which commands are called."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "200")

    def run(self, command: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        self._monkeypatch.setattr(sys, "argv", ["trimtab", *command.split()])
        try:
            main()
        except SystemExit as end:
            status = end.code
        else:
            status = 0
        told = self._capsys.readouterr()
        assert isinstance(status, int | None)
        return status or 0, told.out, told.err


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("command", READING)
def test_a_command_in_the_wrong_folder_says_so_and_makes_nothing(shell: Shell, command: str) -> None:
    says = "no store here yet: sqlite:///trimtab.db; start `trimtab serve`, or give --config"
    assert shell.run(command) == (1, "", f"trimtab: {says}\n")
    assert list(shell.folder.iterdir()) == []


def test_doctor_in_the_wrong_folder_makes_nothing_either(shell: Shell) -> None:
    status, out, _ = shell.run("doctor --offline")
    assert status == 0
    assert "note     store: no store here yet: sqlite:///trimtab.db; `trimtab serve` makes it" in out
    assert list(shell.folder.iterdir()) == []


def test_doctor_says_beforehand_what_a_store_that_is_still_to_be_made_will_lack(shell: Shell) -> None:
    (shell.folder / "a.toml").write_text('version = 1\n[store]\nurl = "sqlite:///none/t.db"\n')
    (shell.folder / "b.toml").write_text('version = 1\n[server]\nlisten = "0.0.0.0:9999"\n')
    for name, says in (
        ("a", f"PROBLEM  store: {shell.folder}/none does not exist or cannot be written to; create it"),
        (
            "b",
            "PROBLEM  store: no store yet: sqlite:///trimtab.db, and http://0.0.0.0:9999 needs a key; make one",
        ),
    ):
        status, out, _ = shell.run(f"doctor --offline --config {name}.toml")
        assert (status, says in out) == (1, True), out


def test_a_store_that_is_there_and_empty_is_no_failure(shell: Shell) -> None:
    open_database(StoreSettings(url=f"sqlite:///{shell.folder}/trimtab.db"), clock_ms=lambda: 0).close()
    for command, says in EMPTY.items():
        status, out, _ = shell.run(command)
        assert (status, out.startswith(says)) == (0, True), (command, out)


def test_an_empty_database_of_postgresql_stays_empty(
    shell: Shell, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_URL", postgres_url)
    (shell.folder / "trimtab.toml").write_text('version = 1\n[store]\nurl = "env:STORE_URL"\n')
    for command in ("users list", "jobs list"):
        status, _, err = shell.run(command)
        assert (status, "no store here yet: env:STORE_URL; start `trimtab serve`" in err) == (1, True)
    assert shell.run("jobs add x")[0] == 0
    assert shell.run("jobs list")[0] == 0
