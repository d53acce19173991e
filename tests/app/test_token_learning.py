"""Token estimates learn from kept prompts by themselves: once a day, in one process, and only from what is real."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from class_samples import samples
from kept_content import content, keep
from recorded_requests import record

from trimtab.app import load_settings
from trimtab.app.housekeeping import Turn
from trimtab.app.token_learning import CHORE_EACH, KIND, TokenLearning, learnt_tokens
from trimtab.catalogue import Catalogue
from trimtab.catalogue.estimating import measure
from trimtab.catalogue.estimating.estimate import items
from trimtab.messages import MessagesBody
from trimtab.store import Database, StoreSettings, open_database
from trimtab.store.artefacts import ArtefactStore

MODEL = next(model for model in Catalogue.load().models if model.id == "claude-opus-4-6")
NOW_MS = int(time.time() * 1000)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/t.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_store")
    opened = open_database(StoreSettings(url=url), clock_ms=lambda: int(time.time() * 1000))
    yield opened
    opened.close()


def learning(database: Database, tmp_path: Path, text: str = "") -> TokenLearning:
    file = tmp_path / "trimtab.toml"
    file.write_text(f"version = 1\n{text}")
    made = TokenLearning(database)
    made.keep_to(load_settings(file))
    return made


def fill(database: Database, first: int, number: int, *, off: float = 1.2, **changes: int) -> None:
    for place in range(first, first + number):
        text = [{"type": "text", "text": samples()["english_docs"].text[: 2_000 + 10 * (place % 50)]}]
        raw = json.dumps(
            {"model": MODEL.id, "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
        ).encode()
        tokens = round(sum(items(measure(MessagesBody(raw)), MODEL).values()) * off)
        record(
            database, f"r{place}", NOW_MS - 1000 + place, input_tokens=tokens, cache_read_tokens=0, **changes
        )
        simulated = {"simulated": True} if changes.get("simulated") else {}
        keep(
            database,
            content(f"r{place}", NOW_MS - 1000 + place, request=raw, request_bytes=len(raw), **simulated),
        )


def did(made: TokenLearning, *, stops: bool = False) -> bool:
    return made.chore().work(Turn("p1", lambda _: stops))


def test_what_kept_prompts_were_billed_corrects_estimates_without_anybody_asking(
    database: Database, tmp_path: Path
) -> None:
    fill(database, 0, 60)
    made = learning(database, tmp_path)
    assert made.chore().every_s == 86_400
    assert did(made)
    found = learnt_tokens(database)
    assert found is not None
    assert found.usages == {MODEL.id: 60}
    assert found.learnt.generations["v3"].factors["english_docs"] == pytest.approx(1.2, abs=0.05)
    assert did(made)
    assert [one.version for one in ArtefactStore(database).versions(KIND)] == [found.version], (
        "nothing is new"
    )


def test_simulated_requests_teach_nothing_and_too_few_neither(database: Database, tmp_path: Path) -> None:
    fill(database, 0, 40, simulated=1)
    fill(database, 100, 19)
    assert did(learning(database, tmp_path))
    assert learnt_tokens(database) is None


def test_it_can_be_turned_off_and_stops_when_the_server_does(database: Database, tmp_path: Path) -> None:
    fill(database, 0, 30)
    assert did(learning(database, tmp_path, '[catalogue]\nlearn_tokens = "off"\n'))
    made = learning(database, tmp_path)
    assert not did(made, stops=True), "it is not done, and another process may take it"
    assert learnt_tokens(database) is None


def test_of_a_model_with_much_traffic_the_newest_prompts_are_read(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trimtab.app.token_learning.CHORE_EACH", 25)
    fill(database, 0, 25, off=0.5)
    fill(database, 100, 25)
    assert did(learning(database, tmp_path))
    found = learnt_tokens(database)
    assert found is not None
    assert found.usages == {MODEL.id: 25}
    assert found.learnt.generations["v3"].factors["english_docs"] > 1.0
    assert CHORE_EACH >= 200, "with so many, estimates are within 5 %"
