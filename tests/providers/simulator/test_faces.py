"""What a simulated platform refuses before any model is asked, as the platform would: for clients that are not ours."""

import base64
import json
import time
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import Catalogue
from trimtab.catalogue.model import Platform
from trimtab.providers.simulator import Simulator, SimulatorSettings
from trimtab.providers.simulator.faces import FACES, FaceOptions, Front
from trimtab.providers.simulator.faces.event_stream import chunk, exception
from trimtab.providers.simulator.script import read_script

ARN = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/ab12cd34ef56"
OPUS = "eu.anthropic.claude-opus-4-7"
MESSAGES = [{"role": "user", "content": "Hello"}]
IN_BEDROCK = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 16, "messages": MESSAGES}
IN_CONVERSE = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
PLAIN = {"model": "claude-opus-4-7", "max_tokens": 16, "messages": MESSAGES}
BEARER = {"authorization": "Bearer key"}
VERSION = {"anthropic-version": "2023-06-01"}
VERTEX = "/v1/projects/p/locations/europe-west1/publishers/anthropic/models"
IN_VERTEX = {"anthropic_version": "vertex-2023-10-16", "max_tokens": 16, "messages": MESSAGES}

Said = tuple[int, dict[str, str], bytes]


def front(
    script: str | None = None,
    only: Platform | None = None,
    catalogue: Catalogue | None = None,
    **options: Any,
) -> Front:
    found = catalogue or Catalogue.load()
    read = read_script(script.encode(), "s") if script else None
    simulator = Simulator(SimulatorSettings(latency_scale=0.0), found, script=read)
    return Front(simulator, found, FaceOptions(**options), only=only)


@pytest.fixture(scope="module")
def everything() -> Front:
    return front(models={ARN: "claude-haiku-4-5", "our-own": "claude-opus-4-7"})


def said(
    to: Front, path: str, body: Any, headers: dict[str, str] | None = None, method: str = "POST"
) -> Said:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = [
        (name.encode(), value.encode()) for name, value in (BEARER if headers is None else headers).items()
    ]
    response = to.handle(method, path, b"", named, content)
    found = {name.decode(): value.decode() for name, value in response.headers}
    assert found["x-trimtab-simulated"] == "true"
    return response.status, found, b"".join(step for step in response.steps if isinstance(step, bytes))


def refused_by_aws(answer: Said) -> tuple[int, str, str]:
    status, headers, body = answer
    message = json.loads(body)
    assert set(message) == {"message"}
    assert headers["x-amzn-requestid"]
    return status, headers["x-amzn-errortype"], message["message"]


def signed(
    path: str, body: bytes, *, service: str = "bedrock", region: str = "eu-west-1", secret: str = "secret"
) -> dict[str, str]:
    """The headers that AWS's own library makes."""
    request = AWSRequest("POST", f"http://127.0.0.1:1{path}", {"host": "127.0.0.1:1"}, body)
    SigV4Auth(Credentials("AKID", secret), service, region).add_auth(request)
    return {name.lower(): str(value) for name, value in request.headers.items()}


# InvokeModel


@pytest.mark.parametrize(
    ("model", "body", "problem"),
    [
        (OPUS, {**IN_BEDROCK, "model": "x"}, "model: Extra inputs are not permitted"),
        (OPUS, {**IN_BEDROCK, "stream": True}, "stream: Extra inputs are not permitted"),
        (OPUS, {"max_tokens": 16, "messages": MESSAGES}, "anthropic_version: Field required"),
        (OPUS, {**IN_BEDROCK, "anthropic_version": "2023-06-01"}, "is not a valid version"),
        (
            "eu.anthropic.claude-sonnet-4-6",
            {**IN_BEDROCK, "anthropic_version": "2026-10-21"},
            "is not a valid version for this model",
        ),
        (OPUS, {**IN_BEDROCK, "anthropic_beta": ["new-2031-01-01"]}, "invalid beta flag"),
        (OPUS, {**IN_BEDROCK, "anthropic_beta": "a"}, "anthropic_beta: Input should be a list of strings"),
        (
            OPUS,
            {"anthropic_version": "bedrock-2023-05-31", "messages": MESSAGES},
            "max_tokens: Field required",
        ),
        ("anthropic.claude-opus-4-7", IN_BEDROCK, "with on-demand throughput isn't supported"),
        ("eu.anthropic.claude-of-tomorrow", IN_BEDROCK, "The provided model identifier is invalid."),
        (OPUS, b"{", "is not valid JSON"),
        (OPUS, b"[" * 100_000, "nested too deeply"),
    ],
)
def test_invoke_model_says_what_is_wrong_in_awss_words(
    everything: Front, model: str, body: Any, problem: str
) -> None:
    status, kind, message = refused_by_aws(said(everything, f"/model/{model}/invoke", body))
    assert (status, kind) == (400, "ValidationException")
    assert problem in message


