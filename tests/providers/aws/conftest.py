"""A platform of Amazon's that a test scripts, and a machine with nothing on it but what the test puts there."""

from collections.abc import Callable
from typing import Any

import pytest
from aws_platform import keys, where
from scripted_upstream import Upstream

from trimtab.catalogue import Catalogue
from trimtab.providers import Provider
from trimtab.providers.aws import BedrockSettings, ClaudeOnAwsSettings, open_bedrock, open_claude_on_aws
from trimtab.providers.machine import Machine


@pytest.fixture
def bedrock(upstream: Upstream, machine: Machine, catalogue: Catalogue) -> Callable[..., Provider]:
    """Opens `kind = "bedrock"` against the scripted platform."""

    def opened(**written: Any) -> Provider:
        settings = {"region": "eu-west-1", "base_url": upstream.url, **keys(), **written}
        return open_bedrock("aws", BedrockSettings(**settings), where, catalogue, machine)

    return opened


@pytest.fixture
def on_aws(upstream: Upstream, machine: Machine) -> Callable[..., Provider]:
    """Opens `kind = "anthropic_on_aws"` against the scripted platform."""

    def opened(**written: Any) -> Provider:
        settings = {
            "region": "us-west-2",
            "base_url": upstream.url,
            "workspace": "wrkspc_1",
            **keys(),
            **written,
        }
        return open_claude_on_aws("aws", ClaudeOnAwsSettings(**settings), where, machine)

    return opened
