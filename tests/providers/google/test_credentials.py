"""Where Google credentials come from: held against Google's own library, which finds and asks for the same.

Both get the same files, environment and token service; what reaches the service is compared field by field, and
assertions are verified as the service would.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from google_service import Account
from scripted_upstream import Received, Upstream, whole

from trimtab.config import Secret
from trimtab.errors import ConfigError, UpstreamRefused
from trimtab.providers import Call
from trimtab.providers.bearer import BearerTokens
from trimtab.providers.google.credentials import Found, find_credentials, project_around
from trimtab.providers.machine import Machine

jwt = pytest.importorskip("google.auth.jwt", reason="google-auth is not installed: requirements/dev.txt")

CALL = Call("POST", "/v1/messages", [], body=b"{}")
SECRET = "1//the-refresh-token"
GOOGLES = """
import json, sys
import google.auth
from google.auth.transport.requests import Request

class Redirected(Request):
    "The library asks some services at their own addresses, whatever its files say."

    def __call__(self, url, *given, **more):
        for host in ("https://oauth2.googleapis.com", "https://iamcredentials.googleapis.com"):
            url = url.replace(host, sys.argv[1])
        return super().__call__(url, *given, **more)

credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
credentials.refresh(Redirected())
print(json.dumps([credentials.token, project]))
"""


class Place:
    """A machine that a test furnishes, and a server in the place of Google's services."""

    def __init__(self, home: Path, service: Upstream) -> None:
        self.home = home
        self.service = service
        self.environment: dict[str, str] = {"GCE_METADATA_HOST": service.url.removeprefix("http://")}
        self.now: Callable[[], float] = time.time

    def file(self, content: Any, name: str = "credentials.json") -> str:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    def named(self, content: Any) -> None:
        """A file that the environment names."""
        self.environment["GOOGLE_APPLICATION_CREDENTIALS"] = self.file(content)

    @property
    def machine(self) -> Machine:
        return Machine(self.environment, self.home, self.now)

    def find(self, **written: Any) -> Found:
        given = {"access_token": None, "credentials_file": None, **written}
        return find_credentials(**given, where=lambda key: f"platforms.vertex.{key}", machine=self.machine)

    def ours(self, **written: Any) -> tuple[str, str | None]:
        """The token of a call, and the project."""
        found = self.find(**written)
        credentials = BearerTokens(found.source)

        async def made() -> tuple[bytes, str | None]:
            try:
                lines = await credentials.lines(CALL)
                asked = await found.find_project() if found.find_project is not None else None
                return lines, project_around(self.machine) or found.project or asked
            finally:
                await credentials.aclose()

        lines, project = asyncio.run(made())
        return lines.decode().removeprefix("authorization: Bearer ").strip(), project

    def googles(self) -> tuple[str, str | None]:
        """The same by Google's own library, in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-c", GOOGLES, self.service.url],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "GCE_METADATA_IP": self.environment["GCE_METADATA_HOST"],
                **self.environment,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        token, project = json.loads(done.stdout)
        return token, project

    def both(self) -> tuple[list[Received], list[Received]]:
        """What reached the service from Google's library and from us, which found the same."""
        theirs = self.googles()
        asked = [request for request in self.service.received if request.target != b"/"]  # its ping
        self.service.received.clear()
        assert self.ours() == theirs
        return asked, list(self.service.received)

    def refusal(self, **written: Any) -> str:
        with pytest.raises((ConfigError, UpstreamRefused)) as problem:
            self.ours(**written)
        assert SECRET not in str(problem.value)
        return str(problem.value)


@pytest.fixture
def place(tmp_path: Path, upstream: Upstream) -> Place:
    upstream.answer = granting()
    return Place(tmp_path, upstream)


def granting(token: str = "ya29.the-token") -> Callable[[Received], Any]:
    answer = {"access_token": token, "expires_in": 3599, "token_type": "Bearer"}
    return lambda _: whole(json.dumps(answer).encode(), b"metadata-flavor: Google")


def form(request: Received) -> dict[str, str]:
    return {name: value for name, [value] in parse_qs(request.body.decode(), strict_parsing=True).items()}


def user(service: Upstream, **more: Any) -> dict[str, Any]:
    return {
        "type": "authorized_user",
        "client_id": "123.apps.googleusercontent.com",
        "client_secret": "client-secret",
        "refresh_token": SECRET,
        "token_uri": f"{service.url}/token",
        **more,
    }


