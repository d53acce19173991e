"""`trimtab users` as people use it: what it prints, what it stores, what it says of mistakes."""

import json
import os
import pty
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from cli_shell import CLAUDE, CliShell
from typer.testing import CliRunner

from trimtab.cli.keys import command as keys_command
from trimtab.cli.users import command

PASSWORD = "correct horse battery"


class Shell(CliShell):
    command = command

    def __init__(self, store: str) -> None:
        Path("trimtab.toml").write_text(f'version = 1\n[store]\nurl = "{store}"\n{CLAUDE}')

    def run(self, *words: str, status: int = 0, typed: str = "", command: typer.Typer | None = None) -> str:
        said = super().run(*words, status=status, typed=typed, command=command)
        assert "horse" not in said + self.told
        return said

    def add(self, name: str = "ann", role: str = "viewer") -> str:
        return self.run("add", name, "--role", role, "--password-stdin", typed=PASSWORD + "\n")

    def users(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("list", "--json"))
        return found


@pytest.fixture(params=["sqlite", "postgresql"])
def shell(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    if request.param == "postgresql":
        monkeypatch.setenv("STORE_URL", request.getfixturevalue("postgres_url"))
        return Shell("env:STORE_URL")
    return Shell("sqlite:///t.db")


def test_a_user_is_made_changed_disabled_and_removed_without_any_server(shell: Shell) -> None:
    assert "no store here yet" in shell.refused("list")
    said = shell.add("ann", "operator")
    assert "ann is an operator now" in said
    assert "Log in: http://127.0.0.1:8787/console" in said
    shell.add("bob")
    assert "ann" in shell.run("list")
    assert [(u["name"], u["role"], u["state"], u["sessions"]) for u in shell.users()] == [
        ("ann", "operator", "active", 0),
        ("bob", "viewer", "active", 0),
    ]
    assert shell.run("show", "ann").startswith("ann, operator\n  state      active\n  logged in  nowhere\n")
    assert json.loads(shell.run("show", "bob", "--json")) == shell.users()[1]
    assert "there is no user 'eve'" in shell.refused("show", "eve")
    assert "is an admin now" in shell.run("role", "ann", "admin")
    assert "another password" in shell.run("passwd", "ann", "--password-stdin", typed="new horse battery\n")
    assert "disabled" in shell.run("disable", "ann")
    assert shell.users()[0]["state"] == "disabled"
    assert "may log in again, as admin" in shell.run("enable", "ann")
    assert "0 sessions ended" in shell.run("log-out", "ann")
    shell.run("remove", "ann")
    assert not shell.told
    shell.run("remove", "bob")
    assert "no user is left" in shell.told
    assert shell.users() == []
    assert "trimtab users add NAME --role admin" in shell.run("list")


def test_the_trail_of_keys_shows_what_was_done_to_users_and_by_whom(shell: Shell) -> None:
    shell.add()
    shell.run("role", "ann", "admin")
    shown = CliRunner().invoke(keys_command, ["audit"]).stdout
    assert "console_users.role" in shown
    assert "user:ann" in shown
    assert "cli:" in shown
    assert "is whole: 2 rows" in CliRunner().invoke(keys_command, ["audit", "--verify"]).stdout


def test_mistakes_are_told_in_one_line_and_change_nothing(shell: Shell) -> None:
    assert "must have 12 to 256" in shell.refused("add", "ann", "--password-stdin", typed="short\n")
    assert "is empty" in shell.refused("add", "ann", "--password-stdin", typed="\n")
    assert "has more than 256 characters" in shell.refused(
        "add", "ann", "--password-stdin", typed="ab cd" * 200
    )
    assert "role: 'root'" in shell.refused("add", "ann", "--role", "root", "--password-stdin", typed=PASSWORD)
    assert "give --password-stdin" in shell.refused("add", "ann", typed=PASSWORD)
    assert "there is no user 'ann'" in shell.refused("disable", "ann")
    assert shell.users() == []


def test_a_password_cannot_be_given_on_the_command_line(shell: Shell) -> None:
    result = CliRunner().invoke(command, ["add", "ann", "--password", PASSWORD])
    assert result.exit_code == 2
    assert "horse" not in result.output


def test_at_a_terminal_it_is_asked_for_twice_and_never_shown(tmp_path: Path) -> None:
    def talk(*answers: bytes) -> tuple[int, bytes]:
        """Answers each question once it has come."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(tmp_path)
            os.execv(sys.executable, [sys.executable, "-m", "trimtab", "users", "add", "ann"])
        heard, left = b"", list(answers)
        while True:
            try:
                piece = os.read(terminal, 1024)
            except OSError:  # how a terminal says that nobody is there any more
                break
            if not piece:
                break
            heard += piece
            if left and heard.count(b": ") > len(answers) - len(left):
                os.write(terminal, left.pop(0) + b"\n")
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), heard

    code, heard = talk(PASSWORD.encode(), b"another horse battery")
    assert (code, b"the two differ" in heard) == (1, True)
    code, heard = talk(PASSWORD.encode(), PASSWORD.encode())
    assert (code, b"ann is a viewer now" in heard) == (0, True)
    assert b"horse" not in heard
