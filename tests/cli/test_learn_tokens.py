"""`trimtab models --learn-tokens`: what usage teaches is published, shown, and used by the next estimate."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from class_samples import samples
from click.testing import Result
from kept_content import content, keep
from recorded_requests import record
from typer.testing import CliRunner

from trimtab.catalogue import Catalogue
from trimtab.catalogue.estimating import measure
from trimtab.catalogue.estimating.estimate import items
from trimtab.cli.migrate import command as migrate_command
from trimtab.cli.models import command as models_command
from trimtab.errors import NotFound
from trimtab.messages import MessagesBody
from trimtab.store import Database, StoreSettings, open_database

NOW_MS = 1_795_000_000_000
O46, O47 = "claude-opus-4-6", "claude-opus-4-7"
CLASSES = ("english_docs", "python_code", "json_pretty")
TRUE = {"english_docs": 1.2, "python_code": 0.9, "json_pretty": 1.0}
"""What this operator's tokenizer makes of the table's tokens."""


MODEL = next(model for model in Catalogue.load().models if model.id == O46)


def run(command: object, *words: str) -> Result:
    return CliRunner().invoke(command, words)  # type: ignore[arg-type]


def body(*names: str) -> bytes:
    text = [{"type": "text", "text": samples()[name].text} for name in names]  # type: ignore[index]
    return json.dumps(
        {"model": O46, "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
    ).encode()


def billed(raw: bytes) -> int:
    found = items(measure(MessagesBody(raw)), MODEL)
    return round(sum(tokens * TRUE.get(item, 1.0) for item, tokens in found.items()))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.chdir(tmp_path)
    Path("trimtab.toml").write_text('version = 1\n[store]\nurl = "sqlite:///t.db"\n')
    for module in ("migrating", "token_learning"):
        monkeypatch.setattr(f"trimtab.app.{module}.unix_ms", lambda: NOW_MS)
    database = open_database(StoreSettings(url="sqlite:///t.db"), clock_ms=lambda: NOW_MS)
    yield database
    database.close()


def fill(database: Database, number: int, **changes: int) -> None:
    for place in range(number):
        raw = body(*(CLASSES[(place + step) % 3] for step in range(1 + place % 2)))
        record(
            database, f"r{place}", NOW_MS - place, input_tokens=billed(raw), cache_read_tokens=0, **changes
        )
        keep(database, content(f"r{place}", NOW_MS - place, request=raw, request_bytes=len(raw)))


def test_what_usage_teaches_is_shown_published_and_used(store: Database) -> None:
    fill(store, 60)
    done = run(models_command, "--learn-tokens", "--json")
    learnt = json.loads(done.stdout)
    factors = learnt["learnt"]["generations"]["v3"]["factors"]
    for name, factor in TRUE.items():
        assert factors[name] == pytest.approx(factor, rel=0.03)
    assert learnt["usages"] == {O46: 60}
    shown = run(models_command, "--learn-tokens").stdout
    assert "Learnt from 60 usages" in shown
    assert "Python" in shown
    Path("r.json").write_bytes(body("english_docs"))
    found = json.loads(run(migrate_command, O46, O47, "r.json", "--json").stdout)
    assert found["sources"] == ["table+learnt"]
    docs = next(share for share in found["content"] if share["name"] == "english_docs")
    table = samples()["english_docs"]
    assert docs["before"] == pytest.approx(1.2 * table.v3, rel=0.1)
    assert docs["after"] / docs["before"] == pytest.approx(table.v47 / table.v3, rel=0.1), (
        "the ratio is not distorted"
    )
    assert "60 usages" in found["notes"][0]
    told = subprocess.run(
        [sys.executable, "-m", "trimtab", "doctor", "--offline"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    ).stdout
    assert "corrected by what 60 usages taught" in " ".join(told.split()), told


def test_simulated_requests_and_those_of_several_calls_teach_nothing(store: Database) -> None:
    fill(store, 30, simulated=1)
    done = run(models_command, "--learn-tokens")
    assert isinstance(done.exception, NotFound)
    assert "nothing to learn from: 0 usable requests" in str(done.exception)
    store.write(lambda tx: tx.change("UPDATE requests SET simulated = 0, attempt_count = 2"))
    assert isinstance(run(models_command, "--learn-tokens").exception, NotFound)


def test_usages_in_files_teach_where_no_prompt_is_kept(store: Database) -> None:
    lines = []
    for place in range(25):
        raw = body(CLASSES[place % 3])
        lines.append(
            json.dumps({"body": json.loads(raw), "usage": {"input_tokens": billed(raw), "output_tokens": 1}})
        )
    Path("u.jsonl").write_text("\n".join(lines))
    learnt = json.loads(run(models_command, "--learn-tokens", "--usages", "u.jsonl", "--json").stdout)
    assert learnt["learnt"]["models"][O46]["factors"]["english_docs"] == pytest.approx(1.2, rel=0.03)
    assert "goes with --learn-tokens" in str(run(models_command, "--usages", "u.jsonl").exception)
