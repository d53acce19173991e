"""The Claude API over HTTP: address, authentication and API versions; the body goes through untouched.

Source: vendor API reference (2026-11); both header styles authenticate, `x-api-key` wins when both are sent.
"""

import ssl
from collections.abc import Callable
from typing import Literal

import msgspec

from trimtab.config import Secret, fail
from trimtab.providers.http import Deadlines, HttpClient, Target, proxy_from_environment, tls_context
from trimtab.providers.seam import Call, Reply

ApiVersion = Literal["2023-06-01", "2026-10-21"]


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

    async def send(self, call: Call) -> Reply:
        """Send one call. See `providers.seam.Provider.send`."""
        return await self._client.send(call, self._authentication)

    async def aclose(self) -> None:
        """Close pooled connections."""
        await self._client.aclose()


def open_anthropic(name: str, settings: AnthropicSettings, where: Callable[[str], str]) -> AnthropicProvider:
    """Build the provider; opens no connection yet. Raises `ConfigError` named by `where(key)`."""
    for key in ("connect_s", "header_s", "first_event_s", "idle_s", "max_connections"):
        if getattr(settings, key) <= 0:
            fail(where(key), getattr(settings, key), "must be greater than 0")
    if not settings.api_versions:
        fail(where("api_versions"), settings.api_versions, "must name at least one version")
    try:
        target = Target.parse(settings.base_url)
        proxy = proxy_from_environment(target)
    except ValueError as problem:
        fail(where("base_url"), settings.base_url, str(problem))
    try:
        tls = tls_context(settings.ca_file) if target.scheme == "https" else None
    except (OSError, ssl.SSLError) as problem:
        reason = problem.strerror or str(problem)
        fail(where("ca_file"), settings.ca_file, f"cannot be read as PEM certificates: {reason}")
    deadlines = Deadlines(settings.connect_s, settings.header_s, settings.first_event_s, settings.idle_s)
    client = HttpClient(target, deadlines, tls=tls, proxy=proxy, max_connections=settings.max_connections)
    return AnthropicProvider(name, settings, client)
