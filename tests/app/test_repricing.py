"""A past month priced again: the same to the nano-dollar, and what is not is told with its reason."""

import datetime
import json
import random
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from trimtab.app.repricing import reprice_month
from trimtab.catalogue import Arm, Catalogue
from trimtab.cli.budgets import command
from trimtab.errors import ConfigError
from trimtab.messages import Usage
from trimtab.records import Attempt, Outcome, Plan, new_request_id
from trimtab.store import StoreSettings, open_database, open_store
from trimtab.store.budgets.prices import Terms, note_prices

OPUS_46, HAIKU_55, SONNET = "claude-opus-4-6", "claude-haiku-5-5", "claude-sonnet-4-6"
CONFIG = "c0ffee"
IDS = random.Random(1)


def at(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp() * 1000)


def record(
    when: str,
    model: str,
    cost: int,
    usage: Usage | None,
    entry: str = "claude",
    version: str = "",
    **more: object,
) -> Outcome:
    fields: dict[str, object] = {"cost_source": "reported", **more}
    attempt = Attempt(
        platform=entry, model=model, result="ok", status=200, usage=usage, cost_nanousd=cost, **fields
    )  # type: ignore[arg-type]
    at_ms = at(when)
    return Outcome(
        id=new_request_id(at_ms, IDS.getrandbits), at_ms=at_ms, purpose="live", surface="messages",
        endpoint="messages", requested_model=model, session="s", result="ok", status=200, stream=False,
        plan=Plan(arm=Arm(model), platform=entry), attempts=(attempt,), cost_nanousd=cost, config_version=CONFIG,
        catalogue_version=version,
    )  # fmt: skip


class Month:
    """A folder with a store of records."""

    def __init__(self, folder: Path, overlay: str = "") -> None:
        self.folder = folder
        self.config = folder / "trimtab.toml"
        self.overlay(overlay)

    def overlay(self, text: str) -> Catalogue:
        """Put an overlay in place; the catalogue with it."""
        line = '[catalogue]\noverlay = "own.yaml"\n' if text else ""
        self.config.write_text(f'version = 1\n[store]\nurl = "sqlite:///{self.folder}/t.db"\n{line}')
        (self.folder / "own.yaml").write_text(text)
        self.catalogue = Catalogue.load(self.folder / "own.yaml" if text else None)
        return self.catalogue

    def keep(self, **terms: Terms) -> None:
        """As a server does when it takes a configuration over."""
        database = open_database(self.settings, clock_ms=lambda: 1)
        note_prices(database, CONFIG, self.catalogue.files, self.catalogue.version, terms)
        database.close()

    @property
    def settings(self) -> StoreSettings:
        return StoreSettings(url=f"sqlite:///{self.folder}/t.db")

    def put(self, *records: Outcome) -> None:
        store = open_store(self.settings, clock_ms=lambda: at("2026-11-22"), on_problem=print)
        for one in records:
            store.put(one)
        assert store.close(10) == 0


DIRECT = Terms("anthropic", False, Decimal(0))
NEGOTIATED = "prices:\n- model: claude-sonnet-4-6\n  rows:\n  - {effective_from: 2026-01-01, input: %s, output: %s,\n" \
    "     cache_write_5m: 3.75, cache_write_1h: 6, cache_read: 0.3}\n"  # fmt: skip


@pytest.fixture
def month(tmp_path: Path) -> Month:
    return Month(tmp_path)


def test_each_call_of_a_cascade_is_priced_as_its_own_model(month: Month) -> None:
    month.keep(claude=DIRECT)
    version, usage = month.catalogue.version, Usage(input_tokens=1_000_000)
    made = record("2026-11-02T10:00:00", SONNET, 0, usage, version=version)
    first = msgspec.structs.replace(made.attempts[0], cost_nanousd=3_000_000_000, arm=Arm(SONNET, "low"))
    second = msgspec.structs.replace(first, arm=Arm(OPUS_46), step=1, cost_nanousd=5_000_000_000)
    month.put(msgspec.structs.replace(made, attempts=(first, second), cost_nanousd=8_000_000_000))
    found = reprice_month(month.config, "2026-11")
    assert found.differences == ()
    assert (found.real.calls, found.real.then_nanousd, found.real.today_nanousd) == (
        2,
        8_000_000_000,
        8_000_000_000,
    )


def test_dated_prices_hold_for_their_days_whenever_the_month_is_priced(month: Month) -> None:
    version = month.catalogue.version
    month.keep(claude=DIRECT)
    month.put(
        record("2026-03-12T23:59:59", OPUS_46, 3_037_500_000, Usage(input_tokens=300_000, output_tokens=1000), version=version),
        record("2026-03-13T00:00:00", OPUS_46, 1_525_000_000, Usage(input_tokens=300_000, output_tokens=1000), version=version),
        record("2026-03-01T00:00:00", OPUS_46, 1_000_000_000, Usage(input_tokens=200_000), version=version),
        record("2026-10-20T10:00:00", HAIKU_55, 77_500_000, Usage(input_tokens=150_000, output_tokens=1000), version=version),
        record("2026-10-20T10:00:00", HAIKU_55, 9_500_000, Usage(input_tokens=90_000, output_tokens=1000), version=version),
    )  # fmt: skip
    for name, records, cost in (("2026-03", 3, 5_562_500_000), ("2026-10", 2, 87_000_000)):
        found = reprice_month(month.config, name)
        assert found.differences == ()
        assert found.reproduced
        assert (found.real.records, found.real.calls) == (records, records)
        assert found.real.recorded_nanousd == found.real.then_nanousd == found.real.today_nanousd == cost
    assert reprice_month(month.config, "2026-04").real.records == 0


