"""A platform of Azure's that a test scripts, and a machine with nothing on it but what the test puts there."""

from collections.abc import Callable
from typing import Any

import pytest
from scripted_upstream import Upstream

from trimtab.catalogue import Catalogue
from trimtab.config import Secret
from trimtab.providers import Provider
from trimtab.providers.azure import FoundrySettings, open_foundry
from trimtab.providers.machine import Machine


def where(key: str) -> str:
    return f"trimtab.toml: platforms.azure.{key}"


@pytest.fixture
def foundry(upstream: Upstream, machine: Machine, catalogue: Catalogue) -> Callable[..., Any]:
    """Opens `kind = "foundry"` against the scripted platform."""

    def opened(around: Machine | None = None, **written: Any) -> Provider:
        settings = {
            "base_url": f"{upstream.url}/anthropic",
            "api_key": Secret("azure-key-1", "env:K"),
            **written,
        }
        return open_foundry("azure", FoundrySettings(**settings), where, catalogue, around or machine)

    return opened