def workload(service: Upstream, source: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k8s",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{service.url}/v1/token",
        "credential_source": source,
        **more,
    }


def same(theirs: Received, ours: Received) -> None:
    assert (ours.method, ours.target) == (theirs.method, theirs.target)
    for name in (b"content-type", b"authorization", b"metadata-flavor"):
        assert ours.values(name) == theirs.values(name), name


# Held against Google's library


def test_the_assertion_of_a_service_account_is_the_one_of_googles_library(
    place: Place, upstream: Upstream, account: Account
) -> None:
    place.named(account.file(f"{upstream.url}/token"))
    [theirs], [ours] = place.both()
    same(theirs, ours)
    expected, made = form(theirs), form(ours)
    assert made.keys() == expected.keys() == {"assertion", "grant_type"}
    assert made["grant_type"] == expected["grant_type"]
    audience = "https://oauth2.googleapis.com/token"
    claims = jwt.decode(made["assertion"], certs=account.public, audience=audience)
    other = jwt.decode(expected["assertion"], certs=account.public, audience=audience)
    assert jwt.decode_header(made["assertion"]) == jwt.decode_header(expected["assertion"])
    assert claims["exp"] - claims["iat"] == other["exp"] - other["iat"] == 3600
    assert abs(claims["iat"] - time.time()) < 60
    moments = ("iat", "exp")
    assert {name: claims[name] for name in claims if name not in moments} == {
        name: other[name] for name in other if name not in moments
    }
    assert (claims["iss"], place.find().project) == (account.email, "project-of-the-key")


def test_an_assertion_under_another_key_does_not_verify(
    place: Place, upstream: Upstream, account: Account
) -> None:
    place.named(account.file(f"{upstream.url}/token"))
    place.ours()
    [request] = upstream.received
    head, claims, signature = form(request)["assertion"].split(".")
    with pytest.raises(ValueError, match="verify"):
        jwt.decode(f"{head}.{claims}.{signature[:-8]}AAAAAAAA", certs=account.public)


def test_a_users_refresh_token_is_sent_as_googles_library_sends_it(place: Place, upstream: Upstream) -> None:
    place.named(user(upstream))
    place.environment["GOOGLE_CLOUD_PROJECT"] = "project-of-the-environment"
    [theirs], [ours] = place.both()
    same(theirs, ours)
    assert form(ours) == form(theirs)
    assert form(ours)["refresh_token"] == SECRET


def test_metadata_are_asked_as_googles_library_asks_them(place: Place, upstream: Upstream) -> None:
    grant = granting()

    def metadata(request: Received) -> Any:
        path = request.target.partition(b"?")[0]
        if path.endswith(b"/project-id"):
            return whole(b"project-of-the-machine", b"metadata-flavor: Google", b"content-type: text/plain")
        if b"recursive=true" in request.target:
            return whole(b'{"email":"a@b.gserviceaccount.com","scopes":[]}', b"metadata-flavor: Google")
        return grant(request)

    upstream.answer = metadata
    theirs, ours = place.both()
    assert place.ours()[1] == "project-of-the-machine"
    for wanted in (b"/token", b"/project-id"):
        [one] = [request for request in theirs if urlsplit(request.target).path.endswith(wanted)]
        [other] = [request for request in ours if urlsplit(request.target).path.endswith(wanted)]
        same(one, other)
    assert len(ours) == 2


@pytest.mark.parametrize("shape", [None, "json"])
def test_a_workloads_token_from_a_file_is_exchanged_as_by_googles_library(
    place: Place, upstream: Upstream, shape: str | None
) -> None:
    source: dict[str, Any] = {
        "file": place.file("jwt-of-kubernetes" if shape is None else '{"t":"jwt"}', "token")
    }
    if shape:
        source["format"] = {"type": "json", "subject_token_field_name": "t"}
    place.environment["GOOGLE_CLOUD_PROJECT"] = "project-of-the-environment"
    place.named(workload(upstream, source))
    [theirs], [ours] = place.both()
    same(theirs, ours)
    assert form(ours) == form(theirs)
    assert form(ours)["subject_token"] == ("jwt" if shape else "jwt-of-kubernetes")


