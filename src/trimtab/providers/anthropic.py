"""The Claude API over HTTP: address, authentication and API versions; the body goes through untouched.

Source: vendor API reference (2026-11); both header styles authenticate, `x-api-key` wins when both are sent.
"""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal, NoReturn

import msgspec

from trimtab.catalogue import Model
from trimtab.config import Secret, fail
from trimtab.errors import ConfigError
from trimtab.providers.http import (
    Deadlines,
    HttpClient,
    Target,
    proxy_from_environment,
    shown_origin,
    tls_context,
)
from trimtab.providers.seam import Call, Reply

ApiVersion = Literal["2023-06-01", "2026-10-21"]

MAX_DEADLINE_S = 86_400
"""A day. The event loop's timers cannot take infinity."""

MAX_CONNECTIONS = 1_000_000
"""More than one process can have sockets."""


class AnthropicSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[platforms.NAME]` with `kind = "anthropic"`."""

    api_key: Secret
    base_url: str = "https://api.anthropic.com"
    auth: Literal["x-api-key", "bearer"] = "x-api-key"
    """How the key travels."""
    api_versions: tuple[ApiVersion, ...] = ("2023-06-01", "2026-10-21")
    """What this endpoint accepts; narrow it for an older server that speaks the same API."""
    ca_file: str | None = None
    """Trust this PEM file instead of the system's authorities."""
    connect_s: float = 10.0
    header_s: float = 600.0
    first_event_s: float = 120.0
    idle_s: float = 120.0
    max_connections: int = 4096


class AnthropicProvider:
    """See `providers.seam.Provider`."""

    platform = "anthropic"
    simulated = False

    def __init__(self, name: str, settings: AnthropicSettings, client: HttpClient) -> None:
        self.name = name
        self.api_versions: tuple[str, ...] = settings.api_versions
        self._client = client
        key = settings.api_key.reveal().encode("ascii")
        self._authentication = (
            b"x-api-key: %b\r\n" % key
            if settings.auth == "x-api-key"
            else b"authorization: Bearer %b\r\n" % key
        )

    def model_id(self, model: Model) -> str | None:
        """See `providers.seam.Provider.model_id`."""
        return model.platform_id(self.platform)

    def send(self, call: Call) -> Coroutine[Any, Any, Reply]:
        """Send one call. See `providers.seam.Provider.send`."""
        return self._client.send(call, self._authentication)

    async def aclose(self) -> None:
        """Close pooled connections."""
        await self._client.aclose()


def open_anthropic(name: str, settings: AnthropicSettings, where: Callable[[str], str]) -> AnthropicProvider:
    """Build the provider; opens no connection yet. Raises `ConfigError` named by `where(key)`."""
    for key in ("connect_s", "header_s", "first_event_s", "idle_s"):
        value = getattr(settings, key)
        if (
            not 0 < value <= MAX_DEADLINE_S
        ):  # so written that nan, for which every comparison is false, is refused
            fail(where(key), value, f"must be greater than 0 and at most {MAX_DEADLINE_S}")
    if not 1 <= settings.max_connections <= MAX_CONNECTIONS:
        fail(where("max_connections"), settings.max_connections, f"must be from 1 to {MAX_CONNECTIONS}")
    if not settings.api_versions:
        fail(where("api_versions"), settings.api_versions, "must name at least one version")
    try:
        target = Target.parse(settings.base_url)
        proxy = proxy_from_environment(target)
    except ValueError as problem:
        _refuse(where("base_url"), shown_origin(settings.base_url), str(problem))
    try:
        tls = tls_context(settings.ca_file) if target.scheme == "https" else None
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the path
        # `ssl.SSLError` is an OSError too.
        reason = getattr(problem, "strerror", None) or str(problem)
        shown = None if _like_a_key(settings.ca_file or "") else settings.ca_file
        _refuse(where("ca_file"), shown, f"cannot be read as PEM certificates: {reason}")
    deadlines = Deadlines(settings.connect_s, settings.header_s, settings.first_event_s, settings.idle_s)
    client = HttpClient(target, deadlines, tls=tls, proxy=proxy, max_connections=settings.max_connections)
    return AnthropicProvider(name, settings, client)


def _like_a_key(path: str) -> bool:
    """Whether a key was put where a path belongs; a relative path has been joined to a folder by now."""
    return any(part.startswith("sk-") for part in Path(path).parts)


def _refuse(where: str, shown: str | None, problem: str) -> NoReturn:
    """Raise a `ConfigError`, without the value where it may hold a secret."""
    if shown is None:
        raise ConfigError(where, problem)
    fail(where, shown, problem)
