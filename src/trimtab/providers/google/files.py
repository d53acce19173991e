"""Files of Google credentials, by their type: service account, user, impersonation, workload identity federation.

What it is not: where such files are looked for (`credentials`). Invariant: no value of a file is in an error, it may be
a key; secrets go nowhere without TLS.

Source: Google's page on application default credentials (2026-11); google-auth 2.62.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import msgspec

from trimtab.config import read_file
from trimtab.errors import ConfigError
from trimtab.providers.bearer import Token
from trimtab.providers.google.assertions import SCOPE, load_key
from trimtab.providers.google.fetching import (
    Fetch,
    Subject,
    authorized_user,
    federated,
    impersonated,
    service_account,
    subject_of_file,
    subject_of_url,
)
from trimtab.providers.http import Target
from trimtab.providers.machine import Machine, parsed_target
from trimtab.providers.renewing import Renewing, Source

TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105
EXCHANGE_URI = "https://sts.googleapis.com/v1/token"
UNIVERSE = "googleapis.com"

IMPERSONATING = "https://www.googleapis.com/auth/iam"
"""The scope of a token that is for impersonation alone. Source: google-auth 2.62."""

LIFETIME_S = 3600
"""Of a token by impersonation, where the file says nothing."""


def opened(path: Path, place: str, machine: Machine) -> tuple[Source[Token], str | None]:
    """The tokens that a file gives, and the project that it names. Raises `ConfigError` that starts with `place`."""
    try:
        raw = msgspec.json.decode(read_file(path))
    except ConfigError as problem:
        raise ConfigError(place, str(problem)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raw = None
    if not isinstance(raw, dict):
        raise ConfigError(
            place, f"{str(path)!r}: is not a JSON object; it must be a file of Google credentials"
        )
    project = raw.get("project_id")
    source = _of(raw, f"{place}: {str(path)!r}", machine)
    return source, project if isinstance(project, str) and project else None


def _of(raw: Mapping[str, Any], place: str, machine: Machine) -> Source[Token]:
    if raw.get("universe_domain", UNIVERSE) != UNIVERSE:
        raise ConfigError(place, f"its universe_domain is not {UNIVERSE}, and no other is known here")
    kind = raw.get("type")
    known = _KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        shown = repr(kind) if isinstance(kind, str) and len(kind) <= 60 else "none that is known"
        raise ConfigError(place, f"its type is {shown}; it must be one of {', '.join(_KINDS)}")
    return known(raw, place, machine)


def _service_account(raw: Mapping[str, Any], place: str, machine: Machine) -> Source[Token]:
    target, path = _service(raw.get("token_uri", TOKEN_URI), f"{place}: token_uri")
    key = load_key(_text(raw, "private_key", place), place)
    key_id = raw.get("private_key_id")
    email = _text(raw, "client_email", place)
    identifier = key_id if isinstance(key_id, str) else ""
    return _renewing(service_account(key, identifier, email, target, path, machine.now), machine)


def _user(raw: Mapping[str, Any], place: str, machine: Machine) -> Source[Token]:
    target, path = _service(raw.get("token_uri", TOKEN_URI), f"{place}: token_uri")
    names = ("client_id", "client_secret", "refresh_token")
    form = {"grant_type": "refresh_token"} | {name: _text(raw, name, place) for name in names}
    return _renewing(authorized_user(form, target, path, machine.now, place), machine)


def _impersonation(raw: Mapping[str, Any], place: str, machine: Machine) -> Source[Token]:
    inner = raw.get("source_credentials")
    if not isinstance(inner, dict):
        _lacks("source_credentials", place)
    base = _of(inner, f"{place}: source_credentials", machine)
    delegates = raw.get("delegates") or []
    if not isinstance(delegates, list) or not all(isinstance(name, str) for name in delegates):
        raise ConfigError(place, "its delegates must be a list of accounts; make the file again")
    return _impersonated(raw, base, delegates, place, machine)


def _impersonated(
    raw: Mapping[str, Any], base: Source[Token], delegates: list[str], place: str, machine: Machine
) -> Source[Token]:
    name = "service_account_impersonation_url"
    target, path = _service(_text(raw, name, place), f"{place}: {name}")
    options = raw.get("service_account_impersonation_options")
    seconds = options.get("token_lifetime_seconds") if isinstance(options, dict) else None
    wanted = {
        "delegates": delegates,
        "scope": [SCOPE],
        "lifetime": f"{seconds if isinstance(seconds, int) and seconds > 0 else LIFETIME_S}s",
    }
    return Renewing(impersonated(wanted, base, target, path), machine.now, base, of="Google")


def _workload(raw: Mapping[str, Any], place: str, machine: Machine) -> Source[Token]:
    if raw.get("client_id") or raw.get("workforce_pool_user_project"):
        raise ConfigError(
            place, "is of a workforce pool, for people; use workload identity federation instead"
        )
    target, path = _service(raw.get("token_url", EXCHANGE_URI), f"{place}: token_url")
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": _text(raw, "audience", place),
        "scope": IMPERSONATING if raw.get("service_account_impersonation_url") else SCOPE,
        "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "subject_token_type": _text(raw, "subject_token_type", place),
    }
    fetch = federated(form, _subject(raw.get("credential_source"), place), target, path, machine.now)
    base = _renewing(fetch, machine)
    if raw.get("service_account_impersonation_url"):
        return _impersonated(raw, base, [], place, machine)
    return base


def _subject(raw: object, place: str) -> Subject:
    """Where the other issuer's token is. Raises `ConfigError`."""
    if not isinstance(raw, dict):
        _lacks("credential_source", place)
    shape = raw.get("format")
    field: str | None = None
    if isinstance(shape, dict) and shape.get("type") == "json":
        field = _text(shape, "subject_token_field_name", f"{place}: credential_source: format")
    if isinstance(raw.get("file"), str) and raw["file"]:
        return subject_of_file(Path(raw["file"]), field)
    if isinstance(raw.get("url"), str) and raw["url"] and "environment_id" not in raw:
        name = f"{place}: credential_source: url"
        # Any host: such endpoints are in the machine's own network, as Azure's metadata are.
        target = parsed_target(raw["url"], name, None)
        given = raw.get("headers")
        headers = [
            (str(key).lower().encode("latin-1", "replace"), str(value).encode("latin-1", "replace"))
            for key, value in (given.items() if isinstance(given, dict) else ())
        ]
        if not all(part.isascii() and part.decode().isprintable() for pair in headers for part in pair):
            raise ConfigError(name, "its headers hold characters that no HTTP header can carry")
        parts = urlsplit(raw["url"])
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return subject_of_url(target, path, headers, field)
    raise ConfigError(
        place,
        "its credential_source is neither a file nor a url (tokens of AWS, programs and certificates are not read "
        "here); use one of these, or the key of a service account",
    )


_KINDS: dict[str, Callable[[Mapping[str, Any], str, Machine], Source[Token]]] = {
    "service_account": _service_account,
    "authorized_user": _user,
    "impersonated_service_account": _impersonation,
    "external_account": _workload,
}


def _renewing(fetch: Fetch, machine: Machine) -> Source[Token]:
    return Renewing(fetch, machine.now, of="Google")


def _text(raw: Mapping[str, Any], name: str, place: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not value:
        _lacks(name, place)
    return value


def _lacks(name: str, place: str) -> NoReturn:
    raise ConfigError(place, f"has no {name}; download or make the file again")


def _service(url: object, name: str) -> tuple[Target, str]:
    """Origin and path of a token service. Raises `ConfigError`."""
    text = url if isinstance(url, str) else ""
    return parsed_target(text, name, ()), urlsplit(text).path or "/"
