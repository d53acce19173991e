"""`trimtab cache` as people use it: what it shows, what it clears, and that the clearing is in the trail."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from kept_answers import answer, digests, keep
from typer.testing import CliRunner

from trimtab.admin import Actor, KeyAdmin, KeyRules, NewKey
from trimtab.catalogue import Catalogue
from trimtab.cli.cache import command
from trimtab.errors import NotFound
from trimtab.store import Database, StoreSettings, open_database
from trimtab.store.answers import AnswerStore, Tally


def run(*words: str) -> str:
    result = CliRunner().invoke(command, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.chdir(tmp_path)
    Path("trimtab.toml").write_text('version = 1\n[store]\nurl = "sqlite:///t.db"\n[cache]\nmode = "on"\n')
    opened = open_database(StoreSettings(url="sqlite:///t.db"), clock_ms=lambda: int(time.time() * 1000))
    yield opened
    opened.close()


def test_what_is_kept_and_given_again_is_shown_and_a_key_is_shown_alone(database: Database) -> None:
    admin = KeyAdmin(database, KeyRules(Catalogue.load(), ("sim",)), os.urandom)
    ci = admin.add(Actor("test"), NewKey(name="ci")).key.id
    assert run("show").splitlines()[:2] == [
        "cache.mode is on: an answer is given again for 1 hour, to its key only; 256 MiB at the most",
        "sqlite:///t.db holds 0 answers, 0 bytes",
    ]
    assert "nobody asked for an earlier answer" in run("show")
    keep(database, answer(key=ci), answer("d2"))
    hour = int(time.time() * 1000) // 3_600_000 * 3_600_000
    AnswerStore(database).count(
        [
            Tally(hour, False, "default", ci, "m", 30, 10, 1_500_000_000),
            Tally(hour, False, "default", "other", "m", 0, 2, 0),
            Tally(hour, True, "default", ci, "m", 1, 0, 7),
        ],
        [],
    )
    shown = run("show")
    assert "holds 2 answers" in shown
    assert "30 of 42 given again (71 %, 95 % interval 56 to 83 %), saved $1.50" in shown
    assert "simulated: 1 of 1" in shown
    alone = json.loads(run("show", "--key", "ci", "--json"))
    assert alone["kept"]["answers"] == 1
    assert (alone["real"]["hits"], alone["real"]["misses"]) == (30, 10)
    with pytest.raises(NotFound):
        run("show", "--key", "nobody")


def test_kept_answers_are_cleared_of_one_key_or_all_and_the_trail_says_so(database: Database) -> None:
    admin = KeyAdmin(database, KeyRules(Catalogue.load(), ("sim",)), os.urandom)
    ci = admin.add(Actor("test"), NewKey(name="ci")).key.id
    keep(database, *(answer(f"d{n:03}", key=ci) for n in range(100)), answer("e1"), answer("e2"))
    assert run("clear", "--key", "ci") == "cleared 100 answers\n"
    assert digests(database) == ["e1", "e2"]
    assert json.loads(run("clear", "--json")) == {"answers": 2}
    assert digests(database) == []
    trail = [(row.action, row.subject, row.after) for row in admin.audit(Actor("test"))]
    cleared = [
        (subject, msgspec.json.decode(after or "{}"))
        for action, subject, after in trail
        if action == "cache.clear"
    ]
    assert sorted(cleared, key=str) == sorted(
        [(ci, {"answers": 100}), ("everything", {"answers": 2})], key=str
    )
