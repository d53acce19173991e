"""`trimtab models --rules`: which rules hold for a model."""

import io

import pytest
from rich.console import Console

from trimtab.catalogue import Catalogue
from trimtab.cli.model_rules import found_model, render_rules, rules_json
from trimtab.errors import NotFound
from trimtab.normaliser import NormaliserSettings

CATALOGUE = Catalogue.load()
MODES = NormaliserSettings(tiers="strict")


def test_the_list_has_what_the_model_refuses_and_not_what_others_do() -> None:
    opus, haiku = ({str(row["id"]) for row in rules_json(found_model(CATALOGUE, name), MODES)} for name in ("claude-opus-4-7", "claude-haiku-4-5"))  # fmt: skip
    assert opus - haiku >= {"prefill", "sampling-rejected", "thinking-enabled-rejected"}
    assert haiku - opus >= {"effort-unknown", "thinking-adaptive-unknown", "task-budget-unknown"}


def test_the_table_names_every_rule_whole() -> None:
    model = found_model(CATALOGUE, "claude-opus-4-7")
    out = io.StringIO()
    Console(file=out, width=100).print(render_rules(model, MODES))
    shown = out.getvalue()
    assert "What claude-opus-4-7 refuses" in shown
    for row in rules_json(model, MODES):
        assert f"\n{row['id']} " in shown


def test_it_says_which_mode_holds_for_tiers_and_for_pinned_models() -> None:
    model = found_model(CATALOGUE, "claude-opus-4-7")
    out = io.StringIO()
    Console(file=out, width=100).print(render_rules(model, MODES))
    assert 'names a tier:  tiers = "strict", refused with 400' in out.getvalue()
    assert 'names a model: pinned = "observe", sent as it came, and noted' in out.getvalue()
    assert {"tiers": "strict", "pinned": "observe"} in [row["modes"] for row in rules_json(model, MODES)]


def test_a_model_that_nobody_knows_is_an_error_that_says_where_to_look() -> None:
    with pytest.raises(NotFound, match="'nope' is not in the catalogue; trimtab models lists it"):
        found_model(CATALOGUE, "nope")
