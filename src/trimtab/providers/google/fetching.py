"""Where Google's tokens come from: a service account's signature, a user's refresh token, a machine's metadata.

What it is not: which of them is used (`credentials`), or when (`renewing`). Invariant: each says in its
`UpstreamRefused` what failed and what to do, and never a token or a key.

Source: Google's page on OAuth 2.0 for server to server applications, and on metadata of Compute Engine (2026-11);
tests compare with google-auth.
"""

import datetime
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote, urlencode

import msgspec

from trimtab.config import read_file
from trimtab.errors import ConfigError, UpstreamRefused
from trimtab.providers.asking import FETCH_S, FORM, HTTP_OK, METADATA_S, ask, json_object, oauth_reason
from trimtab.providers.bearer import Token, granted
from trimtab.providers.google.assertions import SCOPE, assertion
from trimtab.providers.http import Target
from trimtab.providers.renewing import Source
from trimtab.providers.seam import Headers

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

METADATA = "/computeMetadata/v1/"

Fetch: TypeAlias = Callable[[], Awaitable[Token]]
"""Gets a new token. Raises `UpstreamRefused` with what to do."""


def service_account(
    key: "RSAPrivateKey", key_id: str, email: str, target: Target, path: str, now: Callable[[], float]
) -> Fetch:
    """Tokens of a service account, by its key."""

    async def fetch() -> Token:
        form = {
            "assertion": assertion(key, key_id, email, now()),
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
        what = f"Google credentials for {email!r} from {target.authority}"
        advice = "check that the key and the account still exist, and this machine's clock"
        return await _token(target, path, form, now, what, advice)

    return fetch


def authorized_user(
    form: Mapping[str, str], target: Target, path: str, now: Callable[[], float], place: str
) -> Fetch:
    """Tokens of a user, by the refresh token that gcloud got."""

    async def fetch() -> Token:
        what = f"Google credentials of {place} from {target.authority}"
        advice = "log in again: gcloud auth application-default login"
        return await _token(target, path, form, now, what, advice)

    return fetch


def federated(
    form: Mapping[str, str], subject: "Subject", target: Target, path: str, now: Callable[[], float]
) -> Fetch:
    """Tokens for the token of another issuer, by workload identity federation. Source: RFC 8693."""

    async def fetch() -> Token:
        what = f"Google credentials for a workload identity from {target.authority}"
        wanted = {**form, "subject_token": await subject(what)}
        return await _token(target, path, wanted, now, what, "check the pool, its provider and the token")

    return fetch


Subject: TypeAlias = Callable[[str], Awaitable[str]]
"""Gets the other issuer's token. Raises `UpstreamRefused`, its argument first."""


def subject_of_file(path: Path, field: str | None) -> Subject:
    """The token is the file, or a field of it. It is read each time: it changes."""

    async def subject(what: str) -> str:
        try:
            return _subject(read_file(path).decode(), field, what)
        except (ConfigError, UnicodeDecodeError) as problem:
            raise UpstreamRefused(f"{what}: the token of the workload: {problem}") from None

    return subject


def subject_of_url(target: Target, path: str, headers: Headers, field: str | None) -> Subject:
    """The token is what an address answers, or a field of it."""

    async def subject(what: str) -> str:
        what = f"{what}: the token of the workload from {target.authority}"
        status, text = await ask(target, "GET", path, headers, limit_s=FETCH_S, what=what)
        if status != HTTP_OK:
            raise UpstreamRefused(f"{what}: it answered {status}; check the url and headers of the file")
        return _subject(text, field, what)

    return subject


def _subject(text: str, field: str | None, what: str) -> str:
    found = text if field is None else json_object(text, what).get(field)
    if not isinstance(found, str) or not found:
        raise UpstreamRefused(f"{what}: no token of the workload is there; check the credential_source")
    return found


def impersonated(wanted: Mapping[str, object], base: Source[Token], target: Target, path: str) -> Fetch:
    """Tokens of a service account that the owner of other tokens may impersonate."""

    async def fetch() -> Token:
        what = f"Google credentials by impersonation from {target.authority}"
        token = base.ready() or await base.keys()
        headers: Headers = [(b"content-type", b"application/json"), (b"accept", b"application/json")]
        status, text = await ask(
            target,
            "POST",
            path,
            headers,
            msgspec.json.encode(wanted),
            limit_s=FETCH_S,
            what=what,
            authentication=b"authorization: Bearer %b\r\n" % token.value.encode("ascii"),
        )
        if status != HTTP_OK:
            raise UpstreamRefused(
                f"{what}: it answered {status}; check that the account may be impersonated (Service Account Token "
                "Creator)"
            )
        answer = json_object(text, what)
        try:
            end = datetime.datetime.fromisoformat(str(answer.get("expireTime")))
        except ValueError:
            raise UpstreamRefused(f"{what}: the expireTime of the answer is not a time") from None
        moment = end if end.tzinfo is not None else end.replace(tzinfo=datetime.UTC)
        return granted(
            {"access_token": answer.get("accessToken"), "expires_on": moment.timestamp()}, 0.0, what
        )

    return fetch


async def _token(
    target: Target, path: str, form: Mapping[str, str], now: Callable[[], float], what: str, advice: str
) -> Token:
    headers: Headers = [(b"content-type", FORM.encode()), (b"accept", b"application/json")]
    body = urlencode(form).encode("ascii")
    status, text = await ask(target, "POST", path, headers, body, limit_s=FETCH_S, what=what)
    if status != HTTP_OK:
        raise UpstreamRefused(f"{what}: it answered {status}{oauth_reason(text)}; {advice}")
    return granted(json_object(text, what), now(), what)


NO_CREDENTIALS = (
    "no Google credentials were found: set credentials_file of this platform or GOOGLE_APPLICATION_CREDENTIALS, run "
    "gcloud auth application-default login, or give this machine a service account"
)


def metadata_token(target: Target, now: Callable[[], float]) -> Fetch:
    """Tokens of the service account of this machine: Compute Engine, GKE, Cloud Run."""
    path = f"{METADATA}instance/service-accounts/default/token?scopes={quote(SCOPE, safe='')}"

    async def fetch() -> Token:
        what = f"Google credentials from metadata at {target.authority}"
        text = await _metadata(target, path, what)
        return granted(json_object(text, what), now(), what)

    return fetch


async def metadata_project(target: Target) -> str:
    """The project of this machine. Raises `UpstreamRefused`."""
    what = f"the project from metadata at {target.authority}"
    return (await _metadata(target, f"{METADATA}project/project-id", what)).strip()


async def _metadata(target: Target, path: str, what: str) -> str:
    headers: Headers = [(b"metadata-flavor", b"Google")]
    try:
        status, text = await ask(target, "GET", path, headers, limit_s=METADATA_S, what=what)
    except UpstreamRefused as problem:
        raise UpstreamRefused(f"{NO_CREDENTIALS} ({problem})") from None
    if status != HTTP_OK:
        raise UpstreamRefused(f"{what}: it answered {status}; check that this machine has a service account")
    return text
