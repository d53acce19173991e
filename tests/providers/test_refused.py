"""A platform that refuses credentials before their end: the next call has others, and nobody fetches them in a storm."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_platform import where
from platform_calls import call
from scripted_upstream import Received, Upstream, whole

from trimtab.catalogue import Catalogue
from trimtab.providers import Provider
from trimtab.providers.aws import BedrockSettings, open_bedrock
from trimtab.providers.azure import FoundrySettings, open_foundry
from trimtab.providers.google import VertexSettings, open_vertex
from trimtab.providers.machine import Machine
from trimtab.providers.renewing import REFUSED_S

START = 1_795_000_000.0
BODY = b'{"model":"claude-opus-4-7","max_tokens":16,"messages":[]}'


class World:
    """A clock, a service that numbers the credentials it gives out, and a platform that takes only the newest."""

    def __init__(self, upstream: Upstream, home: Path, catalogue: Catalogue) -> None:
        self.now = START
        self.upstream = upstream
        self.given = 0
        self.revoked = 0
        self.seen: list[str] = []
        self._home = home
        self._catalogue = catalogue
        upstream.answer = self._answer

    def _answer(self, request: Received) -> list[bytes]:
        if b"credentials" in request.target:
            self.given += 1
            return whole(
                json.dumps(
                    {
                        "AccessKeyId": f"ASIA{self.given}",
                        "SecretAccessKey": "s",
                        "Token": f"token-{self.given}",
                        "Expiration": "2027-01-01T00:00:00Z",
                    }
                ).encode()
            )
        if b"/token" in request.target:
            self.given += 1
            return whole(
                b'{"access_token":"token-%d","expires_in":3599,"token_type":"Bearer"}' % self.given,
                b"metadata-flavor: Google",
            )
        held = request.values(b"x-amz-security-token") or request.values(b"authorization")
        token = held[0].decode().removeprefix("Bearer ")
        self.seen.append(token)
        if int(token.removeprefix("token-")) > self.revoked:
            return whole(b"{}")
        return self.refusal(request)

    def refusal(self, request: Received) -> list[bytes]:
        if b"/model/" in request.target:
            said = b'{"message":"The security token included in the request is expired"}'
            return whole(said, b"x-amzn-errortype: ExpiredTokenException", status=b"403 Forbidden")
        return whole(b'{"error":{"code":401,"message":"no"}}', status=b"401 Unauthorized")

    def _machine(self, **environment: str) -> Machine:
        return Machine(environment, self._home, lambda: self.now)

    def aws(self) -> Provider:
        machine = self._machine(AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{self.upstream.url}/credentials")
        settings = BedrockSettings(region="eu-west-1", base_url=self.upstream.url)
        return open_bedrock("p", settings, where, self._catalogue, machine)

    def google(self) -> Provider:
        machine = self._machine(GCE_METADATA_HOST=self.upstream.url.removeprefix("http://"))
        settings = VertexSettings(project="p-1", region="global", base_url=self.upstream.url)
        return open_vertex("p", settings, where, self._catalogue, machine)

    def azure(self) -> Provider:
        machine = self._machine(AZURE_POD_IDENTITY_AUTHORITY_HOST=self.upstream.url)
        settings = FoundrySettings(base_url=f"{self.upstream.url}/anthropic")
        return open_foundry("p", settings, where, self._catalogue, machine)


@pytest.fixture
def world(upstream: Upstream, tmp_path: Path, catalogue: Catalogue) -> World:
    return World(upstream, tmp_path, catalogue)


def statuses(provider: Provider, steps: list[Callable[[], Any]]) -> list[int]:
    """The status of one call after each step."""

    async def work() -> list[int]:
        found = []
        for step in steps:
            step()
            reply = await provider.send(call(BODY, "claude-opus-4-7"))
            while await reply.read():
                pass
            found.append(reply.status)
        await provider.aclose()
        return found

    return asyncio.run(work())


PLATFORMS = pytest.mark.parametrize("platform", ["aws", "google", "azure"])


@PLATFORMS
def test_after_a_401_the_next_call_has_new_credentials(world: World, platform: str) -> None:
    def later() -> None:
        world.now += REFUSED_S
        world.revoked = 1

    provider = getattr(world, platform)()
    assert statuses(provider, [lambda: None, later, lambda: None, lambda: None]) == [200, 401, 200, 200]
    assert world.seen == ["token-1", "token-1", "token-2", "token-2"]
    assert world.given == 2


@PLATFORMS
def test_credentials_that_are_never_taken_are_fetched_once_in_some_seconds(
    world: World, platform: str
) -> None:
    world.revoked = 1000

    def tick() -> None:
        world.now += REFUSED_S / 5

    provider = getattr(world, platform)()
    assert set(statuses(provider, [tick] * 20)) == {401}
    assert 4 <= world.given <= 5, "twenty calls in four times that long"


def test_a_refusal_of_something_else_keeps_the_credentials(world: World) -> None:
    world.refusal = lambda request: whole(b"{}", status=b"403 Forbidden")  # type: ignore[method-assign]
    world.revoked = 1

    def later() -> None:
        world.now += REFUSED_S * 2

    assert statuses(world.google(), [later] * 3) == [403] * 3
    assert world.given == 1