def test_a_call_that_was_recorded_wrongly_is_told_and_is_exit_status_1(
    month: Month, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(month.folder)
    month.keep(claude=DIRECT)
    wrong = record(
        "2026-10-20T10:00:00",
        HAIKU_55,
        9_500_001,
        Usage(input_tokens=90_000, output_tokens=1000),
        version=month.catalogue.version,
    )
    month.put(wrong)
    result = CliRunner().invoke(command, ["reprice", "2026-10", "--json"])
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said["reproduced"] is False
    (difference,) = said["differences"]
    assert (difference["recorded_nanousd"], difference["priced_nanousd"], difference["why"], difference["examples"]) == (
        9_500_001, 9_500_000, "", [wrong.id],
    )  # fmt: skip
    result = CliRunner().invoke(command, ["reprice", "2026-10"])
    assert (result.exit_code, "NOT REPRODUCED: 1 call cost something else" in result.stderr) == (1, True)
    assert wrong.id in result.stdout


def test_a_negotiated_price_that_changed_is_shown_as_such_and_the_month_is_reproduced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    month = Month(tmp_path, NEGOTIATED % ("2", "10"))
    month.keep(claude=DIRECT, house=Terms("anthropic", False, Decimal("0.125")))
    usage = Usage(input_tokens=1_000_000, output_tokens=100_000)
    month.put(
        record("2026-10-20T10:00:00", SONNET, 3_000_000_000, usage, version=month.catalogue.version),
        record("2026-10-20T10:00:00", SONNET, 2_625_000_000, usage, "house", version=month.catalogue.version),
    )
    assert reprice_month(month.config, "2026-10").differences == ()
    month.overlay(NEGOTIATED % ("1.5", "9"))
    found = reprice_month(month.config, "2026-10")
    assert found.reproduced
    assert (found.real.recorded_nanousd, found.real.then_nanousd) == (5_625_000_000, 5_625_000_000)
    assert found.real.today_nanousd == 2_400_000_000 + 2_100_000_000
    assert [(one.against, one.entry, one.recorded_nanousd, one.priced_nanousd) for one in found.differences] == [
        ("today", "claude", 3_000_000_000, 2_400_000_000), ("today", "house", 2_625_000_000, 2_100_000_000),
    ]  # fmt: skip
    assert found.differences[0].why == (
        "the negotiated prices of own.yaml changed, input $2 to $1.50, output $10 to $9 a million"
    )
    result = CliRunner().invoke(command, ["reprice", "2026-10"])
    assert result.exit_code == 0
    assert "2026-10 is reproduced: every call costs by its own catalogue what was recorded" in result.stdout


def test_what_cannot_be_priced_again_is_counted_and_stands(month: Month) -> None:
    version = month.catalogue.version
    month.keep(claude=DIRECT)
    plain = Usage(input_tokens=1000, output_tokens=100)
    month.put(
        record("2026-10-01T00:00:00", SONNET, 77, None, version=version, cost_source="estimated", reserved_nanousd=77),
        record("2026-10-01T00:00:00", SONNET, 4_500_000, plain, version=version, cost_source="estimated"),
        record("2026-10-01T00:00:00", SONNET, 0, plain, version=version, cost_source="unbilled"),
        record("2026-10-01T00:00:00", SONNET, 4_500_000, plain, version="gone"),
    )  # fmt: skip
    found = reprice_month(month.config, "2026-10")
    sums = found.real
    assert found.reproduced
    assert (sums.calls, sums.estimated, sums.worst_case, sums.worst_case_nanousd) == (4, 2, 1, 77)
    assert (sums.unbilled, sums.unkept) == (1, 1)
    assert sums.recorded_nanousd == sums.then_nanousd == 9_000_077


@pytest.mark.parametrize("text", ["2026", "2026-13", "10-2026", "2026-1", "2999-01", "2026-10-01", "next"])
def test_what_is_no_past_month_is_refused(month: Month, text: str) -> None:
    with pytest.raises(ConfigError, match="MONTH"):
        reprice_month(month.config, text)


def test_the_catalogue_that_is_kept_is_the_one_it_was(tmp_path: Path, month: Month) -> None:
    own = Month(tmp_path, NEGOTIATED % ("2", "10")).catalogue
    again = Catalogue.read(own.files)
    assert again.version == own.version
    assert again.files == own.files
