"""Where Google's tokens come from: the token service, for assertions and refresh tokens, and a machine's metadata.

What it is not: a check of who an account is, but by the key that the operator gave. Invariant: an assertion that Google
would refuse for its form, its time or its signature is refused here.

Source: Google's pages on OAuth 2.0 for server to server applications and on metadata of Compute Engine; RFC 6749, 7523
and 8693 (2026-11).
"""

from typing import Any

import msgspec

from trimtab.catalogue.model import Platform
from trimtab.providers.simulator.faces.face import Asked, FaceOptions
from trimtab.providers.simulator.faces.issuers.issuer import (
    TEXT,
    Given,
    Said,
    bytes_of,
    form_of,
    part_of,
    refuse,
)
from trimtab.providers.simulator.faces.issuers.rsa import verifies

PROJECT = "simulated-project"
_JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a kind
_NEEDED = {
    _JWT: ("assertion",),
    "refresh_token": ("client_id", "client_secret", "refresh_token"),
    _EXCHANGE: ("audience", "subject_token", "subject_token_type"),
}
"""Grant types, and their fields."""
_AUDIENCE = "https://oauth2.googleapis.com/token"
_LONGEST_S = 3600
_SKEW_S = 300
_CODES = {401: "invalid_client", 403: "access_denied"}
_NOT_NOW = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp "
    "values in the JWT claim."
)


class GoogleTokens:
    """See `Issuer`: `/token` for accounts and users, `/v1/token` for tokens of other issuers."""

    platforms: tuple[Platform, ...] = ("vertex",)

    def __init__(self, options: FaceOptions) -> None:
        self._options = options

    def takes(self, asked: Asked) -> bool:
        """See the seam."""
        return asked.method == "POST" and asked.path in ("/token", "/v1/token")

    def give(self, asked: Asked) -> Given:
        """See the seam."""
        form = form_of(asked)
        grant = form.get("grant_type", "")
        if grant not in _NEEDED or (grant == _EXCHANGE) is not (asked.path == "/v1/token"):
            raise refuse(self, 400, "unsupported_grant_type", f"Invalid grant_type: {grant:.60}")
        for name in _NEEDED[grant]:
            if not form.get(name):
                raise refuse(self, 400, "invalid_request", f"Missing required parameter: {name}")
        whose = form.get("client_id") or form.get("audience") or ""
        if grant == _JWT:
            whose = self._account(form["assertion"], asked.now_s)
        issued = self._options.issued
        answer: dict[str, Any] = {
            "access_token": issued.token("google", asked.now_s),
            "expires_in": issued.life_s,
            "token_type": "Bearer",
        }
        if grant == _EXCHANGE:
            answer["issued_token_type"] = _ACCESS_TOKEN
        return Given(f"google token {whose}", msgspec.json.encode(answer))

    def said(self, status: int, code: str, message: str) -> Said:
        """See the seam."""
        code = code or _CODES.get(status, "invalid_grant" if status < 500 else "internal_failure")
        return Said(msgspec.json.encode({"error": code, "error_description": message}))

    def _account(self, assertion: str, now_s: float) -> str:
        """Who asserts. Raises `PlatformRefusal`."""
        signed, _, signature = assertion.rpartition(".")
        header, claims = (part_of(part) for part in (f"{signed}.".split(".")[:2]))
        if header is None or claims is None or signed.count(".") != 1 or header.get("alg") != "RS256":
            raise refuse(self, 400, "invalid_grant", "Invalid JWT: it must have three parts and RS256")
        account, begins, ends = claims.get("iss"), claims.get("iat"), claims.get("exp")
        if not isinstance(account, str) or not claims.get("scope"):
            raise refuse(self, 400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        if claims.get("aud") != _AUDIENCE:
            raise refuse(self, 400, "invalid_grant", "Invalid JWT: Failed audience check.")
        if not isinstance(begins, int) or not isinstance(ends, int):
            raise refuse(self, 400, "invalid_grant", _NOT_NOW)
        if not now_s < ends <= begins + _LONGEST_S or begins > now_s + _SKEW_S:
            raise refuse(self, 400, "invalid_grant", _NOT_NOW)
        key = self._options.google_key
        if key is not None:
            try:
                good = verifies(key, signed.encode("ascii"), bytes_of(signature))
            except ValueError:
                good = False
            if not good:
                raise refuse(self, 400, "invalid_grant", "Invalid JWT Signature.")
        return account


class GoogleMetadata:
    """See `Issuer`: the token of a machine's account, and its project."""

    platforms: tuple[Platform, ...] = ("vertex",)
    _AT = "/computeMetadata/v1/"

    def __init__(self, options: FaceOptions) -> None:
        self._options = options

    def takes(self, asked: Asked) -> bool:
        """See the seam."""
        return asked.path.startswith(self._AT)

    def give(self, asked: Asked) -> Given:
        """See the seam."""
        if asked.value(b"metadata-flavor") != "Google":
            raise refuse(self, 403, "", "Missing required header: Metadata-Flavor")
        flavor = [(b"metadata-flavor", b"Google")]
        what = asked.path.removeprefix(self._AT)
        if what == "project/project-id":
            return Given("google metadata project", PROJECT.encode(), TEXT, flavor)
        if what != "instance/service-accounts/default/token" or asked.method != "GET":
            raise refuse(self, 404, "", "Not Found")
        issued = self._options.issued
        answer = {
            "access_token": issued.token("google", asked.now_s),
            "expires_in": issued.life_s,
            "token_type": "Bearer",
        }
        return Given("google metadata token", msgspec.json.encode(answer), headers=flavor)

    def said(self, status: int, code: str, message: str) -> Said:
        """See the seam."""
        return Said(message.encode(), TEXT)
