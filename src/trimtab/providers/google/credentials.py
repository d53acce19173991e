"""Where Google credentials are looked for, in the order of Google's libraries, decided once when a platform is opened.

    configuration   access_token, or credentials_file, of this platform: nothing else is looked at then
    environment     GOOGLE_APPLICATION_CREDENTIALS, the path of a file
    gcloud          application_default_credentials.json in ~/.config/gcloud, or in CLOUDSDK_CONFIG
    metadata        of the machine: Compute Engine, GKE, Cloud Run

What it is not: a Google library; kinds of files that are not read are refused with what to do instead.
Invariant: what the configuration says is never overruled by what happens to be in the environment.

Source: Google's page on how application default credentials work (2026-11); google-auth 2.62.
"""

import configparser
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import msgspec

from trimtab.config import Secret, read_file
from trimtab.errors import ConfigError
from trimtab.providers.bearer import Token
from trimtab.providers.google.fetching import NO_CREDENTIALS, metadata_project, metadata_token
from trimtab.providers.google.files import opened
from trimtab.providers.machine import Machine, parsed_target
from trimtab.providers.renewing import Renewing, Source, Steady

FILE_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
PROJECT_VARIABLES = ("ANTHROPIC_VERTEX_PROJECT_ID", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT")
"""The first is the vendor's SDK's, the others Google's libraries'; in this order."""

WELL_KNOWN = "application_default_credentials.json"
METADATA_HOST = "metadata.google.internal"

FindProject: TypeAlias = Callable[[], Awaitable[str]]


class Found(msgspec.Struct, frozen=True):
    """Credentials, and what they say of the project."""

    source: Source[Token]
    project: str | None = None
    find_project: FindProject | None = None
    """Asks for it, where that takes a question to somebody."""


def project_around(machine: Machine) -> str | None:
    """The project that the environment names."""
    return next((found for name in PROJECT_VARIABLES if (found := machine.environment.get(name))), None)


def find_credentials(
    access_token: Secret | None,
    credentials_file: str | None,
    where: Callable[[str], str],
    machine: Machine,
) -> Found:
    """What authenticates calls; nothing is fetched yet. Raises `ConfigError`."""
    if access_token is not None:
        if credentials_file is not None:
            raise ConfigError(where("access_token"), "credentials_file is set too; keep one of them")
        return Found(Steady(Token(access_token.reveal())))
    if credentials_file is not None:
        return _from_file(Path(credentials_file), where("credentials_file"), machine)
    if named := machine.environment.get(FILE_VARIABLE):
        return _from_file(Path(named), f"environment: {FILE_VARIABLE}", machine)
    folder = _gcloud(machine)
    usual = folder / WELL_KNOWN
    if usual.exists():
        found = _from_file(usual, str(usual), machine)
        if found.project is None:
            return msgspec.structs.replace(found, project=_gcloud_project(folder, machine))
        return found
    if machine.environment.get("NO_GCE_CHECK") == "true":
        raise ConfigError(where("credentials_file"), f"{NO_CREDENTIALS} (NO_GCE_CHECK keeps metadata out)")
    return _from_metadata(machine)


def _gcloud(machine: Machine) -> Path:
    named = machine.environment.get("CLOUDSDK_CONFIG")
    return Path(named) if named else machine.home / ".config" / "gcloud"


def _gcloud_project(folder: Path, machine: Machine) -> str | None:
    """The project of gcloud's active configuration, which its own program would say."""
    if named := machine.environment.get("CLOUDSDK_CORE_PROJECT"):
        return named
    active = (
        machine.environment.get("CLOUDSDK_ACTIVE_CONFIG_NAME") or _text(folder / "active_config") or "default"
    )
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(_text(folder / "configurations" / f"config_{active}"))
    except configparser.Error:
        return None
    return parser.get("core", "project", fallback=None) or None


def _text(path: Path) -> str:
    """What a file of gcloud's says; empty where it cannot be read: all that is lost is a project."""
    try:
        return read_file(path).decode().strip()
    except (ConfigError, UnicodeDecodeError):
        return ""


def _from_metadata(machine: Machine) -> Found:
    name = next(
        (name for name in ("GCE_METADATA_HOST", "GCE_METADATA_ROOT") if machine.environment.get(name)), ""
    )
    host = machine.environment.get(name) or METADATA_HOST
    target = parsed_target(f"http://{host}", f"environment: {name}", None)

    async def find_project() -> str:
        return await metadata_project(target)

    return Found(
        Renewing(metadata_token(target, machine.now), machine.now, of="Google"), find_project=find_project
    )


def _from_file(path: Path, place: str, machine: Machine) -> Found:
    source, project = opened(path, place, machine)
    return Found(source, project)
