"""The complaints about platforms where the schema is another one: a whole gateway in front of the simulated Converse.

What it is not: a look at the bytes that go out, which cannot be the program's: the simulator reads them with code of its
own, and what its model was asked is compared with what the program wrote.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from aws_platform import ACCESS, SECRET
from drive import opened_key_door
from raw_client import Answer, Client
from simulated_platforms import House, simulated

from trimtab.admin import Actor, NewKey
from trimtab.catalogue import Catalogue
from trimtab.providers.seam import Headers
from trimtab.providers.simulator import SimResponse, Simulator

OPUS = "claude-opus-4-7"
CONFIG = """[platforms.aws]
kind = "bedrock"
endpoint = "converse"
region = "eu-west-1"
base_url = "{url}"
access_key_id = "file:{folder}/aws.id"
secret_access_key = "file:{folder}/aws.key"
"""
TOOL = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"z": {}, "a": {}}}}
SCRIPT = """
version: 1
rules:
- {match: {contains: weather}, reply: {thinking: "Lisbon is 港, 🚢.", text: Let me look., tool_use: {name: get_weather, input: {city: Lisbon, units: [1, 2]}}}}
"""


class Heard(Simulator):
    """Keeps what its model was asked, in the vendor's words."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.asked: list[tuple[dict[bytes, bytes], dict[str, Any]]] = []

    def handle(
        self, method: str, path: str, query: bytes = b"", headers: Headers | None = None, body: bytes = b""
    ) -> SimResponse:
        self.asked.append((dict(headers or []), json.loads(body)))
        return super().handle(method, path, query, headers, body)


class Behind(NamedTuple):
    """A gateway, and the platform behind it."""

    client: Client
    house: House

    def post(self, body: dict[str, Any], betas: str = "", path: str = "/v1/messages") -> Answer:
        asked = {"model": OPUS, "messages": [{"role": "user", "content": "hi"}], **body}
        if path == "/v1/messages":
            asked.setdefault("max_tokens", 4096)
        content = json.dumps(asked, ensure_ascii=False).encode()
        return self.client.post(content, [("anthropic-beta", betas)] if betas else [], path=path)

    @property
    def heard(self) -> dict[str, Any]:
        """What the model was asked last."""
        simulator = self.house.simulator
        assert isinstance(simulator, Heard)
        return simulator.asked[-1][1]

    @property
    def betas(self) -> str:
        simulator = self.house.simulator
        assert isinstance(simulator, Heard)
        return simulator.asked[-1][0].get(b"anthropic-beta", b"").decode()


@pytest.fixture(scope="module")
def behind(started: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "aws.id").write_text(ACCESS)
    (folder / "aws.key").write_text(SECRET)
    with simulated(SCRIPT, catalogue=Catalogue.load(), core=Heard) as house:
        gateway = started(
            store_options="batch_ms = 5\n",
            server_options="require_keys = true\n",
            options=CONFIG.format(url=house.url, folder=folder),
        )
        with opened_key_door(gateway.site.config, create=False) as door:
            key = door.admin.add(Actor("tests"), NewKey(name="converse", platforms=("aws",)))
        client = Client(gateway.site.port, key.secret.reveal())
        yield Behind(client, house)
        client.close()


def test_an_effort_arrives_through_converse_or_is_said_to_have_become_another(behind: Behind) -> None:
    """Complaint 3, effort is dropped where a request is translated: Converse has a member for it, and the others of
    `output_config` another (litellm#27074)."""
    for effort in ("low", "medium", "high", "xhigh", "max"):
        answer = behind.post({"output_config": {"effort": effort}})
        assert answer.status == 200, answer
        assert behind.heard["output_config"] == {"effort": effort}
        assert "x-trimtab-adaptations" not in answer.named
    answer = behind.post({"model": "trimtab/default", "output_config": {"effort": "xhigh"}})
    assert behind.heard["output_config"] == {"effort": "high"}
    assert "output_config.effort" in answer.named["x-trimtab-adaptations"]
    assert behind.post({"output_config": {"effort": "huge"}}).status == 400, "the platform is heard"


