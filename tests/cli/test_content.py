"""`trimtab content` as people use it: what it prints, what it deletes, what it says of mistakes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_shell import CliShell
from kept_content import ANSWER, PROMPT, content, keep, kept_ids
from typer.testing import CliRunner

from trimtab.admin import Actor, KeyAdmin, KeyRules, NewKey
from trimtab.catalogue import Catalogue
from trimtab.cli.content import command
from trimtab.cli.keys import command as keys_command
from trimtab.errors import ConfigError, NotFound
from trimtab.store import Database, StoreSettings, open_database

AT_MS = 1_700_000_000_000  # 2023-11-14


class Shell(CliShell):
    command = command

    def __init__(self, url: str, config: str = "") -> None:
        self.url = url
        self.configure(config)

    def configure(self, config: str) -> None:
        Path("trimtab.toml").write_text(f'version = 1\n[store]\nurl = "{self.url}"\n{config}')


@pytest.fixture(params=["sqlite", "postgresql"])
def shell(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    if request.param == "postgresql":
        monkeypatch.setenv("STORE_URL", request.getfixturevalue("postgres_store"))
        return Shell("env:STORE_URL")
    return Shell("sqlite:///t.db")


@pytest.fixture
def database(shell: Shell) -> Iterator[Database]:
    url = os.environ["STORE_URL"] if shell.url == "env:STORE_URL" else shell.url
    database = open_database(StoreSettings(url=url), clock_ms=lambda: AT_MS)
    admin = KeyAdmin(database, KeyRules(Catalogue.load(), ("sim",)), os.urandom)
    for name, user in (("ci", "ann"), ("web", "bob")):
        key = admin.add(Actor("cli:tester"), NewKey(name=name, user=user)).key
        rows = [
            content(f"{name}{n}", AT_MS - n * 86_400_000, key=key.id, user=user, organisation="default")
            for n in range(3)
        ]
        keep(database, *rows)
    yield database
    database.close()


def test_status_says_which_policy_is_in_force_and_how_much_there_is(shell: Shell, database: Database) -> None:
    off = shell.run("status")
    assert "content.keep is off: nothing is kept" in off
    assert "holds 6 requests" in off
    assert "the oldest of 2023-11-12" in off
    shell.configure('keep_days = 10\n[content]\nkeep = "redacted"\nsimulated = false\n')
    assert "content.keep is redacted: prompts and answers are kept for 10 days" in shell.run("status")
    told = json.loads(shell.run("status", "--json"))
    assert (told["policy"]["keep"], told["days"], told["kept"]["requests"]) == ("redacted", 10, 6)


def test_show_prints_both_sides_and_the_exact_bytes_of_one(shell: Shell, database: Database) -> None:
    told = json.loads(shell.run("show", "ci1"))
    assert told["request"]["text"].encode() == PROMPT
    assert told["answer"]["text"].encode() == ANSWER
    assert shell.run("show", "ci1", "--part", "answer").encode() == ANSWER
    assert "no content is kept; content.keep is 'off'" in shell.refused("show", "nobody")


def test_nothing_that_a_terminal_obeys_is_printed(shell: Shell, database: Database) -> None:
    keep(database, content("bad", AT_MS, request=b'"\x1b[2J\x7f\xc2\x9b31m"', answer=None))
    said = shell.run("show", "bad")
    assert all(char.isprintable() or char == "\n" for char in said)
    assert json.loads(said)["request"]["text"] == '"\x1b[2J\x7f\x9b31m"'
    with pytest.raises(NotFound):
        shell.run("show", "bad", "--part", "answer")


def test_content_is_deleted_by_request_key_user_and_day(shell: Shell, database: Database) -> None:
    assert "deleted the content of 1 request" in shell.run("delete", "--request", "ci0")
    assert json.loads(shell.run("delete", "--key", "ci", "--before", "2023-11-13", "--json"))["requests"] == 1
    assert kept_ids(database) == ["ci1", "web0", "web1", "web2"]
    assert "deleted the content of 1 request" in shell.run("delete", "--before", "2023-11-13T00:00")
    assert kept_ids(database) == ["ci1", "web0", "web1"]
    assert "deleted the content of 2 requests" in shell.run("delete", "--user", "bob", "--org", "default")
    assert "deleted the content of 1 request" in shell.run("delete", "--before", "now") or kept_ids(
        database
    ) == ["ci1"]


def test_the_trail_says_of_how_many_requests_content_was_deleted(shell: Shell, database: Database) -> None:
    shell.run("delete", "--user", "bob", "--org", "default")
    for columns in (200, 60):
        trail = CliRunner().invoke(keys_command, ["audit"], env={"COLUMNS": str(columns)}).stdout
        assert "content.delete" in trail
        assert "3 requests" in trail
    shell.run("delete", "--request", "ci0")
    trail = CliRunner().invoke(keys_command, ["audit", "--limit", "1"], env={"COLUMNS": "200"}).stdout
    assert trail.splitlines()[0].split()[-1] == "deleted"
    assert trail.rstrip().endswith("1 request")


@pytest.mark.parametrize(
    "words",
    [
        ["delete"],
        ["delete", "--request", "a", "--key", "b"],
        ["delete", "--key", "a", "--user", "b"],
        ["delete", "--request", "a", "--before", "2027-01-01"],
        ["delete", "--org", "a", "--key", "b"],
        ["delete", "--before", "tomorrow"],
        ["delete", "--before", "2027-13-01"],
    ],
)
def test_a_deletion_that_is_not_clear_deletes_nothing(
    shell: Shell, database: Database, words: list[str]
) -> None:
    with pytest.raises(ConfigError):
        shell.run(*words)
    assert len(kept_ids(database)) == 6
    assert "no user 'nobody' is known" in shell.refused("delete", "--user", "nobody")
    assert "no key 'nobody' is known" in shell.refused("delete", "--key", "nobody")
    assert "no request 'nobody' is recorded here" in shell.refused("delete", "--request", "nobody")
    assert len(kept_ids(database)) == 6
