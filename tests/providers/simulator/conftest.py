"""A client of the simulator without sockets, and makers of small images."""

import base64
import struct
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from trimtab.catalogue import Catalogue
from trimtab.messages import SSEParser, StreamValidator, Usage, merge_usage
from trimtab.messages.sse import parse_block
from trimtab.providers.simulator import SimResponse, Simulator, SimulatorSettings
from trimtab.providers.simulator.response import Cut, Wait
from trimtab.providers.simulator.script import read_script

NOW = 1795219200.0  # 2026-11-21


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Answered:
    """One response, read to its end."""

    def __init__(self, response: SimResponse) -> None:
        steps = list(response.steps)
        self.response = response
        self.status = response.status
        self.headers = {name.decode(): value.decode() for name, value in response.headers}
        self.chunks = [step for step in steps if isinstance(step, bytes)]
        self.waits = [step.seconds for step in steps if isinstance(step, Wait)]
        self.was_cut = any(isinstance(step, Cut) for step in steps)
        self.body = b"".join(self.chunks)

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def error(self) -> str:
        return f"{self.json['error']['type']}: {self.json['error']['message']}"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(parse_block(block).data) for block in SSEParser().feed(self.body)]

    @property
    def problems(self) -> list[str]:
        validator = StreamValidator()
        for chunk in self.chunks:
            validator.feed(chunk)
        return validator.finish()

    @property
    def text(self) -> str:
        if not self.body.startswith(b"event:"):
            return "".join(block["text"] for block in self.json["content"] if block["type"] == "text")
        return "".join(
            event["delta"]["text"]
            for event in self.events
            if event.get("delta", {}).get("type") == "text_delta"
        )

    @property
    def usage(self) -> Usage:
        if not self.body.startswith(b"event:"):
            return msgspec.convert(self.json["usage"], Usage)
        usage = None
        for event in self.events:
            raw = event["message"]["usage"] if event["type"] == "message_start" else event.get("usage")
            if raw is not None:
                usage = merge_usage(usage, msgspec.convert(raw, Usage))
        assert usage is not None
        return usage


class Client:
    """Speaks to one simulator."""

    def __init__(self, simulator: Simulator, clock: Clock) -> None:
        self.simulator = simulator
        self.clock = clock

    def raw(
        self,
        method: str = "POST",
        path: str = "/v1/messages",
        body: bytes = b"",
        query: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> Answered:
        sent = {"anthropic-version": "2023-06-01"} if headers is None else headers
        pairs = [(name.encode(), value.encode()) for name, value in sent.items()]
        return Answered(self.simulator.handle(method, path, query, pairs, body))

    def ask(self, content: Any = "Hello there", *, path: str = "/v1/messages", **fields: Any) -> Answered:
        """One call. `content` is the user turn; `messages`, `version`, `beta` and other fields override."""
        headers = {"anthropic-version": fields.pop("version", "2023-06-01")}
        if beta := fields.pop("beta", None):
            headers["anthropic-beta"] = beta
        headers |= fields.pop("headers", {})
        body = {
            "model": "claude-sonnet-4-6",
            "max_tokens": 1024,
            "messages": [{"role": "user", "content": content}],
            **fields,
        }
        body = {name: value for name, value in body.items() if value is not ...}
        return self.raw(path=path, body=msgspec.json.encode(body), headers=headers)


@pytest.fixture(scope="session")
def make(catalogue: Catalogue) -> Callable[..., Client]:
    def build(script: str | None = None, **settings: Any) -> Client:
        clock = Clock()
        read = read_script(script.encode(), "script.yaml") if script is not None else None
        simulator = Simulator(
            SimulatorSettings(**{"latency_scale": 0.0, **settings}), catalogue, clock=clock, script=read
        )
        return Client(simulator, clock)

    return build


@pytest.fixture
def client(make: Callable[..., Client]) -> Client:
    return make()


@pytest.fixture(scope="session")
def shared(make: Callable[..., Client]) -> Client:
    """One client for all examples of a property."""
    return make()


def png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x02\0\0\0"
    return base64.b64encode(head).decode()


@pytest.fixture(scope="session")
def image() -> Callable[..., dict[str, Any]]:
    def block(width: int = 640, height: int = 480, media_type: str = "image/png") -> dict[str, Any]:
        source = {"type": "base64", "media_type": media_type, "data": png(width, height)}
        return {"type": "image", "source": source}

    return block
