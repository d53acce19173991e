"""Simulated platforms on a port, and a provider for each kind of platform, as the conformance suite drives them.

What it is not: a judge. Signatures are checked by the simulator with the key it was given, and by tests again with AWS's
own library (`aws_verify`), which shares no code with either side.
"""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from aws_platform import ACCESS, SECRET, keys

from trimtab.catalogue import Catalogue
from trimtab.catalogue.model import Platform
from trimtab.config import Secret
from trimtab.errors import TrimtabError
from trimtab.providers import Call, Headers, Provider
from trimtab.providers.anthropic import AnthropicSettings, open_anthropic
from trimtab.providers.aws import BedrockSettings, ClaudeOnAwsSettings, open_bedrock, open_claude_on_aws
from trimtab.providers.azure import FoundrySettings, open_foundry
from trimtab.providers.google import VertexSettings, open_vertex
from trimtab.providers.machine import Machine
from trimtab.providers.simulator import SimResponse, Simulator, SimulatorSettings, simulator_asgi
from trimtab.providers.simulator.faces import FaceOptions, Front
from trimtab.providers.simulator.script import read_script

MODEL = "claude-opus-4-7"
"""All platforms have it."""
REGION = "eu-west-1"
WAIT_S = 20.0
"""For things that happen at once; only a test that fails waits for it."""

MACHINE = Machine({}, Path("/nonexistent"), time.time)
"""Without credentials of its own."""


def where(key: str) -> str:
    return f"trimtab.toml: platforms.p.{key}"


Open = Callable[..., Provider]


def _anthropic(url: str, catalogue: Catalogue, **more: Any) -> Provider:
    more.pop("machine", None)
    return open_anthropic("p", AnthropicSettings(api_key=Secret("k", "env:K"), base_url=url, **more), where)


def _on_aws(url: str, catalogue: Catalogue, **more: Any) -> Provider:
    machine = more.pop("machine", MACHINE)
    written = {"region": REGION, "workspace": "wrkspc_1", "base_url": url, **keys(), **more}
    return open_claude_on_aws("p", ClaudeOnAwsSettings(**written), where, machine)


def _bedrock(url: str, catalogue: Catalogue, **more: Any) -> Provider:
    machine = more.pop("machine", MACHINE)
    written = {"region": REGION, "base_url": url, **keys(), **more}
    return open_bedrock("p", BedrockSettings(**written), where, catalogue, machine)


def _mantle(url: str, catalogue: Catalogue, **more: Any) -> Provider:
    return _bedrock(f"{url}/anthropic", catalogue, endpoint="mantle", **more)


def _converse(url: str, catalogue: Catalogue, **more: Any) -> Provider:
    return _bedrock(url, catalogue, endpoint="converse", **more)


def _vertex(url: str, catalogue: Catalogue, **more: Any) -> Provider:
    machine = more.pop("machine", MACHINE)
    written = {
        "project": "my-project",
        "region": REGION,
        "base_url": url,
        "access_token": Secret("ya29.token", "env:T"),
        **more,
    }
    return open_vertex("p", VertexSettings(**written), where, catalogue, machine)


def _foundry(url: str, catalogue: Catalogue, **more: Any) -> Provider:
    machine = more.pop("machine", MACHINE)
    written = {"base_url": f"{url}/anthropic", "api_key": Secret("key", "env:K"), **more}
    return open_foundry("p", FoundrySettings(**written), where, catalogue, machine)


@dataclass(frozen=True)
class Kind:
    """A kind of platform."""

    platform: Platform
    open: Open
    """Of the simulator's address and the catalogue; further settings by name."""
    service: str = ""
    """The signing name, on AWS."""
    translated: bool = False
    """Whether its framing or its errors are not the vendor's."""
    rewritten: bool = False
    """Whether its schema is another one: ids, names of models and pings are not kept, usage is said at the end."""
    statuses: dict[int, int] = field(default_factory=dict)
    """What clients get for a status of the model's, where the platform has no word for it."""


KINDS = (
    Kind("anthropic", _anthropic),
    Kind("anthropic_on_aws", _on_aws, "aws-external-anthropic"),
    Kind("bedrock", _bedrock, "bedrock", translated=True, statuses={503: 529}),
    Kind("bedrock_mantle", _mantle, "bedrock-mantle"),
    Kind("bedrock_converse", _converse, "bedrock", translated=True, rewritten=True, statuses={503: 529}),
    Kind("vertex", _vertex, translated=True, statuses={503: 529}),
    Kind("foundry", _foundry, translated=True, statuses={503: 529}),
)


@dataclass
class Seen:
    """A request as it came over the wire."""

    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    client: tuple[str, int]
    made: int = 0
    """Bytes of the answer that the server has taken so far."""


