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
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec

from trimtab.config import Secret, read_file
from trimtab.errors import ConfigError
from trimtab.providers.bearer import Token
from trimtab.providers.google.assertions import load_key
from trimtab.providers.google.fetching import (
    NO_CREDENTIALS,
    authorized_user,
    metadata_project,
    metadata_token,
    service_account,
)
from trimtab.providers.http import Target
from trimtab.providers.machine import Machine, parsed_target
from trimtab.providers.renewing import Renewing, Source, Steady

FILE_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
PROJECT_VARIABLES = ("ANTHROPIC_VERTEX_PROJECT_ID", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT")
"""The first is the vendor's SDK's, the others Google's libraries'; in this order."""

WELL_KNOWN = "application_default_credentials.json"
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105
METADATA_HOST = "metadata.google.internal"
UNIVERSE = "googleapis.com"

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
    """What a file of Google's says. Raises `ConfigError` that shows nothing of it but names: it may hold a key."""
    try:
        content = read_file(path)
        raw = msgspec.json.decode(content)
    except ConfigError as problem:
        raise ConfigError(place, str(problem)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raw = None
    if not isinstance(raw, dict):
        raise ConfigError(
            place, f"{str(path)!r}: is not a JSON object; it must be a file of Google credentials"
        )
    place = f"{place}: {str(path)!r}"
    kind = raw.get("type")
    if raw.get("universe_domain", UNIVERSE) != UNIVERSE:
        raise ConfigError(place, f"its universe_domain is not {UNIVERSE}, and no other is known here")
    project = raw.get("project_id") if isinstance(raw.get("project_id"), str) else None
    if kind == "service_account":
        values = _values(raw, ("client_email", "private_key"), place)
        key_id = raw.get("private_key_id")
        target, token_path = _service(raw.get("token_uri", TOKEN_URI), f"{place}: token_uri")
        key = load_key(values["private_key"], place)
        identifier = key_id if isinstance(key_id, str) else ""
        fetch = service_account(key, identifier, values["client_email"], target, token_path, machine.now)
        return Found(Renewing(fetch, machine.now, of="Google"), project)
    if kind == "authorized_user":
        values = _values(raw, ("client_id", "client_secret", "refresh_token"), place)
        target, token_path = _service(raw.get("token_uri", TOKEN_URI), f"{place}: token_uri")
        form = {"grant_type": "refresh_token", **values}
        fetch = authorized_user(form, target, token_path, machine.now, repr(str(path)))
        return Found(Renewing(fetch, machine.now, of="Google"), project)
    shown = repr(kind) if isinstance(kind, str) and len(kind) <= 60 else "none that is known"
    raise ConfigError(
        place,
        f"its type is {shown}; use a file of the type 'service_account' or 'authorized_user', or run on a machine "
        "whose metadata give tokens (Compute Engine, GKE, Cloud Run)",
    )


def _values(raw: Mapping[str, object], names: tuple[str, ...], place: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        value = raw.get(name)
        if not isinstance(value, str) or not value:
            raise ConfigError(place, f"has no {name}; download or make the file again")
        found[name] = value
    return found


def _service(url: object, name: str) -> tuple[Target, str]:
    """Origin and path of a token service. Raises `ConfigError`."""
    text = url if isinstance(url, str) else ""
    target = parsed_target(text, name, ())
    return target, urlsplit(text).path or "/"
