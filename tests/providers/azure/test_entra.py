"""Where Azure credentials come from: the usual places in the usual order, and no error shows what they hold."""

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from scripted_upstream import Received, Upstream, whole

from trimtab.config import Secret
from trimtab.errors import ConfigError, UpstreamRefused
from trimtab.providers import Call
from trimtab.providers.azure.credentials import EntraSettings, open_credentials
from trimtab.providers.machine import Machine
from trimtab.providers.platform import Credentials

NOW = 1_795_000_000.0
CALL = Call("POST", "/v1/messages", [], body=b"{}")
SECRET = "the~secret.of-the_application"
TENANT, CLIENT = "11111111-2222-3333-4444-555555555555", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
SCOPE = "https://ai.azure.com/.default"


class Place:
    """A machine that a test furnishes, whose authority and metadata are a server of the test's."""

    def __init__(self, home: Path, service: Upstream) -> None:
        self.home = home
        self.service = service
        self.now = NOW
        self.environment: dict[str, str] = {
            "AZURE_AUTHORITY_HOST": service.url,
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": service.url,
        }

    def open(self, **written: Any) -> Credentials:
        machine = Machine(self.environment, self.home, lambda: self.now)
        return open_credentials(EntraSettings(**written), lambda key: f"platforms.azure.{key}", machine)

    def lines(self, **written: Any) -> bytes:
        credentials = self.open(**written)

        async def made() -> bytes:
            try:
                return await credentials.lines(CALL)
            finally:
                await credentials.aclose()

        return asyncio.run(made())

    def refusal(self, **written: Any) -> str:
        with pytest.raises((ConfigError, UpstreamRefused)) as problem:
            self.lines(**written)
        assert SECRET not in str(problem.value)
        return str(problem.value)

    def application(self) -> None:
        self.environment |= {
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_CLIENT_SECRET": SECRET,
        }

    def federated(self, token: str = "jwt-of-kubernetes") -> Path:
        path = self.home / "federated"
        path.write_text(token)
        self.environment |= {
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_FEDERATED_TOKEN_FILE": str(path),
        }
        return path


def bearer(token: str) -> bytes:
    return f"authorization: Bearer {token}\r\n".encode()


def granting(token: str = "eyJ.the.token", **more: Any) -> Callable[[Received], Any]:
    answer = {"token_type": "Bearer", "expires_in": 3599, "access_token": token, **more}
    return lambda _: whole(json.dumps(answer).encode())


def form(request: Received) -> dict[str, str]:
    return {name: value for name, [value] in parse_qs(request.body.decode(), strict_parsing=True).items()}


def query(request: Received) -> dict[str, str]:
    return {name: value for name, [value] in parse_qs(urlsplit(request.target.decode()).query).items()}


@pytest.fixture
def place(tmp_path: Path, upstream: Upstream) -> Place:
    upstream.answer = granting()
    return Place(tmp_path, upstream)


def test_each_place_wins_over_those_behind_it(place: Place, upstream: Upstream) -> None:
    place.application()
    place.federated()
    place.environment |= {"ANTHROPIC_FOUNDRY_API_KEY": "key-env", "IDENTITY_ENDPOINT": f"{upstream.url}/msi"}
    place.environment["IDENTITY_HEADER"] = "header-1"

    assert place.lines(api_key=Secret("k-1", "env:K")) == b"x-api-key: k-1\r\napi-key: k-1\r\n"
    assert place.lines(access_token=Secret("t-1", "env:T")) == bearer("t-1")
    assert upstream.received == []
    own = {"tenant_id": "t", "client_id": "c", "client_secret": Secret("s", "env:S")}
    assert place.lines(**own) == bearer("eyJ.the.token")
    assert form(upstream.received[-1])["client_id"] == "c"
    assert place.lines() == b"x-api-key: key-env\r\napi-key: key-env\r\n"
    del place.environment["ANTHROPIC_FOUNDRY_API_KEY"]
    place.lines()
    assert form(upstream.received[-1])["client_secret"] == SECRET
    del place.environment["AZURE_CLIENT_SECRET"]
    place.lines()
    assert form(upstream.received[-1])["client_assertion"] == "jwt-of-kubernetes"
    del place.environment["AZURE_FEDERATED_TOKEN_FILE"]
    place.lines()
    assert upstream.received[-1].target.startswith(b"/msi?")
    del place.environment["IDENTITY_ENDPOINT"]
    place.lines()
    assert upstream.received[-1].target.startswith(b"/metadata/identity/oauth2/token?")
    assert len(upstream.received) == 5


