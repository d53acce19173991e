"""The shipped rows, against themselves and against the reference they were taken from."""

import datetime
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from trimtab.catalogue import EFFORTS, Catalogue, Model

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "claude-catalogue.yaml"
TODAY = datetime.date(2026, 11, 20)


def find(catalogue: Catalogue, name: str) -> Model:
    model = catalogue.find(name)
    assert model is not None, name
    return model


def test_all_models_of_the_design_are_there(catalogue: Catalogue) -> None:
    assert len(catalogue.models) == 21
    assert len({model.id for model in catalogue.models}) == 21


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference is not part of the repository")
def test_the_rows_equal_the_reference(catalogue: Catalogue) -> None:
    reference = yaml.safe_load(REFERENCE.read_text(encoding="utf-8"))["models"]
    assert {entry["id"] for entry in reference} == {model.id for model in catalogue.models}
    for entry in reference:
        model = find(catalogue, entry["id"])
        row = catalogue.price_row(model, TODAY)
        for name, figure in entry["price"].items():
            assert getattr(row, name) == Decimal(str(figure)), (model.id, name)
        assert (row.fast is None) == ("fast_price" not in entry), model.id
        if row.fast is not None:
            assert row.fast.input == entry["fast_price"]["input"]
            assert row.fast.output == entry["fast_price"]["output"]
        assert model.limits.context == entry["limits"]["context"], model.id
        assert model.limits.max_output == entry["limits"]["max_output"], model.id
        assert list(model.effort_levels) == entry["effort"]["levels"], model.id
        assert model.default_effort == entry["effort"]["default"], model.id
        assert model.vision == entry["vision"], model.id
        assert model.tokenizer == entry["tokenizer"], model.id
        assert list(model.aliases) == entry.get("aliases", []), model.id
        assert model.thinking.adaptive == entry["thinking"]["adaptive"], model.id
        assert model.ids.bedrock == entry["ids"]["bedrock"], model.id
        assert model.ids.vertex == entry["ids"]["vertex"], model.id
        assert model.ids.foundry == entry["ids"]["foundry"], model.id
        life = entry["lifecycle"]
        assert model.lifecycle.status == life["status"], model.id
        assert str(model.lifecycle.released).startswith(life["released"]), model.id
        for key in ("retires", "retires_not_before"):
            ours = getattr(model.lifecycle, key)
            assert (ours.isoformat() if ours else None) == life.get(key), (model.id, key)
        assert model.features.prompt_cache_min == entry["features"]["prompt_cache_min"], model.id
        assert len(model.unverified) == len(entry["unverified"]), model.id


def test_every_row_starts_at_the_release_or_later(catalogue: Catalogue) -> None:
    for model in catalogue.models:
        released = model.lifecycle.released
        assert released is not None
        assert min(row.effective_from for row in model.prices) == released, model.id


def test_cache_rates_follow_the_published_multipliers(catalogue: Catalogue) -> None:
    read = {
        "claude-opus-5-5": Decimal("0.05"),
        "claude-sonnet-5-5": Decimal("0.05"),
        "claude-fable-5-1": Decimal("0.025"),
        "claude-mythos-5-1": Decimal("0.025"),
        "claude-fable-5-2": Decimal("0.025"),
        "claude-mythos-5-2": Decimal("0.025"),
    }
    for model in catalogue.models:
        for row in model.prices:
            assert row.cache_write_5m == row.input * Decimal("1.25"), model.id
            assert row.cache_write_1h == row.input * 2, model.id
            assert row.cache_read == row.input * read.get(model.id, Decimal("0.1")), model.id
            if row.batch_input is not None:
                assert row.batch_input * 2 == row.input, model.id


def test_aliases_and_ids_find_the_same_row(catalogue: Catalogue) -> None:
    assert find(catalogue, "claude-haiku-4-5") is find(catalogue, "claude-haiku-4-5-20251001")
    assert find(catalogue, "claude-3-5-sonnet-latest").id == "claude-3-5-sonnet-20241022"


@pytest.mark.parametrize(
    "name", ["", "gpt-5", "CLAUDE-OPUS-4-7", "anthropic.claude-opus-4-7", "claude-opus-4-7@high"]
)
def test_an_unknown_name_finds_nothing(catalogue: Catalogue, name: str) -> None:
    assert catalogue.find(name) is None


