"""What the documentation shows works."""

import re
from pathlib import Path

import msgspec
import pytest

from trimtab.app import load_settings
from trimtab.catalogue.effort import EffortSettings
from trimtab.content import ContentSettings
from trimtab.engine import RetrySettings
from trimtab.gateway import ServerSettings
from trimtab.normaliser import NormaliserSettings
from trimtab.providers.anthropic import AnthropicSettings
from trimtab.providers.aws import BedrockSettings, ClaudeOnAwsSettings
from trimtab.providers.simulator import SimulatorSettings
from trimtab.routing import ChoosingSettings
from trimtab.sandbox import SandboxSettings
from trimtab.store import StoreSettings
from trimtab.telemetry import TelemetrySettings
from trimtab.verification import VerificationSettings

ROOT = Path(__file__).resolve().parent.parent.parent


def block(page: str, language: str) -> str:
    text = (ROOT / "docs" / page).read_text()
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found
    return found.group(1)


def test_the_documented_file_loads_and_shows_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    file = tmp_path / "trimtab.toml"
    file.write_text(block("configuration.md", "toml"))
    settings = load_settings(file)
    assert settings.server == ServerSettings()
    assert settings.store == StoreSettings()
    assert settings.telemetry == TelemetrySettings()
    assert settings.normaliser == NormaliserSettings()
    assert settings.content == ContentSettings()
    assert settings.retries == RetrySettings()
    assert settings.sandbox == SandboxSettings()
    assert settings.verification == VerificationSettings()
    assert settings.choosing == ChoosingSettings()
    assert settings.effort == EffortSettings()
    assert settings.scenarios == settings.catalogue.scenarios
    assert settings.platforms["sim"] == SimulatorSettings()
    claude = settings.platforms["claude"]
    assert isinstance(claude, AnthropicSettings)
    assert msgspec.structs.replace(claude, api_key=None) == AnthropicSettings(api_key=None)  # type: ignore[arg-type]


def test_the_documented_file_names_every_setting() -> None:
    text = block("configuration.md", "toml")
    for kind in (
        ServerSettings,
        StoreSettings,
        TelemetrySettings,
        NormaliserSettings,
        ContentSettings,
        RetrySettings,
        ChoosingSettings,
        EffortSettings,
        SandboxSettings,
        VerificationSettings,
        AnthropicSettings,
        BedrockSettings,
        ClaudeOnAwsSettings,
    ):
        for name in kind.__struct_fields__:
            assert re.search(rf"^(# )?{name} = ", text, re.MULTILINE), (
                f"{kind.__name__}.{name} is not documented"
            )


def test_every_tier_line_that_is_commented_out_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    text = re.sub(
        r"^# (default|escalation|control|fast) =", r"\1 =", block("configuration.md", "toml"), flags=re.M
    )
    file = tmp_path / "trimtab.toml"
    file.write_text(text)
    assert str(load_settings(file).tiers.escalation) == "claude-opus-4-7@xhigh+adaptive"


def test_the_example_of_choosing_loads_and_means_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_KEY", "k")
    file = tmp_path / "trimtab.toml"
    file.write_text(block("choosing.md", "toml"))
    settings = load_settings(file)
    default = ChoosingSettings(prefer="balanced")
    assert settings.choosing.weights == default.weights, (
        "the page shows the weights that hold when none is named"
    )
    assert (settings.choosing.sticky, settings.choosing.sticky_s) == (default.sticky, default.sticky_s)
    assert settings.tiers.places["escalation"].platforms == ("bedrock-eu", "vertex-eu")