def test_an_application_asks_its_tenant_with_its_secret(place: Place, upstream: Upstream) -> None:
    place.application()
    assert place.lines() == bearer("eyJ.the.token")
    [request] = upstream.received
    assert (request.method, request.target) == (b"POST", f"/{TENANT}/oauth2/v2.0/token".encode())
    assert request.values(b"content-type") == [b"application/x-www-form-urlencoded"]
    assert form(request) == {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "scope": SCOPE,
        "grant_type": "client_credentials",
    }


def test_a_federated_token_is_read_again_for_each_renewal(place: Place, upstream: Upstream) -> None:
    path = place.federated()
    credentials = place.open()

    async def work() -> None:
        await credentials.lines(CALL)
        path.write_text("jwt-2\n")
        place.now += 3600
        await credentials.lines(CALL)
        await credentials.aclose()

    asyncio.run(work())
    first, second = map(form, upstream.received)
    assert first == {
        "client_id": CLIENT,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "jwt-of-kubernetes",
        "scope": SCOPE,
        "grant_type": "client_credentials",
    }
    assert second["client_assertion"] == "jwt-2"


def test_app_service_is_asked_with_its_header(place: Place, upstream: Upstream) -> None:
    upstream.answer = granting(expires_in=None, expires_on=str(int(NOW) + 3600))
    place.environment |= {"IDENTITY_ENDPOINT": f"{upstream.url}/msi/token/", "IDENTITY_HEADER": "header-1"}
    assert place.lines(client_id=CLIENT) == bearer("eyJ.the.token")
    [request] = upstream.received
    assert (request.method, urlsplit(request.target.decode()).path) == (b"GET", "/msi/token/")
    assert query(request) == {
        "api-version": "2019-08-01",
        "resource": "https://ai.azure.com",
        "client_id": CLIENT,
    }
    assert request.values(b"x-identity-header") == [b"header-1"]


def test_a_virtual_machine_asks_its_metadata(place: Place, upstream: Upstream) -> None:
    upstream.answer = granting(expires_in="3599", expires_on=str(int(NOW) + 3599))
    assert place.lines(scope="https://cognitiveservices.azure.com/.default") == bearer("eyJ.the.token")
    [request] = upstream.received
    assert urlsplit(request.target.decode()).path == "/metadata/identity/oauth2/token"
    assert query(request) == {
        "api-version": "2018-02-01",
        "resource": "https://cognitiveservices.azure.com",
    }
    assert request.values(b"metadata") == [b"true"]


def test_a_token_is_kept_until_shortly_before_its_end(place: Place, upstream: Upstream) -> None:
    place.application()
    credentials = place.open()

    async def work() -> None:
        assert await credentials.lines(CALL) == bearer("eyJ.the.token")
        place.now += 2600
        assert await credentials.lines(CALL) == bearer("eyJ.the.token")
        assert len(upstream.received) == 1
        upstream.answer = granting("eyJ.the.next")
        place.now += 900
        task = None
        while task is None:
            assert await credentials.lines(CALL) == bearer("eyJ.the.token"), "nobody waits"
            task = credentials._source._task  # type: ignore[attr-defined]
        await asyncio.wait((task,))
        assert await credentials.lines(CALL) == bearer("eyJ.the.next")
        await credentials.aclose()

    asyncio.run(work())
    assert len(upstream.received) == 2


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            b"401 Unauthorized",
            b'{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret.\\r\\nTrace ID: 1"}',
            "it answered 401 (invalid_client: AADSTS7000215: Invalid client secret.); check tenant, application",
        ),
        (b"502 Bad Gateway", b"<html>", "it answered 502; check tenant"),
        (b"200 OK", b"<html>", "the answer is not a JSON object"),
        (b"200 OK", b'{"expires_in":5}', "the answer holds no access token"),
        (b"200 OK", b'{"access_token":"a\\nb"}', "the answer holds no access token that a header can carry"),
        (b"200 OK", b'{"access_token":"a","expires_in":"soon"}', "expires_in of the answer is not a number"),
        (b"200 OK", b'{"access_token":"a","expires_in":-5}', "expires_in of the answer is not a number"),
    ],
)
def test_a_refusal_says_who_refused_and_why(
    place: Place, upstream: Upstream, status: bytes, body: bytes, said: str
) -> None:
    place.application()
    upstream.answer = lambda _: whole(body, status=status)
    refusal = place.refusal()
    assert refusal.startswith(f"Azure credentials for application {CLIENT!r} from 127.0.0.1:")
    assert said in refusal


