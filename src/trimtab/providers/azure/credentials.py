"""Where Azure credentials are looked for, decided once when a platform is opened.

    configuration   api_key, access_token, or an application (tenant_id, client_id and client_secret or
                    federated_token_file) of this platform: nothing else is looked at then
    environment     ANTHROPIC_FOUNDRY_API_KEY; then AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or
                    AZURE_FEDERATED_TOKEN_FILE (workload identity of Kubernetes)
    machine         managed identity of App Service, Functions or Container Apps, else of the virtual machine

What it is not: an Azure library; certificates, Arc and what people log in with are refused with what to do instead.
Invariant: what the configuration says is never overruled by what happens to be in the environment.

Source: Microsoft's pages on DefaultAzureCredential and on environment variables of Azure Identity (2026-11).
"""

from collections.abc import Callable

from trimtab.config import Secret, fail
from trimtab.errors import ConfigError
from trimtab.providers.azure.fetching import (
    METADATA_HOST,
    Application,
    app_service,
    application,
    metadata,
)
from trimtab.providers.bearer import BearerTokens, Token
from trimtab.providers.key_pool import Keyed
from trimtab.providers.machine import Machine, parsed_target
from trimtab.providers.platform import Credentials
from trimtab.providers.renewing import Renewing, Steady
from trimtab.providers.seam import Call

KEY_VARIABLE = "ANTHROPIC_FOUNDRY_API_KEY"
"""As the vendor's SDK 2.11 has it."""

SCOPE = "https://ai.azure.com/.default"
"""Source: the vendor's SDK 2.11, its page on Foundry."""

AUTHORITY = "https://login.microsoftonline.com"

_ID = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.")


class EntraSettings(Keyed, frozen=True, kw_only=True):
    """How a platform of Azure's is authenticated to."""

    access_token: Secret | None = None
    """A token of Entra ID that something else renews."""
    tenant_id: str | None = None
    client_id: str | None = None
    """Of an application; alone: of the managed identity, where a machine has several."""
    client_secret: Secret | None = None
    federated_token_file: str | None = None
    scope: str = SCOPE
    """What tokens of Entra ID are asked for."""


class ApiKey:
    """See `providers.platform.Credentials`. The key goes in both headers, as the vendor's SDK 2.11 sends it."""

    def __init__(self, key: str) -> None:
        self._lines = b"x-api-key: %b\r\napi-key: %b\r\n" % (key.encode("ascii"), key.encode("ascii"))

    async def lines(self, call: Call) -> bytes:
        """See the seam."""
        return self._lines

    def refused(self) -> None:
        """See the seam."""

    async def aclose(self) -> None:
        """See the seam."""


def open_credentials(settings: EntraSettings, where: Callable[[str], str], machine: Machine) -> Credentials:
    """What authenticates calls; nothing is fetched yet. Raises `ConfigError`."""
    _check(settings, where)
    if settings.api_key is not None:
        return ApiKey(settings.api_key.reveal())
    if settings.access_token is not None:
        return BearerTokens(Steady(Token(settings.access_token.reveal())))
    if settings.client_secret is not None or settings.federated_token_file is not None:
        assert settings.tenant_id is not None
        assert settings.client_id is not None
        own = Application(
            settings.tenant_id,
            settings.client_id,
            settings.scope,
            settings.client_secret.reveal() if settings.client_secret is not None else None,
            settings.federated_token_file,
        )
        return _of_application(own, machine)
    environment = machine.environment
    if settings.client_id is None:
        if key := environment.get(KEY_VARIABLE, "").strip():
            if not key.isascii() or not key.isprintable():
                raise ConfigError(
                    f"environment: {KEY_VARIABLE}", "holds characters that no HTTP header can carry"
                )
            return ApiKey(key)
        if (found := _application_around(settings.scope, machine)) is not None:
            return _of_application(found, machine)
    client_id = settings.client_id or environment.get("AZURE_CLIENT_ID") or None
    return _managed(settings.scope, client_id, machine)