@pytest.mark.parametrize(
    "name",
    [
        ARN.replace("/", "%2F"),
        "arn:aws:bedrock:eu-west-1:123456789012:inference-profile%2Feu.anthropic.claude-opus-4-7",
        "global.anthropic.claude-opus-4-7",
        "global%2Eanthropic%2Eclaude-opus-4-7",
    ],
)
def test_arns_and_every_inference_profile_name_a_model(everything: Front, name: str) -> None:
    status, _, body = said(everything, f"/model/{name}/invoke", IN_BEDROCK)
    assert status == 200
    assert json.loads(body)["model"] == ("claude-haiku-4-5-20251001" if "ab12" in name else "claude-opus-4-7")


def test_tokens_are_counted_for_the_bare_model_only(everything: Front) -> None:
    inner = base64.b64encode(json.dumps(IN_BEDROCK).encode()).decode()
    body = {"input": {"invokeModel": {"body": inner}}}
    status, _, counted = said(everything, "/model/anthropic.claude-opus-4-7/count-tokens", body)
    assert (status, set(json.loads(counted))) == (200, {"inputTokens"})
    _, _, message = refused_by_aws(said(everything, f"/model/{OPUS}/count-tokens", body))
    assert message == "The provided model identifier is invalid."
    for wrong in ({"input": {"converse": {}}}, {"input": {"invokeModel": {"body": "%"}}}, {}):
        assert (
            refused_by_aws(said(everything, "/model/anthropic.claude-opus-4-7/count-tokens", wrong))[0] == 400
        )


def test_unknown_operations_are_not_there(everything: Front) -> None:
    for path in (f"/model/{OPUS}/dance", "/model/converse", f"/model/{OPUS}/converse/more"):
        assert refused_by_aws(said(everything, path, {}))[:2] == (404, "UnknownOperationException"), path


def test_a_body_over_bedrocks_limit_is_too_large(everything: Front) -> None:
    body = json.dumps({**IN_BEDROCK, "system": "x" * 21_000_000}).encode()
    assert refused_by_aws(said(everything, f"/model/{OPUS}/invoke", body))[0] == 413


@given(data=st.binary(max_size=500), name=st.text(st.characters(codec="utf-8"), max_size=80))
def test_frames_are_read_by_awss_own_library(data: bytes, name: str) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(chunk(data) + exception("throttlingException", name))
    one, other = buffer
    assert one.headers == {
        ":event-type": "chunk",
        ":content-type": "application/json",
        ":message-type": "event",
    }
    assert base64.b64decode(json.loads(one.payload)["bytes"]) == data
    assert (other.headers[":exception-type"], json.loads(other.payload)) == (
        "throttlingException",
        {"message": name},
    )


# Signatures


def test_a_signature_of_awss_own_library_is_good_and_another_secrets_is_not() -> None:
    to = front(aws_key=("AKID", "secret"), region="eu-west-1")
    path, body = f"/model/{ARN.replace('/', '%2F')}/invoke", json.dumps(IN_BEDROCK).encode()
    to = front(aws_key=("AKID", "secret"), region="eu-west-1", models={ARN: "claude-opus-4-7"})
    good = signed(path, body)
    assert said(to, path, body, good)[0] == 200
    for headers, content in (
        (signed(path, body, secret="other"), body),
        (good, body + b" "),
        ({**good, "host": "other"}, body),
    ):
        status, kind, message = refused_by_aws(said(to, path, content, headers))
        assert (status, kind) == (403, "InvalidSignatureException")
        assert message.startswith("The request signature we calculated does not match")


