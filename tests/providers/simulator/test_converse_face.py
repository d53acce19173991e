"""Converse as the simulator speaks it, asked by AWS's own client and held against AWS's own service model."""

import json
import types
import typing
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import pytest
from aws_client import SERVICE, client, values
from aws_platform import SECRET
from botocore.exceptions import ClientError, EventStreamError
from botocore.model import Shape
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from searches import examples
from simulated_platforms import MODEL, REGION, House, simulated

from trimtab.catalogue import Catalogue
from trimtab.providers.seam import Headers
from trimtab.providers.simulator import SimResponse, Simulator, SimulatorSettings
from trimtab.providers.simulator.faces import FaceOptions, Front
from trimtab.providers.simulator.faces.converse_schema import Counted, Request, Union

OPUS = "eu.anthropic.claude-opus-4-7"
HELLO = [{"role": "user", "content": [{"text": "Hello"}]}]
THINKING = {"thinking": {"type": "adaptive", "display": "summarized"}}
SPEC = {"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}}}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000a49444154789c6300010000050001"
    "0d0a2db40000000049454e44ae426082"
)
SCRIPT = """
version: 1
rules:
- {match: {contains: think}, reply: {thinking: "Well, 日本.", text: Done.}}
- {match: {contains: call}, reply: {thinking: I call it., text: Now., tool_use: {name: weather, input: {place: Zürich, days: [1, 2]}}}}
- {match: {contains: refuse}, reply: {text: No., refusal: {category: cyber}}}
- {match: {contains: pause}, reply: {pause_turn: true}}
- {match: {contains: stop it}, reply: {text: One STOP two}}
- {match: {contains: spent}, reply: {error: {status: 429, error_code: enforced_spend_limit_reached}}}
- {match: {contains: loading}, reply: {error: {status: 429, error_code: ModelNotReadyException, message: Wait.}}}
- {match: {contains: failed}, reply: {error: {status: 424, error_code: ModelErrorException, message: Broke.}}}
- {match: {contains: status 429}, reply: {error: {status: 429, message: Said., retry_after_s: 3}}}
- {match: {contains: status 529}, reply: {error: {status: 529, message: Said.}}}
- {match: {contains: status 500}, reply: {error: {status: 500, message: Said.}}}
- {match: {contains: status 504}, reply: {error: {status: 504, message: Said.}}}
- {match: {contains: status 401}, reply: {error: {status: 401, message: Said.}}}
- {match: {contains: breaks with overloaded_error}, reply: {text: Half, stream_error: {after_events: 4, type: overloaded_error, message: Not now. 今}}}
- {match: {contains: breaks with rate_limit_error}, reply: {text: Half, stream_error: {after_events: 4, type: rate_limit_error, message: Not now. 今}}}
- {match: {contains: breaks with timeout_error}, reply: {text: Half, stream_error: {after_events: 4, type: timeout_error, message: Not now. 今}}}
- {match: {contains: breaks with api_error}, reply: {text: Half, stream_error: {after_events: 4, type: api_error, message: Not now. 今}}}
"""


class Heard(Simulator):
    """Keeps what it was asked, in the vendor's words."""

    bodies: list[dict[str, Any]]

    def handle(
        self, method: str, path: str, query: bytes = b"", headers: Headers | None = None, body: bytes = b""
    ) -> SimResponse:
        self.bodies = [*getattr(self, "bodies", []), json.loads(body)]
        return super().handle(method, path, query, headers, body)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with simulated(SCRIPT, catalogue=Catalogue.load(), core=Heard) as made:
        yield made


@pytest.fixture(scope="module")
def aws(house: House) -> Iterator[Any]:
    with closing(client(house.url, REGION)) as made:
        yield made


def heard(house: House) -> dict[str, Any]:
    assert isinstance(house.simulator, Heard)
    return house.simulator.bodies[-1]


# The schema


