"""What Trimtab promises to people who use it, one line each, read from the program itself.

    python tests/support/public_api.py > docs/public-api.txt

docs/api.md says what the lines mean and for how long they hold.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from typer.main import get_command

import trimtab
import trimtab.gateway
import trimtab.telemetry.names as names
from trimtab.budgets.settings import BudgetSettings
from trimtab.cache import CacheSettings
from trimtab.catalogue import CatalogueSettings, TierSettings
from trimtab.catalogue.effort import EffortSettings, Scenario
from trimtab.catalogue.tiers import TierBinding
from trimtab.cli.root import root
from trimtab.content import ContentSettings
from trimtab.engine import RetrySettings
from trimtab.engine.inbound import OWN_HEADERS
from trimtab.gateway import ServerSettings, openapi_document
from trimtab.jobs import JobSettings
from trimtab.normaliser import NormaliserSettings
from trimtab.providers.anthropic import AnthropicSettings
from trimtab.providers.aws import BedrockSettings, ClaudeOnAwsSettings
from trimtab.providers.azure import FoundrySettings
from trimtab.providers.google import VertexSettings
from trimtab.providers.openai import OpenAISettings
from trimtab.providers.simulator import SimulatorSettings
from trimtab.routing import ChoosingSettings, RouteSettings
from trimtab.routing.cascade import EscalationSettings
from trimtab.routing.cascade.rules_file import RuleSettings
from trimtab.routing.routes import RouteMatch
from trimtab.sandbox import SandboxSettings
from trimtab.store import StoreSettings
from trimtab.telemetry import TelemetrySettings
from trimtab.verification import VerificationSettings
from trimtab.vision import ImageSettings
from trimtab.vision.settings import ImageRules

SECTIONS: dict[str, type[msgspec.Struct]] = {
    "server": ServerSettings,
    "store": StoreSettings,
    "telemetry": TelemetrySettings,
    "jobs": JobSettings,
    "normaliser": NormaliserSettings,
    "content": ContentSettings,
    "retries": RetrySettings,
    "catalogue": CatalogueSettings,
    "tiers": TierSettings,
    "tiers.TIER": TierBinding,
    "effort": EffortSettings,
    "scenarios.NAME": Scenario,
    "routes.NAME": RouteSettings,
    "routes.NAME.match": RouteMatch,
    "escalation": EscalationSettings,
    "escalation.rules": RuleSettings,
    "sandbox": SandboxSettings,
    "verification": VerificationSettings,
    "choosing": ChoosingSettings,
    "budgets.NAME": BudgetSettings,
    "cache": CacheSettings,
    "images": ImageSettings,
    "images.tiers.TIER": ImageRules,
    "platforms.NAME(kind=anthropic)": AnthropicSettings,
    "platforms.NAME(kind=anthropic_on_aws)": ClaudeOnAwsSettings,
    "platforms.NAME(kind=bedrock)": BedrockSettings,
    "platforms.NAME(kind=foundry)": FoundrySettings,
    "platforms.NAME(kind=openai)": OpenAISettings,
    "platforms.NAME(kind=simulator)": SimulatorSettings,
    "platforms.NAME(kind=vertex)": VertexSettings,
}
"""A new section of the configuration gets a row; the tests hold this against docs/configuration.md."""


def lines() -> list[str]:
    """Everything public, sorted."""
    return sorted({*_commands(), *_paths(), *_settings(), *_metrics(), *_headers(), *_python()})


def _commands() -> Iterator[str]:
    def walk(command: Any, path: tuple[str, ...]) -> Iterator[str]:
        shown = " ".join(path)
        for parameter in command.params:
            if parameter.name == "help":
                continue
            if parameter.param_type_name == "argument":
                yield f"command {shown} {parameter.name.upper()}"
            else:
                yield from (
                    f"command {shown} {option}" for option in parameter.opts if option.startswith("--")
                )
        if not hasattr(command, "list_commands"):
            yield f"command {shown}"
            return
        for name in command.list_commands(None):
            inner = command.get_command(None, name)
            if not inner.hidden:
                yield from walk(inner, (*path, name))

    yield from walk(get_command(root), ("trimtab",))


def _paths() -> Iterator[str]:
    for path, operations in json.loads(openapi_document())["paths"].items():
        for method in operations:
            if method in ("get", "post", "put", "patch", "delete"):
                yield f"http {method.upper()} {path}"


def _settings() -> Iterator[str]:
    for section, kind in SECTIONS.items():
        for field in msgspec.structs.fields(kind):
            yield f"setting {section}.{field.encode_name}"


def _metrics() -> Iterator[str]:
    for instrument in vars(names).values():
        if isinstance(instrument, names.Instrument):
            yield f"metric {instrument.exposed}{{{','.join(instrument.labels)}}}"


def _headers() -> Iterator[str]:
    yield from (f"header of requests {name}" for name in OWN_HEADERS)
    yield "header of requests idempotency-key"
    for file in Path(trimtab.gateway.__path__[0]).glob("*.py"):
        for name in re.findall(r'b"(x-trimtab-[a-z-]*[a-z])"', file.read_text()):
            yield f"header of answers {name}"


def _python() -> Iterator[str]:
    yield from (f"python trimtab.{name}" for name in trimtab.__all__)


if __name__ == "__main__":
    print("\n".join(lines()))
