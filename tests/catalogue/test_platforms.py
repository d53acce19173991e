"""What platforms take, as data: the shipped file reads, and mistakes in it are named."""

from decimal import Decimal

import pytest
from platform_table import table, written

from trimtab.catalogue import Catalogue
from trimtab.catalogue.platforms import load_platforms
from trimtab.errors import ConfigError


def test_the_shipped_profiles_read_and_say_where_they_come_from() -> None:
    profiles = load_platforms()
    assert profiles["anthropic"].betas is None
    assert all(profile.source for profile in profiles.values())


def test_a_platform_that_nobody_knows_is_named() -> None:
    with pytest.raises(ConfigError, match=r"platforms\.yaml: bedrok: must be one of anthropic"):
        load_platforms(b"platforms: {bedrok: {name: x, source: y}}")


def test_a_misspelt_key_is_named() -> None:
    with pytest.raises(ConfigError, match="beta"):
        load_platforms(b"platforms: {bedrock: {name: x, source: y, beta: [a]}}")


def test_what_bedrock_refuses_is_there_whatever_the_way_in() -> None:
    profiles = load_platforms()
    for name in ("bedrock", "bedrock_mantle", "bedrock_converse"):
        profile = profiles[name]  # type: ignore[index]
        assert {"output_config.task_budget", "cache_control", "fallbacks", "inference_geo"} <= set(
            profile.no_fields
        )
        assert any("web_search_20260209".startswith(kind) for kind in profile.no_tools)
        assert profile.sources is not None
        assert "url" not in profile.sources
        assert profile.max_image_bytes == 5 * 1024 * 1024
        assert profile.betas is not None
        assert "interleaved-thinking-2025-05-14" in profile.betas
        assert "files-api-2025-04-14" not in profile.betas
        assert "task-budgets-2026-03-13" not in profile.betas
        assert len(set(profile.betas)) == len(profile.betas)
        assert "betas" in profile.unverified
        assert profile.regional_premium == Decimal("0.1")


def test_the_vendors_platform_on_aws_takes_every_beta_and_no_fast_mode() -> None:
    profile = load_platforms()["anthropic_on_aws"]
    assert profile.betas is None
    assert profile.no_fields == ("speed", "diagnostics")


def test_what_is_unverified_is_a_key_of_the_profile() -> None:
    for profile in load_platforms().values():
        assert set(profile.unverified) <= set(profile.__struct_fields__)


def test_the_page_shows_what_the_profiles_say() -> None:
    assert written() == table(), "python tests/support/platform_table.py writes it"


def test_vertex_and_foundry_have_no_feature_that_only_the_vendors_own_api_has() -> None:
    profiles = load_platforms()
    for name in ("vertex", "foundry"):
        profile = profiles[name]  # type: ignore[index]
        assert {"output_config.task_budget", "fallbacks", "inference_geo"} <= set(profile.no_fields)
        assert "advisor_" in profile.no_tools
        assert {"no_fields", "no_tools"} <= set(profile.unverified)
    assert profiles["vertex"].max_request_bytes == 30 * 1024 * 1024
    assert profiles["vertex"].sources is not None
    assert "url" not in profiles["vertex"].sources
    assert profiles["foundry"].rate_limit_headers is False


def test_models_that_a_profile_names_are_in_the_catalogue() -> None:
    catalogue = Catalogue.load()
    for profile in load_platforms().values():
        for model in (*(profile.structured_outputs or ()), *profile.efforts):
            found = catalogue.find(model)
            assert found is not None
            assert found.id == model