def _check(settings: EntraSettings, where: Callable[[str], str]) -> None:
    """Raises `ConfigError` where two ways to authenticate are written, or half of one."""
    ways = [
        name
        for name in ("api_key", "access_token", "client_secret", "federated_token_file")
        if getattr(settings, name) is not None
    ]
    if len(ways) > 1:
        raise ConfigError(where(ways[1]), f"{ways[0]} is set too; keep one of them")
    for name in ("tenant_id", "client_id"):
        value = getattr(settings, name)
        if value is not None and ways and ways[0] in ("api_key", "access_token"):
            raise ConfigError(where(name), f"{ways[0]} is set too; keep one of them")
        if value is None and ways and ways[0] in ("client_secret", "federated_token_file"):
            raise ConfigError(where(name), f"missing; {ways[0]} is set, which needs it")
        if value is not None and (not 0 < len(value) <= 255 or not _ID.issuperset(value)):
            fail(where(name), value, "must be an id of Entra ID, as '11111111-2222-3333-4444-555555555555'")
    if settings.tenant_id is not None and not ways:
        raise ConfigError(
            where("tenant_id"), "belongs to an application; set client_secret or federated_token_file too"
        )
    if not settings.scope.isascii() or not settings.scope.isprintable() or " " in settings.scope:
        fail(where("scope"), settings.scope, f"must be one scope, as '{SCOPE}'")


def _application_around(scope: str, machine: Machine) -> Application | None:
    """The application that the environment names. Raises `ConfigError` for half of one."""
    environment = machine.environment
    tenant, client = environment.get("AZURE_TENANT_ID"), environment.get("AZURE_CLIENT_ID")
    secret = environment.get("AZURE_CLIENT_SECRET") or None
    token_file = environment.get("AZURE_FEDERATED_TOKEN_FILE") or None
    if secret is None and token_file is None:
        if environment.get("AZURE_CLIENT_CERTIFICATE_PATH"):
            raise ConfigError(
                "environment: AZURE_CLIENT_CERTIFICATE_PATH",
                "certificates are not read here; set AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE instead",
            )
        return None
    given = "AZURE_CLIENT_SECRET" if secret else "AZURE_FEDERATED_TOKEN_FILE"
    for name, value in (("AZURE_TENANT_ID", tenant), ("AZURE_CLIENT_ID", client)):
        if not value:
            raise ConfigError(f"environment: {name}", f"is not set, and {given} is; set both")
        if not _ID.issuperset(value) or len(value) > 255:
            raise ConfigError(f"environment: {name}", "must be an id of Entra ID")
    assert tenant
    assert client
    return Application(tenant, client, scope, secret, None if secret else token_file)


def _of_application(own: Application, machine: Machine) -> Credentials:
    name = "AZURE_AUTHORITY_HOST"
    url = machine.environment.get(name) or AUTHORITY
    target = parsed_target(url if "://" in url else f"https://{url}", f"environment: {name}", ())
    return BearerTokens(Renewing(application(own, target, machine.now), machine.now, of="Azure"))


def _managed(scope: str, client_id: str | None, machine: Machine) -> Credentials:
    environment = machine.environment
    resource = scope.removesuffix("/.default")
    endpoint, header = environment.get("IDENTITY_ENDPOINT"), environment.get("IDENTITY_HEADER")
    if endpoint:
        place = "environment: IDENTITY_ENDPOINT"
        if not header or environment.get("IDENTITY_SERVER_THUMBPRINT"):
            raise ConfigError(
                place, "managed identities of Azure Arc and Service Fabric are not asked here; set api_key"
            )
        if not header.isascii() or not header.isprintable():
            raise ConfigError(
                "environment: IDENTITY_HEADER", "holds characters that no HTTP header can carry"
            )
        # Any host: the platform says where its endpoint is, an address in the machine's own network.
        target = parsed_target(endpoint, place, None)
        fetch = app_service(target, endpoint, header, resource, client_id, machine.now)
        return BearerTokens(Renewing(fetch, machine.now, of="Azure"))
    name = "AZURE_POD_IDENTITY_AUTHORITY_HOST"
    target = parsed_target(environment.get(name) or METADATA_HOST, f"environment: {name}", None)
    return BearerTokens(Renewing(metadata(target, resource, client_id, machine.now), machine.now, of="Azure"))
