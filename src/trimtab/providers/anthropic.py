"""The Claude API over HTTP: address, authentication and API versions; the body goes through untouched.

Source: vendor API reference (2026-11); both header styles authenticate, `x-api-key` wins when both are sent.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Literal

from trimtab.catalogue import Model
from trimtab.config import Secret, fail
from trimtab.errors import ConfigError
from trimtab.providers.connecting import open_client, parse_target
from trimtab.providers.http import HttpClient
from trimtab.providers.key_pool import Keyed
from trimtab.providers.seam import Call, Reply

ApiVersion = Literal["2023-06-01", "2026-10-21"]


class AnthropicSettings(Keyed, frozen=True, kw_only=True):
    """`[platforms.NAME]` with `kind = "anthropic"`."""

    base_url: str = "https://api.anthropic.com"
    auth: Literal["x-api-key", "bearer"] = "x-api-key"
    """How the key travels."""
    api_versions: tuple[ApiVersion, ...] = ("2023-06-01", "2026-10-21")
    """What this endpoint accepts; narrow it for an older server that speaks the same API."""


class AnthropicProvider:
    """See `providers.seam.Provider`."""

    platform = "anthropic"
    simulated = False
    regional = False

    def __init__(self, name: str, settings: AnthropicSettings, key: Secret, client: HttpClient) -> None:
        self.name = name
        self.api_versions: tuple[str, ...] = settings.api_versions
        self.discount = settings.discount
        self._client = client
        value = key.reveal().encode("ascii")
        self._authentication = (
            b"x-api-key: %b\r\n" % value
            if settings.auth == "x-api-key"
            else b"authorization: Bearer %b\r\n" % value
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
    if settings.api_key is None:
        raise ConfigError(where("api_key"), "missing; it is required here")
    if not settings.api_versions:
        fail(where("api_versions"), settings.api_versions, "must name at least one version")
    client = open_client(parse_target(settings.base_url, where), settings, where)
    return AnthropicProvider(name, settings, settings.api_key, client)