def test_where_nothing_is_found_it_is_said_what_to_set(place: Place) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        port = nobody.getsockname()[1]
        place.environment["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = f"http://127.0.0.1:{port}"
        said = place.refusal()
    assert "no Azure credentials were found: set api_key of this platform, ANTHROPIC_FOUNDRY_API_KEY" in said


def test_a_machine_without_an_identity_is_named(place: Place, upstream: Upstream) -> None:
    body = b'{"error":"invalid_request","error_description":"Identity not found"}'
    upstream.answer = lambda _: whole(body, status=b"400 Bad Request")
    assert "it answered 400 (invalid_request: Identity not found); check that this machine" in place.refusal()


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"AZURE_CLIENT_SECRET": SECRET}, "AZURE_TENANT_ID: is not set, and AZURE_CLIENT_SECRET is"),
        (
            {"AZURE_FEDERATED_TOKEN_FILE": "/x", "AZURE_TENANT_ID": TENANT},
            "AZURE_CLIENT_ID: is not set, and AZURE_FEDERATED_TOKEN_FILE is",
        ),
        (
            {"AZURE_CLIENT_SECRET": SECRET, "AZURE_TENANT_ID": "../x", "AZURE_CLIENT_ID": CLIENT},
            "AZURE_TENANT_ID: must be an id of Entra ID",
        ),
        ({"AZURE_CLIENT_CERTIFICATE_PATH": "/x.pem"}, "certificates are not read here"),
        ({"IDENTITY_ENDPOINT": "http://localhost:40342/x"}, "Azure Arc and Service Fabric"),
        ({"IDENTITY_ENDPOINT": "http://h/x", "IDENTITY_HEADER": "a\nb"}, "no HTTP header can carry"),
        ({"ANTHROPIC_FOUNDRY_API_KEY": "a\nb"}, "no HTTP header can carry"),
    ],
)
def test_what_the_environment_says_half_or_wrong_is_refused(
    place: Place, environment: dict[str, str], problem: str
) -> None:
    place.environment |= environment
    assert problem in place.refusal()


def test_a_secret_never_goes_to_an_authority_in_the_clear(place: Place) -> None:
    place.application()
    place.environment["AZURE_AUTHORITY_HOST"] = "http://login.example.com"
    assert "AZURE_AUTHORITY_HOST: 'login.example.com': must be https" in place.refusal()


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ({"client_secret": True}, "tenant_id: missing; client_secret is set, which needs it"),
        ({"client_secret": True, "tenant_id": TENANT}, "client_id: missing; client_secret is set"),
        ({"client_secret": True, "api_key": True}, "client_secret: api_key is set too; keep one of them"),
        (
            {"federated_token_file": "/x", "client_secret": True},
            "federated_token_file: client_secret is set too",
        ),
        ({"tenant_id": TENANT}, "tenant_id: belongs to an application"),
        ({"client_id": "a/b"}, "client_id: 'a/b': must be an id of Entra ID"),
        ({"scope": "a b"}, "scope: 'a b': must be one scope"),
    ],
)
def test_half_an_application_or_two_ways_are_refused(
    place: Place, written: dict[str, Any], problem: str
) -> None:
    given = {name: Secret(SECRET, "env:S") if value is True else value for name, value in written.items()}
    assert problem in place.refusal(**given)