@pytest.mark.parametrize(
    ("change", "kind", "problem"),
    [
        ({"authorization": None}, "MissingAuthenticationTokenException", "Missing Authentication Token"),
        ({"authorization": "Basic x"}, "IncompleteSignatureException", "Unsupported AWS 'algorithm'"),
        ({"authorization": "Bearer "}, "AccessDeniedException", "Invalid API Key"),
        ({"authorization": "AWS4-HMAC-SHA256 x"}, "IncompleteSignatureException", "requires 'Credential'"),
        ({"x-amz-date": None}, "IncompleteSignatureException", "'X-Amz-Date'"),
        ({"x-amz-date": "yesterday"}, "IncompleteSignatureException", "basic format"),
        ({"x-amz-date": "20200101T000000Z"}, "InvalidSignatureException", "does not match YYYYMMDD"),
        ({"x-amz-target": "x"}, "InvalidSignatureException", "'x-amz-target' must be a signed header"),
    ],
)
def test_what_is_wrong_with_an_authorization_is_named(
    everything: Front, change: dict[str, str | None], kind: str, problem: str
) -> None:
    path, body = f"/model/{OPUS}/invoke", json.dumps(IN_BEDROCK).encode()
    headers = {name: value for name, value in {**signed(path, body), **change}.items() if value is not None}
    status, named, message = refused_by_aws(said(everything, path, body, headers))
    assert (status, named) == (403, kind)
    assert problem in message


@pytest.mark.parametrize(
    ("was", "now", "problem"),
    [
        ("/bedrock/", "/s3/", "correct service: 'bedrock'"),
        ("/eu-west-1/", "/EU/", "valid region"),
        ("/aws4_request", "", "5 slash-delimited"),
        ("SignedHeaders=host;x-amz-date", "SignedHeaders=x-amz-date;host", "in order"),
        ("SignedHeaders=host;x-amz-date", "SignedHeaders=host", "'x-amz-date' must be a signed header"),
        ("SignedHeaders=host;", "SignedHeaders=accept;host;", "not among the headers"),
        ("Signature=", "Signature=z", "64 hexadecimal"),
    ],
)
def test_every_part_of_a_signature_is_looked_at_also_without_a_secret(
    everything: Front, was: str, now: str, problem: str
) -> None:
    path, body = f"/model/{OPUS}/invoke", json.dumps(IN_BEDROCK).encode()
    headers = signed(path, body)
    assert was in headers["authorization"]
    headers["authorization"] = headers["authorization"].replace(was, now)
    assert problem in refused_by_aws(said(everything, path, body, headers))[2]


def test_a_signature_is_good_for_five_minutes() -> None:
    now = time.time()
    catalogue = Catalogue.load()
    simulator = Simulator(SimulatorSettings(latency_scale=0.0), catalogue)
    path, body = f"/model/{OPUS}/invoke", json.dumps(IN_BEDROCK).encode()
    headers = signed(path, body)
    for later, status in ((240, 200), (-240, 200), (400, 403), (-400, 403)):
        to = Front(simulator, catalogue, clock=lambda later=later: now + later)  # type: ignore[misc]
        assert said(to, path, body, headers)[0] == status, later


# The others


