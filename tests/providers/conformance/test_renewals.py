"""Credentials that end: every way to get them, from the simulated servers that give them out to the platform that knows.

What it is not: a test of each place and its errors (`test_credentials`, `test_entra`). Two clocks are moved here, the
gateway's and the servers'; nothing waits.
"""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aws_platform import ACCESS, SECRET
from google_service import Account
from simulated_platforms import (
    KINDS,
    House,
    asked,
    call_to,
    loop_of,
    said_to,
    simulated,
)

from trimtab.catalogue import Catalogue
from trimtab.errors import UpstreamRefused
from trimtab.providers import Provider
from trimtab.providers.machine import Machine
from trimtab.providers.simulator.faces.issuers.rsa import read_public_key
from trimtab.providers.simulator.issued import Issued

LIFE_S = 60
"""Less than the five minutes that AWS lets clocks differ."""
ROLE = "arn:aws:iam::123456789012:role/gateway"
ENTRA = {"tenant_id": "t-1", "client_id": "c-1"}


class Clocks:
    """What the gateway and the servers take for the time."""

    def __init__(self) -> None:
        self.gateway = self.servers = 1_795_000_000.0

    def both(self, seconds: float) -> None:
        self.gateway += seconds
        self.servers += seconds


class Place(NamedTuple):
    """A machine to furnish, and what is on the network."""

    home: Path
    url: str
    account: Account

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def file(self, name: str, content: Any) -> str:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)


def jwt(expires: float) -> str:
    """A token of some other issuer's."""
    parts = ({"alg": "RS256"}, {"exp": expires, "sub": "system:serviceaccount:a:b"})
    said = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*said, "c2ln"])


class Way(NamedTuple):
    """A way to credentials: what a machine needs for it, and the platform that takes them."""

    platform: str
    about: str
    """What a script calls it."""
    furnish: Callable[[Place], dict[str, str]]
    """Gives the environment."""
    settings: Callable[[Place], dict[str, Any]] = lambda _: {}


OPEN = {kind.platform: kind.open for kind in KINDS}
NO_KEYS = {"access_key_id": None, "secret_access_key": None, "session_token": None}


def web_identity(place: Place) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL_STS": place.url,
        "AWS_ROLE_ARN": ROLE,
        "AWS_WEB_IDENTITY_TOKEN_FILE": place.file("token", jwt(2e9)),
    }


def assumed_role(place: Place) -> dict[str, str]:
    place.file(".aws/credentials", f"[base]\naws_access_key_id={ACCESS}\naws_secret_access_key={SECRET}\n")
    place.file(".aws/config", f"[default]\nrole_arn={ROLE}\nsource_profile=base\n")
    return {"AWS_ENDPOINT_URL_STS": place.url}


def service_account(place: Place) -> dict[str, str]:
    path = place.file("key.json", place.account.file(f"{place.url}/token"))
    return {"GOOGLE_APPLICATION_CREDENTIALS": path}


def user(place: Place) -> dict[str, str]:
    content = {
        "type": "authorized_user",
        "client_id": "id",
        "client_secret": "s",
        "refresh_token": "1//r",
        "token_uri": f"{place.url}/token",
    }
    return {"GOOGLE_APPLICATION_CREDENTIALS": place.file("user.json", content)}


def federation(place: Place) -> dict[str, str]:
    content = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{place.url}/v1/token",
        "credential_source": {"file": place.file("subject", jwt(2e9))},
    }
    return {"GOOGLE_APPLICATION_CREDENTIALS": place.file("pool.json", content)}


