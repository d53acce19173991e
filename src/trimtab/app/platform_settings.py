"""`[platforms]` of `trimtab.toml`: the places that requests are sent to.

It opens none of them, which is `app.platforms`. A file that an entry names is found beside the configuration.
"""

import os
from pathlib import Path
from typing import TypeAlias

import msgspec

from trimtab.config import Document, Secret, fail
from trimtab.errors import ConfigError
from trimtab.providers.anthropic import AnthropicSettings
from trimtab.providers.aws import BedrockSettings, ClaudeOnAwsSettings
from trimtab.providers.azure import FoundrySettings
from trimtab.providers.connecting import Connecting
from trimtab.providers.google import VertexSettings
from trimtab.providers.key_pool import Keyed, check_keys
from trimtab.providers.openai import OpenAISettings
from trimtab.providers.simulator import SimulatorSettings
from trimtab.providers.terms import check_terms

KEY_VARIABLE = "ANTHROPIC_API_KEY"

PlatformSettings: TypeAlias = (
    AnthropicSettings
    | ClaudeOnAwsSettings
    | BedrockSettings
    | FoundrySettings
    | VertexSettings
    | OpenAISettings
    | SimulatorSettings
)

_KINDS: dict[str, type[PlatformSettings]] = {
    "anthropic": AnthropicSettings,
    "anthropic_on_aws": ClaudeOnAwsSettings,
    "bedrock": BedrockSettings,
    "foundry": FoundrySettings,
    "openai": OpenAISettings,
    "simulator": SimulatorSettings,
    "vertex": VertexSettings,
}
"""By what `kind` says."""


def read_platforms(path: Path | None, document: Document) -> tuple[dict[str, PlatformSettings], str]:
    """Every place of the file by name, checked, the files that it names found beside it; and where they come from.

    Without any it is the vendor by the key in the environment, else the simulator. Raises `ConfigError`.
    """
    platforms, origin = _named_platforms(document)
    platforms = {
        name: _placed(path, entry, document.where(f"platforms.{name}")) for name, entry in platforms.items()
    }
    for name, entry in platforms.items():
        _check_entry(entry, document, name)
    return platforms, origin


def _named_platforms(document: Document) -> tuple[dict[str, PlatformSettings], str]:
    if document.has("platforms"):
        entries = document.table("platforms", _KINDS)
        if not entries:
            raise ConfigError(document.where("platforms"), "is empty; add an entry, as [platforms.claude]")
        for name in entries:
            _check_name(name, document)
        return entries, document.name
    if os.environ.get(KEY_VARIABLE):
        try:
            secret = Secret.resolve(f"env:{KEY_VARIABLE}")
        except ValueError as problem:
            raise ConfigError("environment", str(problem)) from None
        return {"claude": AnthropicSettings(api_key=secret)}, f"{KEY_VARIABLE} in the environment"
    return {"simulator": SimulatorSettings()}, "no platform is configured"


def _check_name(name: str, document: Document) -> None:
    if not name.isascii() or not name.isprintable() or not 0 < len(name) <= 64 or set(",#") & set(name):
        raise ConfigError(
            document.where("platforms"),
            f"{name!r}: a name has 1 to 64 plain ASCII characters, none of them ',' or '#'",
        )


def _check_entry(entry: PlatformSettings, document: Document, name: str) -> None:
    def where(key: str) -> str:
        return document.where(f"platforms.{name}.{key}")

    check_terms(entry, where)
    if isinstance(entry, Keyed):
        check_keys(entry, where, required=isinstance(entry, AnthropicSettings))


def _placed(path: Path | None, entry: PlatformSettings, where: str) -> PlatformSettings:
    """The entry with the paths of its files made relative to where the program runs."""

    def found(name: str | None, key: str) -> str | None:
        file = beside(path, name, f"{where}.{key}")
        return None if file is None else str(file)

    if isinstance(entry, VertexSettings):
        credentials = found(entry.credentials_file, "credentials_file")
        entry = msgspec.structs.replace(entry, credentials_file=credentials)
    if isinstance(entry, FoundrySettings):
        token = found(entry.federated_token_file, "federated_token_file")
        entry = msgspec.structs.replace(entry, federated_token_file=token)
    if isinstance(entry, Connecting):
        return msgspec.structs.replace(entry, ca_file=found(entry.ca_file, "ca_file"))
    return msgspec.structs.replace(entry, script=found(entry.script, "script"))


def beside(path: Path | None, name: str | None, where: str) -> Path | None:
    """A file named in the configuration is found relative to the configuration."""
    if name is None:
        return None
    if "\0" in name:
        fail(where, name, "no file name holds a NUL character; correct the path")
    return (path.parent if path is not None else Path()) / name
