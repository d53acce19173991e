"""Where Azure's tokens come from: Microsoft Entra ID for applications, and managed identities of machines.

What it is not: a check of who an application is; any secret passes, and any assertion that has not ended. Invariant: a
token is for a scope or a resource that was named.

Source: Microsoft identity platform, client credentials flow and AADSTS error codes; Azure pages on managed identities
of virtual machines and of App Service (2026-11).
"""

from typing import Any
from urllib.parse import parse_qsl

import msgspec

from trimtab.catalogue.model import Platform
from trimtab.providers.simulator.faces.face import Asked, FaceOptions
from trimtab.providers.simulator.faces.issuers.issuer import (
    Given,
    Said,
    claims_of,
    form_of,
    is_over,
    refuse,
)

_CODES = {401: "invalid_client", 403: "access_denied"}
_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Entra:
    """See `Issuer`: the client credentials flow, with a secret or another issuer's token."""

    platforms: tuple[Platform, ...] = ("foundry",)

    def __init__(self, options: FaceOptions) -> None:
        self._options = options

    def takes(self, asked: Asked) -> bool:
        """See the seam."""
        return asked.method == "POST" and asked.path.endswith("/oauth2/v2.0/token")

    def give(self, asked: Asked) -> Given:
        """See the seam."""
        form = form_of(asked)
        if form.get("grant_type") != "client_credentials":
            raise refuse(self, 400, "unsupported_grant_type", "AADSTS70003: The grant type is not supported.")
        client = form.get("client_id")
        if not client:
            raise refuse(
                self, 400, "invalid_request", "AADSTS900144: The request body must contain 'client_id'."
            )
        if not form.get("scope", "").endswith("/.default"):
            raise refuse(
                self, 400, "invalid_scope", "AADSTS1002012: The provided value for scope is not valid."
            )
        self._check_proof(form, asked.now_s)
        issued = self._options.issued
        answer = {
            "token_type": "Bearer",
            "expires_in": issued.life_s,
            "ext_expires_in": issued.life_s,
            "access_token": issued.token("azure", asked.now_s),
        }
        return Given(f"entra token {client}", msgspec.json.encode(answer))

    def said(self, status: int, code: str, message: str) -> Said:
        """See the seam."""
        code = code or _CODES.get(status, "invalid_request" if status < 500 else "temporarily_unavailable")
        return Said(msgspec.json.encode({"error": code, "error_description": message}))

    def _check_proof(self, form: dict[str, str], now_s: float) -> None:
        if form.get("client_secret"):
            return
        assertion = form.get("client_assertion")
        if not assertion or form.get("client_assertion_type") != _BEARER:
            raise refuse(
                self,
                401,
                "invalid_client",
                "AADSTS7000216: 'client_assertion', 'client_secret' or 'request' is required for the "
                "'client_credentials' grant type.",
            )
        claims = claims_of(assertion)
        if claims is not None and is_over(claims, now_s):
            raise refuse(
                self,
                401,
                "invalid_client",
                "AADSTS700024: Client assertion is not within its valid time range.",
            )


class ManagedIdentity:
    """See `Issuer`: a virtual machine's, and that of App Service, Functions or Container Apps at `/msi/token`."""

    platforms: tuple[Platform, ...] = ("foundry",)
    _MACHINE, _APP = "/metadata/identity/oauth2/token", "/msi/token"

    def __init__(self, options: FaceOptions) -> None:
        self._options = options

    def takes(self, asked: Asked) -> bool:
        """See the seam."""
        return asked.method == "GET" and asked.path in (self._MACHINE, self._APP)

    def give(self, asked: Asked) -> Given:
        """See the seam."""
        query = dict(parse_qsl(asked.query.decode("latin-1")))
        if asked.path == self._MACHINE:
            if asked.value(b"metadata") != "true":
                raise refuse(self, 400, "bad_request_102", "Required metadata header not specified")
        elif not asked.value(b"x-identity-header"):
            raise refuse(self, 401, "unauthorized", "the header x-identity-header is missing")
        for name in ("api-version", "resource"):
            if not query.get(name):
                raise refuse(self, 400, "invalid_request", f"Required query variable '{name}' is missing")
        issued = self._options.issued
        answer: dict[str, Any] = {
            "access_token": issued.token("azure", asked.now_s),
            "expires_on": str(int(asked.now_s) + issued.life_s),
            "resource": query["resource"],
            "token_type": "Bearer",
        }
        if asked.path == self._MACHINE:
            answer["expires_in"] = str(issued.life_s)
        return Given(f"azure identity {query.get('client_id', '')}", msgspec.json.encode(answer))

    def said(self, status: int, code: str, message: str) -> Said:
        """See the seam."""
        return Said(msgspec.json.encode({"error": code or "unknown", "error_description": message}))