def test_a_workloads_token_from_an_address_may_impersonate_an_account(
    place: Place, upstream: Upstream
) -> None:
    name = "gateway@my-project-123.iam.gserviceaccount.com"
    impersonate = f"/v1/projects/-/serviceAccounts/{name}:generateAccessToken"
    grant = granting("of-the-pool")

    def services(request: Received) -> Any:
        if request.target.startswith(b"/subject"):
            return whole(b'{"access_token":"jwt-of-azure"}')
        if request.target == impersonate.encode():
            return whole(b'{"accessToken":"of-the-account","expireTime":"2126-11-21T22:00:00Z"}')
        return grant(request)

    upstream.answer = services
    source = {
        "url": f"{upstream.url}/subject?api-version=2018-02-01",
        "headers": {"Metadata": "True"},
        "format": {"type": "json", "subject_token_field_name": "access_token"},
    }
    more = {"service_account_impersonation_url": f"{upstream.url}{impersonate}"}
    place.environment["GOOGLE_CLOUD_PROJECT"] = "project-of-the-environment"
    place.named(workload(upstream, source, **more))
    theirs, ours = place.both()
    assert [request.target for request in ours] == [request.target for request in theirs]
    for one, other in zip(theirs, ours, strict=True):
        same(one, other)
    assert ours[0].values(b"metadata") == theirs[0].values(b"metadata") == [b"True"]
    assert form(ours[1]) == form(theirs[1])
    expected, made = json.loads(theirs[2].body), json.loads(ours[2].body)
    # Meant: an empty list where the library says null.
    assert (expected.pop("delegates") or []) == made.pop("delegates") == []
    assert made == expected
    assert ours[2].values(b"authorization") == [b"Bearer of-the-pool"]


def test_an_account_that_gcloud_impersonates_is_asked_for_with_the_users_token(
    place: Place, upstream: Upstream
) -> None:
    path = "/v1/projects/-/serviceAccounts/a@b.iam.gserviceaccount.com:generateAccessToken"
    grant = granting("of-the-user")
    upstream.answer = lambda request: (
        whole(b'{"accessToken":"of-the-account","expireTime":"2126-11-21T22:00:00Z"}')
        if request.target == path.encode()
        else grant(request)
    )
    place.environment["GOOGLE_CLOUD_PROJECT"] = "project-of-the-environment"
    place.named(
        {
            "type": "impersonated_service_account",
            "service_account_impersonation_url": f"{upstream.url}{path}",
            "delegates": ["c@b.iam.gserviceaccount.com"],
            "source_credentials": user(upstream),
        }
    )
    theirs, ours = place.both()
    assert json.loads(ours[-1].body) == json.loads(theirs[-1].body)
    assert ours[-1].values(b"authorization") == theirs[-1].values(b"authorization") == [b"Bearer of-the-user"]
    assert [request.target for request in ours] == [b"/token", path.encode()]


def test_the_file_of_gcloud_is_found_and_the_project_of_its_active_configuration(
    place: Place, upstream: Upstream
) -> None:
    place.file(user(upstream), ".config/gcloud/application_default_credentials.json")
    place.file("work", ".config/gcloud/active_config")
    place.file("[core]\nproject = project-of-gcloud\n", ".config/gcloud/configurations/config_work")
    assert place.ours() == ("ya29.the-token", "project-of-gcloud")
    place.environment["CLOUDSDK_CONFIG"] = str(place.home / "nowhere")
    assert place.find().find_project is not None, "metadata come next"


# The order


def test_each_place_wins_over_those_behind_it(place: Place, upstream: Upstream, account: Account) -> None:
    place.file(user(upstream), ".config/gcloud/application_default_credentials.json")
    place.named(account.file(f"{upstream.url}/of-the-environment"))
    own = place.file(account.file(f"{upstream.url}/of-the-entry"), "own.json")

    assert place.ours(access_token=Secret("ya29.fixed", "env:T"))[0] == "ya29.fixed"
    assert upstream.received == []
    place.ours(credentials_file=own)
    assert upstream.received[-1].target == b"/of-the-entry"
    place.ours()
    assert upstream.received[-1].target == b"/of-the-environment"
    del place.environment["GOOGLE_APPLICATION_CREDENTIALS"]
    place.ours()
    assert upstream.received[-1].target == b"/token"


# Renewals