@pytest.mark.parametrize(
    ("model", "platform", "expected"),
    [
        ("claude-opus-4-7", "anthropic", "claude-opus-4-7"),
        ("claude-opus-4-7", "anthropic_on_aws", "claude-opus-4-7"),
        ("claude-opus-4-7", "simulator", "claude-opus-4-7"),
        ("claude-opus-4-6", "bedrock", "anthropic.claude-opus-4-6-v1"),
        ("claude-haiku-4-5", "vertex", "claude-haiku-4-5@20251001"),
        ("claude-haiku-4-5", "foundry", "claude-haiku-4-5"),
        ("claude-haiku-4-5", "anthropic", "claude-haiku-4-5-20251001"),
        ("claude-mythos-preview", "foundry", None),
        ("claude-opus-4-7", "somewhere-else", None),
    ],
)
def test_each_platform_has_its_own_name_for_a_model(
    catalogue: Catalogue, model: str, platform: str, expected: str | None
) -> None:
    assert find(catalogue, model).platform_id(platform) == expected


def test_effort_abilities(catalogue: Catalogue) -> None:
    assert find(catalogue, "claude-opus-4-7").effort_levels == EFFORTS
    assert not find(catalogue, "claude-opus-4-6").accepts_effort("xhigh")
    assert find(catalogue, "claude-opus-4-6").accepts_effort("max")
    assert find(catalogue, "claude-opus-5-5").default_effort == "medium"
    assert find(catalogue, "claude-haiku-4-5").effort_levels == ()


def test_a_model_retires_on_its_day_and_not_before(catalogue: Catalogue) -> None:
    model = find(catalogue, "claude-sonnet-4-5")
    assert not model.retired_on(datetime.date(2026, 11, 29))
    assert model.retired_on(datetime.date(2026, 11, 30))
    assert model.days_left(TODAY) == 10
    assert model.status_on(datetime.date(2026, 9, 29)) == "active"
    assert model.status_on(datetime.date(2026, 9, 30)) == "deprecated"
    assert find(catalogue, "claude-mythos-preview").status_on(TODAY) == "deprecated"
    assert not find(catalogue, "claude-haiku-4-5").retired_on(TODAY)


def test_equal_files_have_an_equal_version(catalogue: Catalogue, tmp_path: Path) -> None:
    assert Catalogue.load().version == catalogue.version
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("prices: []\n")
    with_overlay = Catalogue.load(overlay).version
    assert with_overlay != catalogue.version
    assert Catalogue.load(overlay).version == with_overlay


def test_bedrock_has_each_model_by_the_name_of_its_endpoint(catalogue: Catalogue) -> None:
    assert find(catalogue, "claude-haiku-4-5").ids.bedrock_mantle == "anthropic.claude-haiku-4-5"
    for model in catalogue.models:
        older = model.ids.bedrock_api_versions == ("2023-06-01",)
        if older:  # Claude 4.6 and before, of which the Messages endpoint serves Haiku 4.5 alone
            assert (model.ids.bedrock_mantle is None) == (model.id != "claude-haiku-4-5-20251001"), model.id
        else:
            assert model.ids.bedrock_mantle == model.ids.bedrock == f"anthropic.{model.id}"


def test_an_api_version_that_bedrock_refuses_for_a_model_is_taken_elsewhere(catalogue: Catalogue) -> None:
    both = ("2023-06-01", "2026-10-21")
    older, newer = find(catalogue, "claude-opus-4-6"), find(catalogue, "claude-opus-4-7")
    for platform in ("bedrock", "bedrock_mantle", "bedrock_converse"):
        assert older.api_versions(platform, both) == ("2023-06-01",)
        assert newer.api_versions(platform, both) == both
    assert older.api_versions("anthropic", both) == both
    assert older.api_versions("bedrock", ("2026-10-21",)) == ("2026-10-21",), "a platform speaks some version"


def test_models_that_share_a_rate_limit_are_known_and_only_those(catalogue: Catalogue) -> None:
    """Escalating from 4.7 to 4.6 does not help against a 429; going to 5 does."""
    shared: dict[str, set[str]] = {}
    for model in catalogue.models:
        shared.setdefault(model.rate_bucket, set()).add(model.id)
    opus = {find(catalogue, f"claude-opus-4-{minor}").id for minor in (5, 6, 7, 8)}
    sonnet = {find(catalogue, f"claude-sonnet-4-{minor}").id for minor in (5, 6)}
    assert sorted(map(sorted, (each for each in shared.values() if len(each) > 1))) == sorted(
        map(sorted, (opus, sonnet))
    )
    assert find(catalogue, "claude-opus-5").rate_bucket == "claude-opus-5"


def test_a_cloud_keeps_a_rate_limit_for_each_model(catalogue: Catalogue) -> None:
    model = find(catalogue, "claude-opus-4-6")
    for platform in ("anthropic", "anthropic_on_aws", "simulator"):
        assert model.rate_bucket_on(platform) == "opus-4"
    for platform in ("bedrock", "bedrock_mantle", "bedrock_converse", "vertex", "foundry", "openai"):
        assert model.rate_bucket_on(platform) == "claude-opus-4-6"
