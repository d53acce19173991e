import datetime
import io
import json

import pytest
from rich.console import Console, RenderableType

from trimtab.catalogue import Catalogue, Difference, Tiers, TierSettings, resolve_tiers
from trimtab.cli.models import models_json, render_differences, render_models

TODAY = datetime.date(2026, 11, 20)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load()


@pytest.fixture(scope="module")
def tiers(catalogue: Catalogue) -> Tiers:
    return resolve_tiers(TierSettings(escalation="claude-opus-4-7@xhigh+adaptive"), catalogue, str)


def shown(what: RenderableType, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_the_table_shows_every_model_whole_and_within_the_width(
    catalogue: Catalogue, tiers: Tiers, width: int
) -> None:
    text = shown(render_models(catalogue, tiers, TODAY), width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "…" not in text
    for model in catalogue.models:
        assert model.id in text
    assert "≥2027-04-16" in text
    assert "+adaptive" in text


def test_the_wide_table_has_a_line_for_each_model(catalogue: Catalogue, tiers: Tiers) -> None:
    lines = shown(render_models(catalogue, tiers, TODAY), 160).splitlines()
    opus = next(line for line in lines if line.startswith("claude-opus-5-5"))
    assert opus.split() == [
        "claude-opus-5-5", "1M/128k", "≥2027-09-22", "$4/$20", "$0.20", "low..max", "medium*", "always",
    ]  # fmt: skip


def test_the_narrow_table_puts_what_belongs_together_below_each_other(
    catalogue: Catalogue, tiers: Tiers
) -> None:
    lines = shown(render_models(catalogue, tiers, TODAY), 80).splitlines()
    row = next(index for index, line in enumerate(lines) if line.startswith("claude-opus-4-6 "))
    assert lines[row].split() == ["claude-opus-4-6", "1M/128k", "$5/$25", "low..high,max", "high*"]
    assert lines[row + 1].split() == ["control", "≥2027-02-05", "$0.50", "adaptive,", "off"]


def test_the_notes_say_which_tier_is_concerned(catalogue: Catalogue, tiers: Tiers) -> None:
    text = " ".join(shown(render_models(catalogue, tiers, TODAY), 140).split())
    assert "retires on 2026-11-30, in 10 days" in text
    assert "asks the platform (bound to fast)" in text


def test_json_has_a_row_for_each_model_with_numbers_for_prices(catalogue: Catalogue, tiers: Tiers) -> None:
    rows = json.loads(json.dumps(models_json(catalogue, tiers, TODAY)))
    assert len(rows) == len(catalogue.models)
    haiku = next(row for row in rows if row["id"] == "claude-haiku-5-5")
    assert haiku["usd_per_mtok"]["input"] == 0.1
    assert haiku["usd_per_mtok"]["long_prompt"] == {
        "above_tokens": 100_000,
        "input_factor": 5.0,
        "output_factor": 5.0,
    }
    opus = next(row for row in rows if row["id"] == "claude-opus-4-7")
    assert opus["tiers"] == ["escalation @xhigh+adaptive"]
    assert opus["effort"] == {"levels": ["low", "medium", "high", "xhigh", "max"], "default": "high"}
    fast = next(row for row in rows if row["id"] == "claude-opus-4-8")["usd_per_mtok"]["fast"]
    assert fast == {"input": 10.0, "output": 50.0, "until": "2026-11-30"}


def test_differences_are_listed_or_their_absence_is_said() -> None:
    assert shown(render_differences([], "claude"), 80) == "The catalogue agrees with claude.\n"
    text = shown(
        render_differences(
            [Difference("differs", "claude-opus-4-7", "max_tokens", "128000", "64000")], "claude"
        ),
        80,
    )
    assert "1 difference between the catalogue and claude:" in text
    assert "max_tokens: catalogue 128000, platform 64000" in text
