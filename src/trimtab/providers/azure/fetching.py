"""Where tokens of Entra ID come from: an application's secret or token, or a managed identity of the machine.

What it is not: which of them is used (`credentials`), or when (`renewing`). Invariant: each says in its
`UpstreamRefused` what failed and what to do, and never a token or a secret.

Source: Microsoft's pages on the client credentials flow, and on managed identities of virtual machines and App Service
(2026-11).
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from trimtab.config import read_file
from trimtab.errors import ConfigError, UpstreamRefused
from trimtab.providers.asking import FETCH_S, FORM, HTTP_OK, METADATA_S, ask, json_object, oauth_reason
from trimtab.providers.bearer import Token, granted
from trimtab.providers.http import Target
from trimtab.providers.seam import Headers

METADATA_HOST = "http://169.254.169.254"

Fetch: TypeAlias = Callable[[], Awaitable[Token]]
"""Gets a new token. Raises `UpstreamRefused` with what to do."""


class Application(msgspec.Struct, frozen=True):
    """Who asks Entra ID, and for what; one of secret and token file is there."""

    tenant_id: str
    client_id: str
    scope: str
    secret: str | None
    token_file: str | None
    """A token of another issuer's, such as Kubernetes. It is read each time: it changes."""

    def __repr__(self) -> str:
        return f"Application({self.client_id!r}, ***)"


def application(own: Application, target: Target, now: Callable[[], float]) -> Fetch:
    """Tokens of an application."""

    async def fetch() -> Token:
        what = f"Azure credentials for application {own.client_id!r} from {target.authority}"
        form = {"client_id": own.client_id, "scope": own.scope, "grant_type": "client_credentials"}
        if own.secret is not None:
            form["client_secret"] = own.secret
        else:
            form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            form["client_assertion"] = _federated(own.token_file or "", what)
        headers: Headers = [(b"content-type", FORM.encode()), (b"accept", b"application/json")]
        status, text = await ask(
            target,
            "POST",
            f"/{quote(own.tenant_id, safe='')}/oauth2/v2.0/token",
            headers,
            urlencode(form).encode("ascii"),
            limit_s=FETCH_S,
            what=what,
        )
        if status != HTTP_OK:
            raise UpstreamRefused(
                f"{what}: it answered {status}{oauth_reason(text)}; check tenant, application and its secret or "
                "federation"
            )
        return granted(json_object(text, what), now(), what)

    return fetch


def _federated(path: str, what: str) -> str:
    try:
        return read_file(Path(path)).decode().strip()
    except (ConfigError, UnicodeDecodeError) as problem:
        raise UpstreamRefused(f"{what}: the federated token: {problem}") from None


def app_service(
    target: Target, endpoint: str, header: str, resource: str, client_id: str | None, now: Callable[[], float]
) -> Fetch:
    """Tokens of the managed identity of App Service, Functions or Container Apps."""
    path = urlsplit(endpoint).path or "/"
    query = _query({"api-version": "2019-08-01", "resource": resource}, client_id)
    headers: Headers = [(b"x-identity-header", header.encode("ascii"))]
    return _managed(target, f"{path}?{query}", headers, now, "")


def metadata(target: Target, resource: str, client_id: str | None, now: Callable[[], float]) -> Fetch:
    """Tokens of the managed identity of a virtual machine."""
    query = _query({"api-version": "2018-02-01", "resource": resource}, client_id)
    advice = (
        "no Azure credentials were found: set api_key of this platform, ANTHROPIC_FOUNDRY_API_KEY, an application by "
        "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or give this machine a managed identity"
    )
    return _managed(target, f"/metadata/identity/oauth2/token?{query}", [(b"metadata", b"true")], now, advice)


def _query(values: Mapping[str, str], client_id: str | None) -> str:
    return urlencode({**values, **({"client_id": client_id} if client_id else {})})


def _managed(target: Target, path: str, headers: Headers, now: Callable[[], float], advice: str) -> Fetch:
    async def fetch() -> Token:
        what = f"Azure credentials from the managed identity at {target.authority}"
        try:
            status, text = await ask(target, "GET", path, headers, limit_s=METADATA_S, what=what)
        except UpstreamRefused as problem:
            raise UpstreamRefused(f"{advice} ({problem})" if advice else str(problem)) from None
        if status != HTTP_OK:
            raise UpstreamRefused(
                f"{what}: it answered {status}{oauth_reason(text)}; check that this machine has an identity"
            )
        return granted(json_object(text, what), now(), what)

    return fetch