def optional(hint: Any) -> Any:
    """The type without its `None`, and whether that was there."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        [found] = [one for one in typing.get_args(hint) if one is not type(None)]
        return found
    return hint


def held(hint: Any, shape: Shape, where: str, seen: list[str]) -> None:
    """A type of ours is AWS's, as deep as it goes."""
    hint = optional(hint)
    if hint is Any:
        return
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        seen.append(where)
        hints = typing.get_type_hints(hint)
        fields = {field.encode_name: field for field in msgspec.structs.fields(hint)}
        theirs = {name: member for name, member in shape.members.items() if name != "modelId"}
        assert set(fields) == set(theirs), where
        assert issubclass(hint, Union) is bool(shape.metadata.get("union")), where
        needed = {name for name, field in fields.items() if field.required}
        assert needed == set(shape.required_members) - {"modelId"}, where
        for name, field in fields.items():
            held(hints[field.name], theirs[name], f"{where}.{name}", seen)
    elif typing.get_origin(hint) is list:
        assert shape.type_name == "list", where
        held(typing.get_args(hint)[0], shape.member, where, seen)
    elif typing.get_origin(hint) is typing.Literal:
        assert set(typing.get_args(hint)) == set(shape.enum), where
    else:
        kinds = {str: "string", bytes: "blob", int: "integer", float: "float", bool: "boolean"}
        assert kinds.get(hint, "map") == shape.type_name, where


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Request, SERVICE.operation_model("Converse").input_shape),
        (Request, SERVICE.operation_model("ConverseStream").input_shape),
        (Counted, SERVICE.operation_model("CountTokens").input_shape.members["input"].members["converse"]),
    ],
)
def test_the_schema_is_awss_member_by_member(ours: Any, theirs: Shape) -> None:
    seen: list[str] = []
    held(ours, theirs, ours.__name__, seen)
    assert len(seen) > 25


