"""`trimtab.toml` as a whole: each package's settings, read once and checked against the catalogue."""

import os
from pathlib import Path
from typing import TypeAlias

import msgspec

from trimtab.catalogue import Catalogue, CatalogueSettings, Tiers, TierSettings, resolve_tiers
from trimtab.config import Document, Secret, fail, load_document
from trimtab.errors import ConfigError
from trimtab.gateway import Listen, ServerSettings, check_server
from trimtab.providers.anthropic import AnthropicSettings
from trimtab.providers.simulator import SimulatorSettings
from trimtab.store import StoreSettings

DEFAULT_FILE = "trimtab.toml"
KEY_VARIABLE = "ANTHROPIC_API_KEY"

PlatformSettings: TypeAlias = AnthropicSettings | SimulatorSettings


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one version of the configuration says, checked."""

    document: Document
    server: ServerSettings
    listen: Listen
    store: StoreSettings
    catalogue: Catalogue
    tiers: Tiers
    platforms: dict[str, PlatformSettings]
    platforms_from: str
    """Where the platforms come from, for the banner."""


def config_path(given: Path | None) -> Path | None:
    """The file to read: the one given, else `trimtab.toml` here if there is one, else none."""
    if given is not None:
        return given
    here = Path(DEFAULT_FILE)
    return here if here.exists() else None


def load_settings(path: Path | None, *, listen: str | None = None) -> Settings:
    """Read and check. `listen` is the command line's and wins. Raises `ConfigError`."""
    document = load_document(path)
    server = document.section("server", ServerSettings)
    address = check_server(server, lambda key: document.where(f"server.{key}"))
    if listen is not None:
        address = Listen.parse(listen, "--listen")
    store = document.section("store", StoreSettings)
    overlay = document.section("catalogue", CatalogueSettings).overlay
    catalogue = _catalogue(_beside(path, overlay, document.where("catalogue.overlay")), document)
    tiers = resolve_tiers(document.section("tiers", TierSettings), catalogue, document.where)
    platforms, origin = _platforms(document)
    platforms = {
        name: _placed(path, entry, document.where(f"platforms.{name}")) for name, entry in platforms.items()
    }
    document.finish()
    return Settings(
        document=document,
        server=server,
        listen=address,
        store=store,
        catalogue=catalogue,
        tiers=tiers,
        platforms=platforms,
        platforms_from=origin,
    )


def _catalogue(overlay: Path | None, document: Document) -> Catalogue:
    try:
        return Catalogue.load(overlay)
    except ConfigError as problem:
        if overlay is None:
            raise
        raise ConfigError(document.where("catalogue.overlay"), str(problem)) from None


def _beside(path: Path | None, name: str | None, where: str) -> Path | None:
    """A file named in the configuration is found relative to the configuration."""
    if name is None:
        return None
    if "\0" in name:
        fail(where, name, "no file name holds a NUL character; correct the path")
    return (path.parent if path is not None else Path()) / name


def _placed(path: Path | None, entry: PlatformSettings, where: str) -> PlatformSettings:
    if isinstance(entry, AnthropicSettings):
        ca_file = _beside(path, entry.ca_file, f"{where}.ca_file")
        return msgspec.structs.replace(entry, ca_file=_text(ca_file))
    return msgspec.structs.replace(entry, script=_text(_beside(path, entry.script, f"{where}.script")))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _platforms(document: Document) -> tuple[dict[str, PlatformSettings], str]:
    if document.has("platforms"):
        kinds: dict[str, type[PlatformSettings]] = {
            "anthropic": AnthropicSettings,
            "simulator": SimulatorSettings,
        }
        table = document.table("platforms", kinds)
        if not table:
            raise ConfigError(document.where("platforms"), "is empty; add an entry, as [platforms.claude]")
        for name in table:
            if not name.isascii() or not name.isprintable() or not 0 < len(name) <= 64 or "," in name:
                raise ConfigError(
                    document.where("platforms"),
                    f"{name!r}: a name has 1 to 64 plain ASCII characters, no comma",
                )
        return table, document.name
    if os.environ.get(KEY_VARIABLE):
        try:
            secret = Secret.resolve(f"env:{KEY_VARIABLE}")
        except ValueError as problem:
            raise ConfigError("environment", str(problem)) from None
        return {"claude": AnthropicSettings(api_key=secret)}, f"{KEY_VARIABLE} in the environment"
    return {"simulator": SimulatorSettings()}, "no platform is configured"