WAYS = {
    "aws-web-identity": Way("bedrock", "aws sts AssumeRoleWithWebIdentity", web_identity, lambda _: NO_KEYS),
    "aws-assumed-role": Way("bedrock", "aws sts AssumeRole", assumed_role, lambda _: NO_KEYS),
    "aws-container": Way(
        "bedrock",
        "aws container /v2/credentials/1",
        lambda place: {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{place.url}/v2/credentials/1"},
        lambda _: NO_KEYS,
    ),
    "aws-pod": Way(
        "bedrock",
        "aws container /v1/credentials",
        lambda place: {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{place.url}/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "pod",
        },
        lambda _: NO_KEYS,
    ),
    "aws-instance": Way(
        "bedrock",
        "aws instance keys",
        lambda place: {"AWS_EC2_METADATA_SERVICE_ENDPOINT": place.url},
        lambda _: NO_KEYS,
    ),
    "google-service-account": Way(
        "vertex", "google token", service_account, lambda _: {"access_token": None}
    ),
    "google-user": Way("vertex", "google token", user, lambda _: {"access_token": None}),
    "google-federation": Way("vertex", "google token", federation, lambda _: {"access_token": None}),
    "google-metadata": Way(
        "vertex",
        "google metadata token",
        lambda place: {"GCE_METADATA_HOST": place.host},
        lambda _: {"access_token": None},
    ),
    "entra-secret": Way(
        "foundry",
        "entra token c-1",
        lambda place: {
            "AZURE_AUTHORITY_HOST": place.url,
            "AZURE_TENANT_ID": "t-1",
            "AZURE_CLIENT_ID": "c-1",
            "AZURE_CLIENT_SECRET": "s",
        },
        lambda _: {"api_key": None},
    ),
    "entra-federated": Way(
        "foundry",
        "entra token c-1",
        lambda place: {"AZURE_AUTHORITY_HOST": place.url},
        lambda place: {
            "api_key": None,
            **ENTRA,
            "federated_token_file": place.file("federated", jwt(2e9)),
        },
    ),
    "azure-machine": Way(
        "foundry",
        "azure identity",
        lambda place: {"AZURE_POD_IDENTITY_AUTHORITY_HOST": place.url},
        lambda _: {"api_key": None},
    ),
    "azure-app": Way(
        "foundry",
        "azure identity",
        lambda place: {"IDENTITY_ENDPOINT": f"{place.url}/msi/token", "IDENTITY_HEADER": "h"},
        lambda _: {"api_key": None},
    ),
}


class Scene:
    """A provider with credentials that end, and the servers."""

    def __init__(
        self, house: House, clocks: Clocks, provider: Provider, catalogue: Catalogue, run: Any
    ) -> None:
        self.house = house
        self.clocks = clocks
        self._provider = provider
        self._catalogue = catalogue
        self._run = run

    def ask(self) -> Any:
        return self._run(
            said_to(self._provider, call_to(self._provider, self._catalogue, asked("What is 17 * 23?")))
        )

    @property
    def shown(self) -> bytes:
        """What the last call to the platform was authenticated with."""
        headers = dict(self.house.seen[-1].headers)
        return headers.get(b"x-amz-security-token") or headers[b"authorization"]


@pytest.fixture(scope="session")
def account() -> Account:
    return Account.new()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


@pytest.fixture
def scene(way: Way, tmp_path: Path, account: Account, catalogue: Catalogue) -> Iterator[Callable[..., Scene]]:
    """`scene(script)` furnishes a machine for this way and opens its platform; ABOUT in the script is the way."""
    with ExitStack() as stack:

        def opened(script: str | None = None) -> Scene:
            clocks = Clocks()
            options = {"issued": Issued(0, LIFE_S), "google_key": read_public_key(account.public)}
            house = stack.enter_context(
                simulated(
                    script and script.replace("ABOUT", way.about),
                    catalogue=catalogue,
                    options=options,
                    clock=lambda: clocks.servers,
                )
            )
            place = Place(tmp_path, house.url, account)
            machine = Machine(way.furnish(place), tmp_path, lambda: clocks.gateway)
            provider = OPEN[way.platform](house.url, catalogue, machine=machine, **way.settings(place))
            return Scene(house, clocks, provider, catalogue, stack.enter_context(loop_of(provider)))

        yield opened


REFUSED_ONCE = """
version: 1
rules:
- {match: {endpoint: credentials, contains: ABOUT, first: 1}, reply: {error: {status: 403, message: Not today.}}}
"""
REFUSED_LATER = """
version: 1
rules:
- {match: {endpoint: credentials, contains: ABOUT, first: 1}, reply: {}}
- {match: {endpoint: credentials, contains: ABOUT}, reply: {error: {status: 503, message: Not now.}}}
"""


def test_credentials_are_fetched_used_and_fetched_anew_when_they_have_ended(
    scene: Callable[..., Scene], way: Way
) -> None:
    at = scene()
    first = at.ask()
    assert (first.status, first.problem) == (200, None), first
    assert "391" in first.json["content"][-1]["text"]
    shown = at.shown
    assert b"sim-" in shown
    assert at.ask().status == 200
    assert at.shown == shown, "they are kept while they are good"
    at.clocks.both(LIFE_S + 1)
    assert at.ask().status == 200
    assert at.shown != shown


def test_credentials_that_the_platform_says_have_ended_are_trimtabs_problem_not_the_callers(
    scene: Callable[..., Scene], way: Way
) -> None:
    """The gateway's clock is late: it uses what has ended at the platform."""
    at = scene()
    assert at.ask().status == 200
    at.clocks.servers += LIFE_S + 1
    said = at.ask()
    assert (said.status, said.error["type"]) == (401, "authentication_error")
    assert way.platform != "bedrock" or "ExpiredTokenException" in said.error["message"]
    at.clocks.gateway = at.clocks.servers
    assert at.ask().status == 200, "with new ones it goes on"


def test_a_server_that_gives_out_none_is_named_and_asked_again(scene: Callable[..., Scene], way: Way) -> None:
    at = scene(REFUSED_ONCE)
    said = at.ask()
    assert isinstance(said.problem, UpstreamRefused)
    assert "403" in str(said.problem)
    assert said.status == 0
    assert not any(b"/v1/messages" in seen.target or b"Predict" in seen.target for seen in at.house.seen)
    at.clocks.both(2)
    assert at.ask().status == 200


def test_without_new_ones_the_old_are_used_to_their_end_and_not_after(
    scene: Callable[..., Scene], way: Way
) -> None:
    at = scene(REFUSED_LATER)
    assert at.ask().status == 200
    at.clocks.both(LIFE_S * 0.6)
    assert at.ask().status == 200
    at.clocks.both(LIFE_S)
    said = at.ask()
    assert isinstance(said.problem, UpstreamRefused)
    assert "503" in str(said.problem)
