"""What platforms take, as data: the shipped file reads, and mistakes in it are named."""

import pytest

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