def test_claude_on_aws_wants_a_workspace_and_mantle_an_id_of_its_own(everything: Front) -> None:
    body = json.dumps(PLAIN).encode()
    headers = VERSION | signed("/v1/messages", body, service="aws-external-anthropic")
    status, _, answer = said(everything, "/v1/messages", body, headers)
    assert (status, json.loads(answer)["error"]["message"]) == (
        400,
        "anthropic-workspace-id: header is required",
    )
    assert said(everything, "/v1/messages", body, headers | {"anthropic-workspace-id": "wrkspc_1"})[0] == 200
    path = "/anthropic/v1/messages"
    headers = VERSION | signed(path, body, service="bedrock-mantle")
    assert said(everything, path, body, headers)[0] == 404
    body = json.dumps({**PLAIN, "model": "anthropic.claude-opus-4-7"}).encode()
    assert said(everything, path, body, VERSION | signed(path, body, service="bedrock-mantle"))[0] == 200
    assert said(everything, path, body, VERSION | BEARER)[0] == 200
    assert refused_by_aws(said(everything, path, body, VERSION | signed(path, body)))[0] == 403


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "google"),
    [
        (f"{VERTEX}/claude-opus-4-7:rawPredict", IN_VERTEX, {}, 401, "UNAUTHENTICATED"),
        (
            f"{VERTEX}/claude-opus-4-7:rawPredict",
            IN_VERTEX,
            {"authorization": "Basic x"},
            401,
            "UNAUTHENTICATED",
        ),
        (f"{VERTEX}/claude-of-tomorrow:rawPredict", IN_VERTEX, BEARER, 404, "NOT_FOUND"),
        (f"{VERTEX}/claude-opus-4-7:predict", IN_VERTEX, BEARER, 404, "NOT_FOUND"),
        (f"{VERTEX[:-7]}:rawPredict", IN_VERTEX, BEARER, 404, "NOT_FOUND"),
        (f"{VERTEX}/claude-opus-4-7:rawPredict", {**IN_VERTEX, "model": "x"}, BEARER, 400, ""),
        (f"{VERTEX}/claude-opus-4-7:rawPredict", {**IN_VERTEX, "stream": True}, BEARER, 400, ""),
        (f"{VERTEX}/claude-opus-4-7:rawPredict", {**IN_VERTEX, "anthropic_version": "x"}, BEARER, 400, ""),
        (f"{VERTEX}/claude-opus-4-7:rawPredict", PLAIN | {"model": None}, BEARER, 400, ""),
        (f"{VERTEX}/claude-opus-4-7:rawPredict", IN_VERTEX, BEARER, 200, ""),
        (f"{VERTEX}/claude-opus-4-5%4020251101:rawPredict", IN_VERTEX, BEARER, 200, ""),
    ],
)
def test_vertex_says_its_own_in_googles_words_and_the_models_in_the_vendors(
    everything: Front, path: str, body: Any, headers: dict[str, str], status: int, google: str
) -> None:
    found, _, answer = said(everything, path, body, headers)
    assert found == status, answer
    error = json.loads(answer).get("error", {})
    if google:
        assert (error["code"], error["status"]) == (status, google)
    elif status == 400:
        assert error["type"] == "invalid_request_error"


def test_foundry_knows_deployments_and_keys(everything: Front) -> None:
    path = "/anthropic/v1/messages"
    status, _, body = said(everything, path, PLAIN, VERSION)
    assert (status, json.loads(body)["error"]["code"]) == (401, "401")
    for key in ({"api-key": "k"}, {"x-api-key": "k"}, BEARER):
        assert said(everything, path, PLAIN, VERSION | key)[0] == 200
    assert said(everything, path, {**PLAIN, "model": "our-own"}, VERSION | BEARER)[0] == 200
    status, _, body = said(everything, path, {**PLAIN, "model": "unknown"}, VERSION | BEARER)
    assert (status, json.loads(body)["error"]["code"]) == (404, "DeploymentNotFound")


def test_the_claude_api_is_there_beside_them(everything: Front) -> None:
    assert said(everything, "/v1/messages", PLAIN, VERSION)[0] == 200
    assert said(everything, "/v1/models/claude-opus-4-7", b"", VERSION, "GET")[0] == 200


@pytest.mark.parametrize("only", FACES)
def test_one_platform_alone_answers_nobody_elses_addresses(only: Platform) -> None:
    to = front(only=only)
    headers = VERSION | BEARER | {"anthropic-workspace-id": "wrkspc_1", "api-key": "k"}
    requests = {
        "/v1/messages": (("anthropic", "anthropic_on_aws"), PLAIN),
        "/anthropic/v1/messages": (("foundry",), PLAIN),
        f"/model/{OPUS}/invoke": (("bedrock",), IN_BEDROCK),
        f"/model/{OPUS}/converse": (("bedrock_converse",), IN_CONVERSE),
        "/model/anthropic.claude-opus-4-7/count-tokens": (
            ("bedrock", "bedrock_converse"),
            {"input": {"converse": IN_CONVERSE}},
        ),
        f"{VERTEX}/claude-opus-4-7:rawPredict": (("vertex",), IN_VERTEX),
    }
    for path, (answering, body) in requests.items():
        status, _, answer = said(to, path, body, headers)
        assert (status == 200) is (only in answering), (path, answer)
    mantle = said(to, "/anthropic/v1/messages", {**PLAIN, "model": "anthropic.claude-opus-4-7"}, headers)
    assert (mantle[0] == 200) is (only == "bedrock_mantle")