@dataclass
class House:
    """The simulator on a port, with the faces of all platforms."""

    simulator: Simulator
    front: Front
    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    """Somebody went away while the simulator waited."""


@contextmanager
def simulated(
    script: str | None = None,
    *,
    catalogue: Catalogue,
    core: type[Simulator] = Simulator,
    options: dict[str, Any] | None = None,
    clock: Callable[[], float] = time.time,
    **settings: Any,
) -> Iterator[House]:
    """The simulator with a script, made of text, until the end of the block. It knows the tests' AWS key. `options` are
    further ones of the faces, `clock` is what they take for the time."""
    read = read_script(script.encode(), "script.yaml") if script is not None else None
    simulator = core(SimulatorSettings(**{"latency_scale": 0.0, **settings}), catalogue, script=read)
    around = FaceOptions(REGION, (ACCESS, SECRET), **(options or {}))
    house = House(simulator, Front(simulator, catalogue, around, clock=clock))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Little room on the way, so that a reader that stops is felt soon.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        server = _Server(
            uvicorn.Config(_watched(house), log_level="critical", ws="none", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        try:
            while not server.serves.is_set():
                assert thread.is_alive()
                server.serves.wait(0.1)
            house.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            yield house
        finally:
            server.end()
            thread.join(60)


class _Server(uvicorn.Server):
    """Ends when it is told to, where uvicorn looks ten times a second whether it should: there is one for most tests."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serves = threading.Event()
        self._told = asyncio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self._loop = asyncio.get_running_loop()
        self.serves.set()
        await self._told.wait()

    def end(self) -> None:
        """From another thread. At once, if it serves."""
        if self.serves.is_set():
            self._loop.call_soon_threadsafe(self._told.set)


def _watched(house: House) -> Any:
    async def sleep(seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            house.left.set()
            raise

    async def app(scope: Any, receive: Any, send: Any) -> None:
        class Watched:
            def handle(
                self, method: str, path: str, query: bytes, headers: Headers, body: bytes
            ) -> SimResponse:
                target = path.encode() + (b"?" + query if query else b"")
                seen = Seen(target, headers, body, tuple(scope["client"]))
                house.seen.append(seen)
                return house.front.handle(method, path, query, headers, body)

        async def counting(message: Any) -> None:
            await send(message)
            house.seen[-1].made += len(message.get("body", b""))

        await simulator_asgi(Watched(), sleep=sleep)(scope, receive, counting)

    return app


@dataclass
class Said:
    """What a provider gave, as far as it came."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    problem: TrimtabError | None = None
    """How it ended, if not properly."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        assert self.json["type"] == "error", self.json
        found: dict[str, Any] = self.json["error"]
        return found

    @property
    def blocks(self) -> list[bytes]:
        """The events, each with its blank line."""
        return [block + b"\n\n" for block in self.body.split(b"\n\n") if block]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(block.partition(b"data: ")[2]) for block in self.blocks]


def asked(
    content: Any = "Hello there", *, counting: bool = False, stream: bool = False, **fields: Any
) -> dict[str, Any]:
    """A request to the Messages API, less its model."""
    body: dict[str, Any] = {"messages": [{"role": "user", "content": content}], **fields}
    if not counting:
        body.setdefault("max_tokens", 1024)
    if stream:
        body["stream"] = True
    return body


def call_to(
    provider: Provider, catalogue: Catalogue, body: dict[str, Any], *, counting: bool = False, betas: str = ""
) -> Call:
    """The call as the engine makes it: the platform's id of the model in the body, and beside it."""
    model = catalogue.find(MODEL)
    assert model is not None
    name = provider.model_id(model)
    assert name is not None
    headers = [(b"content-type", b"application/json"), (b"anthropic-version", b"2023-06-01")]
    if betas:
        headers.append((b"anthropic-beta", betas.encode()))
    return Call(
        method="POST",
        path="/v1/messages/count_tokens" if counting else "/v1/messages",
        headers=headers,
        body=json.dumps({"model": name, **body}, ensure_ascii=False).encode(),
        stream=bool(body.get("stream")),
        endpoint="count_tokens" if counting else "messages",
        model=name,
    )


async def said_to(provider: Provider, call: Call) -> Said:
    """One exchange, read to whatever end it has. The provider stays open."""
    said = Said()
    try:
        reply = await provider.send(call)
        said.status, said.headers = reply.status, dict(reply.headers)
        while piece := await reply.read():
            said.body += piece
    except TrimtabError as problem:
        said.problem = problem
    return said


@contextmanager
def loop_of(provider: Provider) -> Iterator[Callable[[Any], Any]]:
    """Runs coroutines one after another with the same provider, and closes it."""
    runner = asyncio.Runner()
    try:
        yield runner.run
    finally:
        with suppress(RuntimeError):
            runner.run(provider.aclose())
        runner.close()