@settings(
    max_examples=examples(40, of=100),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(params=values(SERVICE.operation_model("Converse").input_shape))
def test_whatever_awss_library_can_write_is_read(params: dict[str, Any]) -> None:
    """What is said may be refused; how it is said may not."""
    catalogue = Catalogue.load()
    front = Front(Simulator(SimulatorSettings(latency_scale=0.0), catalogue), catalogue)
    sent = create_serializer("rest-json").serialize_to_request(
        {**params, "modelId": OPUS}, SERVICE.operation_model("Converse")
    )
    response = front.handle(
        "POST", f"/model/{OPUS}/converse", b"", [(b"authorization", b"Bearer k")], sent["body"]
    )
    body = b"".join(step for step in response.steps if isinstance(step, bytes))
    assert response.status in (200, 400)
    assert b"Malformed" not in body
    assert b"nested" not in body


# Requests of AWS's own client


def test_every_kind_of_block_reaches_the_model_in_its_own_words(aws: Any, house: House) -> None:
    point = {"cachePoint": {"type": "default", "ttl": "1h"}}
    first = aws.converse(
        modelId=OPUS,
        messages=[{"role": "user", "content": [{"text": "call it"}]}],
        toolConfig={"tools": [SPEC]},
        additionalModelRequestFields=THINKING,
    )
    answer = first["output"]["message"]
    kinds = [next(iter(block)) for block in answer["content"]]
    assert kinds == ["reasoningContent", "text", "toolUse"]
    use = answer["content"][2]["toolUse"]
    assert use["input"] == {"place": "Zürich", "days": [1, 2]}
    result = {
        "toolUseId": use["toolUseId"],
        "status": "error",
        "content": [
            {"text": "rain"},
            {"json": {"a": 1}},
            {"image": {"format": "png", "source": {"bytes": PNG}}},
            {"document": {"format": "pdf", "name": "a b", "source": {"bytes": b"%PDF"}}},
        ],
    }
    content = [
        {"toolResult": result},
        {"text": "Look:"},
        {"document": {"format": "txt", "name": "n", "source": {"text": "t"}, "context": "c"}},
        {"document": {"format": "csv", "name": "m", "source": {"bytes": b"1,2"}}},
        {"document": {"name": "o", "source": {"content": [{"text": "p"}]}}},
        {"searchResult": {"source": "s", "title": "t", "content": [{"text": "u"}]}},
        point,
    ]
    answered = aws.converse(
        modelId=OPUS,
        messages=[
            {"role": "user", "content": [{"text": "call it"}]},
            answer,
            {"role": "user", "content": content},
        ],
        system=[{"text": "Be terse."}, point],
        inferenceConfig={"maxTokens": 99, "stopSequences": ["END"]},
        toolConfig={"tools": [SPEC, point], "toolChoice": {"auto": {}}},
        outputConfig={"effort": "low"},
        additionalModelRequestFields={
            **THINKING,
            "tools": [{"type": "bash_20250124", "name": "bash"}],
            "metadata": {"user_id": "u"},
        },
        requestMetadata={"team": "a"},
    )
    assert answered["stopReason"]
    mark = {"type": "ephemeral", "ttl": "1h"}
    said = heard(house)
    assert said["model"] == MODEL
    assert said["max_tokens"] == 99
    assert said["stop_sequences"] == ["END"]
    assert said["system"] == [{"type": "text", "text": "Be terse.", "cache_control": mark}]
    assert said["output_config"] == {"effort": "low"}
    assert said["thinking"] == THINKING["thinking"]
    assert said["tools"] == [
        {"name": "weather", "input_schema": {"type": "object"}, "cache_control": mark},
        {"type": "bash_20250124", "name": "bash"},
    ]
    assert said["tool_choice"] == {"type": "auto"}
    turn = said["messages"][1]["content"]
    assert [block["type"] for block in turn] == ["thinking", "text", "tool_use"]
    assert turn[0]["signature"] == answer["content"][0]["reasoningContent"]["reasoningText"]["signature"]
    blocks = said["messages"][2]["content"]
    assert [block["type"] for block in blocks] == [
        "tool_result",
        "text",
        "document",
        "document",
        "document",
        "search_result",
    ]
    assert blocks[0]["is_error"] is True
    assert [part["type"] for part in blocks[0]["content"]] == ["text", "text", "image", "document"]
    assert blocks[2]["source"] == {"type": "text", "media_type": "text/plain", "data": "t"}
    assert blocks[3]["source"]["data"] == "1,2"
    assert blocks[5]["cache_control"] == mark


def test_a_structured_answer_is_asked_for_in_converses_own_words(aws: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"answer": {"type": "integer"}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    text = {"type": "json_schema", "structure": {"jsonSchema": {"schema": json.dumps(schema)}}}
    answer = aws.converse(
        modelId=OPUS,
        messages=[{"role": "user", "content": [{"text": "What is 17 * 23?"}]}],
        outputConfig={"textFormat": text},
    )
    assert set(json.loads(answer["output"]["message"]["content"][-1]["text"])) == {"answer"}


def test_tokens_of_a_conversation_are_counted(aws: Any) -> None:
    counted = aws.count_tokens(
        modelId="anthropic.claude-opus-4-7",
        input={"converse": {"messages": HELLO, "system": [{"text": "a"}]}},
    )
    assert counted["inputTokens"] > 0
    with pytest.raises(ClientError, match="is blank"):
        blank = [{"role": "user", "content": [{"text": " "}]}]
        aws.count_tokens(modelId="anthropic.claude-opus-4-7", input={"converse": {"messages": blank}})


# Answers, as AWS's own client reads them


def streamed(aws: Any, text: str, **more: Any) -> list[dict[str, Any]]:
    messages = [{"role": "user", "content": [{"text": text}]}]
    with closing(aws.converse_stream(modelId=OPUS, messages=messages, **more)["stream"]) as stream:
        return list(stream)


@pytest.mark.parametrize("text", ["think", "call it", "refuse", "pause", "stop it", "What is 17 * 23?"])
def test_a_stream_comes_to_what_the_answer_in_one_piece_says(text: str, aws: Any) -> None:
    asked: dict[str, Any] = {
        "toolConfig": {"tools": [SPEC]},
        "additionalModelRequestFields": THINKING,
        "inferenceConfig": {"stopSequences": ["STOP"]},
        "additionalModelResponseFieldPaths": ["/stop_sequence", "/nothing"],
    }
    whole = aws.converse(modelId=OPUS, messages=[{"role": "user", "content": [{"text": text}]}], **asked)
    blocks: dict[int, dict[str, Any]] = {}
    events = streamed(aws, text, **asked)
    kinds = [next(iter(event)) for event in events]
    assert (kinds[0], kinds[-2:]) == ("messageStart", ["messageStop", "metadata"])
    for event in events:
        if "contentBlockStart" in event:
            start = event["contentBlockStart"]
            blocks[start["contentBlockIndex"]] = {**start["start"]["toolUse"], "input": ""}
        elif "contentBlockDelta" in event:
            at, delta = event["contentBlockDelta"]["contentBlockIndex"], event["contentBlockDelta"]["delta"]
            block = blocks.setdefault(at, {})
            for name, piece in (delta.get("reasoningContent") or delta.get("toolUse") or delta).items():
                block[name] = block.get(name, "") + piece
    found = []
    for block in (blocks[at] for at in sorted(blocks)):
        if "signature" in block:
            found.append({"reasoningContent": {"reasoningText": block}})
        elif "toolUseId" in block:
            found.append({"toolUse": {**block, "input": json.loads(block["input"])}})
        else:
            found.append(block)
    ids = [block["toolUse"].pop("toolUseId") for block in found if "toolUse" in block]
    expected = whole["output"]["message"]["content"]
    assert ids == [] or ids != [block["toolUse"].pop("toolUseId") for block in expected if "toolUse" in block]
    assert found == expected
    stop, metadata = events[-2]["messageStop"], events[-1]["metadata"]
    assert stop["stopReason"] == whole["stopReason"]
    assert metadata["usage"] == whole["usage"]
    own = {"stop_sequence": "STOP"} if text == "stop it" else None
    assert stop.get("additionalModelResponseFields") == own
    assert whole.get("additionalModelResponseFields") == own


def test_reasons_that_converse_does_not_have_are_its_nearest(aws: Any) -> None:
    reasons = {"refuse": "content_filtered", "pause": "end_turn", "call it": "tool_use"}
    for text, reason in reasons.items():
        assert streamed(aws, text, toolConfig={"tools": [SPEC]})[-2]["messageStop"]["stopReason"] == reason


def test_what_was_written_to_the_prompt_cache_and_read_is_counted(aws: Any) -> None:
    system = [{"text": "Rules. " * 3000}, {"cachePoint": {"type": "default"}}]
    first, second = (aws.converse(modelId=OPUS, messages=HELLO, system=system)["usage"] for _ in range(2))
    written = first["cacheWriteInputTokens"]
    assert written > 2048
    assert first["cacheDetails"] == [{"ttl": "5m", "inputTokens": written}]
    assert (second["cacheReadInputTokens"], second["cacheWriteInputTokens"]) == (written, 0)
    for usage in (first, second):
        read = usage["cacheReadInputTokens"] + usage["cacheWriteInputTokens"]
        assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"] + read


# Errors


@pytest.mark.parametrize(
    ("text", "status", "name"),
    [
        ("status 429", 429, "ThrottlingException"),
        ("status 529", 503, "ServiceUnavailableException"),
        ("status 500", 500, "InternalServerException"),
        ("status 504", 408, "ModelTimeoutException"),
        ("status 401", 403, "UnrecognizedClientException"),
        ("loading", 429, "ModelNotReadyException"),
        ("failed", 424, "ModelErrorException"),
        ("spent", 400, "ServiceQuotaExceededException"),
    ],
)
@pytest.mark.parametrize("operation", ["converse", "converse_stream"])
def test_an_error_is_awss_exception(text: str, status: int, name: str, operation: str, aws: Any) -> None:
    with pytest.raises(ClientError) as problem:
        getattr(aws, operation)(modelId=OPUS, messages=[{"role": "user", "content": [{"text": text}]}])
    said = problem.value.response
    assert (said["ResponseMetadata"]["HTTPStatusCode"], said["Error"]["Code"]) == (status, name)
    assert said["Error"]["Message"]
    assert said["ResponseMetadata"]["HTTPHeaders"].get("retry-after") == (
        "3" if text == "status 429" else None
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("overloaded_error", "serviceUnavailableException"),
        ("rate_limit_error", "throttlingException"),
        ("timeout_error", "modelStreamErrorException"),
        ("api_error", "internalServerException"),
    ],
)
def test_an_error_inside_a_stream_is_an_exception_that_its_model_has(kind: str, name: str, aws: Any) -> None:
    messages = [{"role": "user", "content": [{"text": f"breaks with {kind}"}]}]
    events = []
    with (
        closing(aws.converse_stream(modelId=OPUS, messages=messages)["stream"]) as stream,
        pytest.raises(EventStreamError) as problem,
    ):
        for event in stream:
            events.append(event)
    assert [next(iter(event)) for event in events] == ["messageStart", "contentBlockDelta"]
    assert problem.value.response["Error"]["Code"] == name
    assert name in SERVICE.operation_model("ConverseStream").output_shape.members["stream"].members
    if kind != "timeout_error":
        assert problem.value.response["Error"]["Message"] == "Not now. 今"


def test_a_signature_with_another_secret_or_for_another_region_is_refused(house: House) -> None:
    for region, secret in ((REGION, SECRET[::-1]), ("us-east-1", SECRET)):
        with (
            closing(client(house.url, region, secret)) as other,
            pytest.raises(ClientError, match="InvalidSignatureException"),
        ):
            other.converse(modelId=OPUS, messages=HELLO)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": "user", "content": "Hello"}]}, "Malformed input request"),
    ({"messages": [{"role": "tool", "content": [{"text": "a"}]}]}, "Malformed input request"),
    ({"messages": [{"role": "user", "content": [{"text": "a", "image": None}]}], "x": 1}, "unknown field `x`"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}, "unknown field `type`"),
    ({"messages": [{"role": "user", "content": [{}]}]}, "found none - at `messages.0.content.0`"),
    (
        {"messages": [{"role": "user", "content": [{"text": "a", "cachePoint": {"type": "default"}}]}]},
        "found text and cachePoint",
    ),
    ({"messages": [{"role": "user", "content": [{"cachePoint": {"type": "default"}}]}]}, "nothing stands before"),
    ({"messages": [{"role": "user", "content": [{"text": "\n"}]}]}, "is blank"),
    ({"messages": [{"role": "user", "content": [{"video": {}}]}]}, "content.0.video: this model doesn't support"),
    (
        {"messages": [{"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": "%"}}}]}]},
        "Malformed input request",
    ),
    (
        {
            "messages": [
                {"role": "user", "content": [{"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b"}}}}]}
            ]
        },
        "s3Location: is not supported",
    ),
    (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"toolResult": {"toolUseId": "a", "content": [{"text": "a"}]}}],
                }
            ]
        },
        "The toolConfig field must be defined",
    ),
    ({"messages": HELLO, "inferenceConfig": {"max_tokens": 5}}, "unknown field `max_tokens`"),
    ({"messages": HELLO, "inferenceConfig": {"maxTokens": 0}}, "Malformed input request"),
    ({"messages": HELLO, "max_tokens": 5}, "unknown field `max_tokens`"),
    ({"messages": HELLO, "guardrailConfig": {}}, "guardrailConfig: is not simulated"),
    ({"messages": HELLO, "toolConfig": {"tools": []}}, "Malformed input request"),
    ({"messages": HELLO, "toolConfig": {"tools": [{"systemTool": {"name": "a"}}]}}, "systemTool: is not supported"),
    ({"messages": HELLO, "additionalModelRequestFields": {"max_tokens": 5}}, "field max_tokens conflicts"),
    ({"messages": HELLO, "additionalModelRequestFields": {"messages": []}}, "field messages conflicts"),
    ({"messages": HELLO, "additionalModelRequestFields": [1]}, "additionalModelRequestFields"),
    ({"messages": HELLO, "additionalModelRequestFields": {"new": 1}}, "returned the following errors: new: Extra"),
    (
        {"messages": HELLO, "additionalModelRequestFields": {"anthropic_beta": ["new-2031-01-01"]}},
        "returned the following errors: invalid beta flag",
    ),
    (
        {
            "messages": HELLO,
            "outputConfig": {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": "{"}}}},
        },
        "is not JSON",
    ),
    ({}, "messages: at least one message is required"),
]  # fmt: skip


@pytest.fixture(scope="module")
def front() -> Front:
    catalogue = Catalogue.load()
    return Front(Simulator(SimulatorSettings(latency_scale=0.0), catalogue), catalogue, FaceOptions())


def posted(front: Front, body: bytes, path: str = f"/model/{OPUS}/converse") -> tuple[int, bytes]:
    response = front.handle("POST", path, b"", [(b"authorization", b"Bearer k")], body)
    assert (b"x-trimtab-simulated", b"true") in response.headers
    return response.status, b"".join(step for step in response.steps if isinstance(step, bytes))


@pytest.mark.parametrize(("body", "problem"), WRONG)
def test_what_is_wrong_with_a_request_is_said_in_awss_words(
    body: dict[str, Any], problem: str, front: Front
) -> None:
    status, answer = posted(front, json.dumps(body).encode())
    assert status == 400
    assert set(json.loads(answer)) == {"message"}
    assert problem in json.loads(answer)["message"]


def test_without_a_limit_the_models_own_holds(front: Front) -> None:
    assert posted(front, json.dumps({"messages": HELLO}).encode())[0] == 200


WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["text", "toolUse", "cachePoint", "content", "role", "type", "image"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
NAMES = st.sampled_from([field.encode_name for field in msgspec.structs.fields(Request)])


@given(body=st.dictionaries(NAMES, WILD, max_size=4), tail=st.binary(max_size=4), stream=st.booleans())
def test_whatever_comes_in_an_answer_goes_out(
    front: Front, body: dict[str, Any], tail: bytes, stream: bool
) -> None:
    path = f"/model/{OPUS}/converse{'-stream' * stream}"
    for content in (json.dumps(body).encode() + tail, json.dumps({"messages": HELLO, **body}).encode()):
        status, _ = posted(front, content, path)
        assert status in (200, 400)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"messages":' * 50_000])
def test_a_body_that_is_nested_too_deeply_is_refused(body: bytes, front: Front) -> None:
    assert posted(front, body)[0] == 400