PATHS = st.sampled_from(
    [
        f"/model/{OPUS}/invoke",
        f"/model/{OPUS}/invoke-with-response-stream",
        "/model/anthropic.claude-opus-4-7/count-tokens",
        "/anthropic/v1/messages",
        f"{VERTEX}/claude-opus-4-7:streamRawPredict",
        f"{VERTEX}/count-tokens:rawPredict",
        "/v1/messages",
    ]
)
WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.dictionaries(
    st.sampled_from(
        [*IN_BEDROCK, "model", "stream", "anthropic_beta", "tools", "system", "input", "output_config"]
    ),
    WILD,
    max_size=5,
)


@given(path=PATHS, fields=FIELDS, authorization=st.text(max_size=60), tail=st.text(max_size=6))
def test_whatever_comes_in_an_answer_goes_out(
    everything: Front, path: str, fields: Any, authorization: str, tail: str
) -> None:
    body = json.dumps({**IN_BEDROCK, **fields}).encode() + tail.encode("utf-8", "replace")
    for given_ in (b"Bearer k", b"AWS4-HMAC-SHA256 " + authorization.encode("utf-8", "replace")):
        response = everything.handle("POST", path, b"", [(b"authorization", given_)], body)
        assert 200 <= response.status < 600
        list(response.steps)
        assert (b"x-trimtab-simulated", b"true") in response.headers


# Known rates

RATES = """
version: 1
rules:
- match: {contains: invoice, effort: low, share: 0.3}
  reply: {text: "{broken", usage: {input_tokens: 90, output_tokens: 9}}
cases:
- {contains: invoice, answer: R, wrong: [W], chance: {"claude-opus-4-7@low": 0.4, "*": 0.8}}
"""


def test_the_same_questions_are_answered_right_whatever_platform_asks() -> None:
    to = front(RATES)
    chat = "/v1/chat/completions"

    def text_of(path: str, body: Any, question: str) -> str:
        made = json.loads(json.dumps(body).replace("Hello", question))
        headers = VERSION if path == "/v1/messages" else None
        status, _, answer = said(to, path, made, headers)
        assert status == 200, answer
        found = json.loads(answer)
        if path == chat:
            return str(found["choices"][0]["message"]["content"])
        return str((found.get("output", {}).get("message") or found)["content"][0]["text"])

    for low in (False, True):
        config = {"output_config": {"effort": "low"}} if low else {}
        ways = (
            ("/v1/messages", {**PLAIN, **config}),
            (f"/model/{OPUS}/invoke", {**IN_BEDROCK, **config}),
            (
                f"/model/{OPUS}/converse",
                {**IN_CONVERSE, **({"additionalModelRequestFields": config} if low else {})},
            ),
            (f"{VERTEX}/claude-opus-4-7:rawPredict", {**IN_VERTEX, **config}),
            (chat, {**PLAIN, **({"reasoning_effort": "low"} if low else {})}),
        )
        answers = [[text_of(path, body, f"Invoice {n}") for path, body in ways] for n in range(40)]
        assert all(len(set(one)) == 1 for one in answers), answers
        found = [one[0] for one in answers]
        assert 5 <= found.count("{broken") <= 20 if low else "{broken" not in found
        assert (8 if low else 25) <= found.count("R") < (20 if low else 40)


def test_a_chat_request_gets_json_that_fits_its_schema_and_an_effort_that_its_model_has() -> None:
    to = front(RATES)
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
    named = {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": {**schema, "additionalProperties": False}},
    }
    asked = {**PLAIN, "messages": [{"role": "user", "content": "Invoice 1"}], "response_format": named}

    def content(**more: Any) -> Any:
        status, _, body = said(to, "/v1/chat/completions", {**asked, **more})
        assert status == 200, body
        return json.loads(json.loads(body)["choices"][0]["message"]["content"])

    assert content() in ({"answer": "R"}, {"answer": "W"})
    assert content(model="claude-haiku-4-5", reasoning_effort="low") in ({"answer": "R"}, {"answer": "W"})
    for wrong in ({"type": "json_schema"}, {"type": "json_schema", "json_schema": {"name": "a"}}):
        status, _, body = said(to, "/v1/chat/completions", {**asked, "response_format": wrong})
        assert (status, "response_format" in json.loads(body)["error"]["message"]) == (400, True)