def test_betas_reach_the_model_through_converse_once_and_without_those_that_bedrock_refuses(
    behind: Behind,
) -> None:
    """Complaint 4, betas that are lost in a translation, or all forwarded into a 400: Converse has no header for them,
    they are a field of the model's own (litellm#27074, aibridge#226)."""
    answer = behind.post({}, betas="oauth-2025-04-20,compact-2026-01-12,context-1m-2025-08-07")
    assert answer.status == 200, answer
    assert answer.named["x-trimtab-adaptations"] == "anthropic-beta=-oauth-2025-04-20"
    assert behind.betas == "compact-2026-01-12,context-1m-2025-08-07"


@pytest.mark.parametrize("display", ["summarized", "omitted"])
def test_a_tool_loop_with_thinking_goes_on_through_converse(display: str, behind: Behind) -> None:
    """Complaint 5, a 400 in the second turn where blocks were rebuilt: the simulator checks each signature
    (litellm#15601, litellm#18926, bifrost#6342)."""
    extra = {"tools": [TOOL], "thinking": {"type": "adaptive", "display": display}}
    turns: list[dict[str, Any]] = [{"role": "user", "content": "The weather?"}]
    for _ in range(3):
        answer = behind.post({**extra, "messages": turns})
        assert answer.status == 200, answer
        said = json.loads(answer.body)
        assert [block["type"] for block in said["content"]] == ["thinking", "text", "tool_use"]
        assert bool(said["content"][0]["thinking"]) is (display == "summarized")
        assert said["stop_reason"] == "tool_use"
        result = {"type": "tool_result", "tool_use_id": said["content"][2]["id"], "content": "sunny 🌞"}
        turns = [
            *turns,
            {"role": "assistant", "content": said["content"]},
            {"role": "user", "content": [result, {"type": "text", "text": "And the weather now?"}]},
        ]
    behind.post({**extra, "messages": turns})
    heard = behind.heard["messages"]
    assert [message["content"] for message in heard[1::2]] == [m["content"] for m in turns[1::2]]
    results = [message["content"][0]["content"] for message in heard[2::2]]
    assert results == [[{"type": "text", "text": "sunny 🌞"}]] * 3


def test_the_cached_prefix_is_found_again_through_converse_turn_after_turn(behind: Behind) -> None:
    """Complaint 7, the prompt cache is never hit since `cache_control` is lost in a translation, or the keys of schemas
    change their order (litellm#36079, litellm#33281)."""
    mark = {"type": "ephemeral", "ttl": "1h"}
    fixed = {
        "tools": [{**TOOL, "cache_control": mark}],
        "system": [{"type": "text", "text": "Rules of the house. " * 900, "cache_control": mark}],
    }
    turns: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
    written = None
    for _ in range(4):
        answer = behind.post({**fixed, "messages": turns})
        assert answer.status == 200, answer
        usage = json.loads(answer.body)["usage"]
        if written is None:
            written = usage["cache_creation_input_tokens"]
            assert written > 2048
        else:
            assert (usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]) == (written, 0)
        assert behind.heard["tools"] == fixed["tools"]
        assert list(behind.heard["tools"][0]["input_schema"]["properties"]) == ["z", "a"]
        assert behind.heard["system"] == fixed["system"]
        turns += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "and?"}]


def test_tokens_are_counted_for_converse_and_what_it_cannot_say_is_not(behind: Behind) -> None:
    """Complaint 8, `count_tokens` is missing or fails in another shape: a count of what could not be sent would mislead
    (otari#124, ai-gateway#2546)."""
    asked: dict[str, Any] = {"system": "Be terse.", "tools": [TOOL]}
    answer = behind.post(asked, path="/v1/messages/count_tokens")
    assert answer.status == 200, answer
    assert json.loads(answer.body)["input_tokens"] > 10
    answer = behind.post({**asked, "tool_choice": {"type": "none"}}, path="/v1/messages/count_tokens")
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