def test_a_token_is_renewed_behind_the_calls_and_the_old_one_serves_while_that_fails(
    place: Place, upstream: Upstream
) -> None:
    moment = [1000.0]
    place.now = lambda: moment[0]
    place.named(user(upstream))
    source = place.find().source
    credentials = BearerTokens(source)

    async def renewed() -> None:
        task = None
        while task is None:
            await credentials.lines(CALL)
            task = source._task  # type: ignore[attr-defined]
        await asyncio.wait((task,))

    async def work() -> None:
        assert b"ya29.the-token" in await credentials.lines(CALL)
        upstream.answer = lambda _: whole(b"{}", status=b"503 Away")
        moment[0] += 2700
        await renewed()
        assert b"ya29.the-token" in await credentials.lines(CALL)
        upstream.answer = granting("ya29.the-next")
        moment[0] += 30
        await renewed()
        assert b"ya29.the-next" in await credentials.lines(CALL)
        upstream.answer = lambda _: whole(b"{}", status=b"503 Away")
        moment[0] += 3600
        with pytest.raises(UpstreamRefused, match="it answered 503; log in again"):
            await credentials.lines(CALL)
        await credentials.aclose()

    asyncio.run(work())


# Refusals


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("not json", "is not a JSON object; it must be a file of Google credentials"),
        ("[1]", "is not a JSON object"),
        (
            {"type": "gdch_service_account"},
            "its type is 'gdch_service_account'; it must be one of service_account",
        ),
        ({}, "its type is none that is known"),
        (
            {"type": "authorized_user", "client_id": "x"},
            "has no client_secret; download or make the file again",
        ),
        (
            {"type": "service_account", "universe_domain": "u.example"},
            "its universe_domain is not googleapis.com",
        ),
        ({"type": "service_account", "private_key": SECRET}, "its private_key is no RSA key in PEM"),
        ({"type": "service_account", "token_uri": "http://t.example/x"}, "'t.example': must be https"),
        ({"type": "impersonated_service_account"}, "has no source_credentials"),
        (
            {"type": "external_account", "audience": "a", "subject_token_type": "t"},
            "has no credential_source",
        ),
        (
            {
                "type": "external_account",
                "audience": "a",
                "subject_token_type": "t",
                "credential_source": {"environment_id": "aws1", "url": "http://169.254.169.254/"},
            },
            "is neither a file nor a url (tokens of AWS, programs and certificates",
        ),
        ({"type": "external_account", "client_id": "c"}, "is of a workforce pool, for people"),
    ],
)
def test_a_file_that_is_not_read_says_what_to_use(place: Place, content: Any, problem: str) -> None:
    place.named(content)
    said = place.refusal()
    assert said.startswith("environment: GOOGLE_APPLICATION_CREDENTIALS: ")
    assert problem in said


def test_a_file_that_is_not_there_is_named(place: Place) -> None:
    assert "platforms.vertex.credentials_file: /nowhere/x: cannot read the file" in place.refusal(
        credentials_file="/nowhere/x"
    )


def test_a_refusal_of_the_token_service_says_why_and_what_to_do(place: Place, upstream: Upstream) -> None:
    place.named(user(upstream))
    body = b'{"error":"invalid_grant","error_description":"Token has been expired or revoked."}'
    upstream.answer = lambda _: whole(body, status=b"400 Bad Request")
    assert (
        "it answered 400 (invalid_grant: Token has been expired or revoked.); log in again: gcloud auth"
        in place.refusal()
    )


def test_where_nothing_is_found_it_is_said_what_to_set(place: Place) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        place.environment["GCE_METADATA_HOST"] = f"127.0.0.1:{nobody.getsockname()[1]}"
        said = place.refusal()
    assert said.startswith(
        "no Google credentials were found: set credentials_file of this platform or GOOGLE_"
    )
    place.environment["NO_GCE_CHECK"] = "true"
    assert "(NO_GCE_CHECK keeps metadata out)" in place.refusal()


def test_without_the_extra_a_key_of_a_service_account_is_refused_with_its_name(
    place: Place, upstream: Upstream, account: Account
) -> None:
    place.named(account.file(f"{upstream.url}/token"))
    program = """
import sys, pathlib
sys.modules["cryptography"] = None
from trimtab.errors import ConfigError
from trimtab.providers.google.files import opened
from trimtab.providers.machine import Machine
try:
    opened(pathlib.Path(sys.argv[1]), "here", Machine.here())
except ConfigError as problem:
    print(problem)
"""
    path = place.environment["GOOGLE_APPLICATION_CREDENTIALS"]
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True, timeout=60
    )
    assert "pip install 'trimtab[google]'" in done.stdout
    assert "PRIVATE KEY" not in done.stdout
