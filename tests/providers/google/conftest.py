"""A platform of Google's that a test scripts, a key that nobody else has, and a machine with nothing on it."""

from collections.abc import Callable
from typing import Any

import pytest
from google_service import Account
from scripted_upstream import Upstream

from trimtab.catalogue import Catalogue
from trimtab.config import Secret
from trimtab.providers import Provider
from trimtab.providers.google import VertexSettings, open_vertex
from trimtab.providers.machine import Machine


def where(key: str) -> str:
    return f"trimtab.toml: platforms.vertex.{key}"


@pytest.fixture(scope="session")
def account() -> Account:
    """A service account."""
    return Account.new()


@pytest.fixture
def vertex(upstream: Upstream, machine: Machine, catalogue: Catalogue) -> Callable[..., Provider]:
    """Opens `kind = "vertex"` against the scripted platform."""

    def opened(around: Machine | None = None, **written: Any) -> Provider:
        settings = {
            "project": "my-project-123",
            "region": "europe-west1",
            "base_url": upstream.url,
            "access_token": Secret("ya29.fixed", "env:T"),
            **written,
        }
        return open_vertex("vertex", VertexSettings(**settings), where, catalogue, around or machine)

    return opened
