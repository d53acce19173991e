"""The same request on every platform: what the program wrote arrives, in the form of that platform and no other."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pytest
from raw_client import Client
from scripted_upstream import Received, Upstream, whole

from trimtab.admin import Actor, NewKey
from trimtab.app import opened_key_door

OPUS, SONNET, HAIKU = "claude-opus-4-7", "claude-sonnet-4-6", "claude-haiku-4-5"
SIGNED_EMPTY = '{"type":"thinking","thinking":"","signature":"EqoBCkgIBxABGAIqQA=="}'
SIGNED = '{"signature":"EqoBCkgIBxABGAIqQB+/==","type":"thinking", "thinking":"Lisbon\\u2026 is 港, 🚢"}'
REDACTED = '{"type":"redacted_thinking","data":"EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIw"}'
USE = '{"type":"tool_use","id":"toolu_01","name":"get_weather","input":{"city":"Lisbon","units":[1.0, 1E2]}}'
RESULT = '{"type":"tool_result","tool_use_id":"toolu_01","content":"sunny"}'
LOOP = f"[{SIGNED_EMPTY},{REDACTED}, {SIGNED},\n {USE}]"
FINAL = b'{"id":"msg_2","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Sunny."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":20,"output_tokens":4}}'


class Way(NamedTuple):
    """How a platform has the vendor's API."""

    path: str
    """Of `{model}`."""
    count_path: str
    version: str | None = None
    """`anthropic_version` in the body, for those that have the model in the address."""
    ids: str = "{}"
    filters: bool = False
    """Whether it refuses betas that it does not know."""


WAYS = {
    "aws": Way("/v1/messages", "/v1/messages/count_tokens"),
    "foundry": Way("/anthropic/v1/messages", "/anthropic/v1/messages/count_tokens"),
    "mantle": Way(
        "/anthropic/v1/messages", "/anthropic/v1/messages/count_tokens", ids="anthropic.{}", filters=True
    ),
    "bedrock": Way(
        "/model/{model}/invoke",
        "/model/anthropic.claude-opus-4-7/count-tokens",
        "bedrock-2023-05-31",
        "eu.anthropic.{}",
        True,
    ),
    "vertex": Way(
        "/v1/projects/p-1/locations/global/publishers/anthropic/models/{model}:rawPredict",
        "/v1/projects/p-1/locations/global/publishers/anthropic/models/count-tokens:rawPredict",
        "vertex-2023-10-16",
        filters=True,
    ),
}
"""The entries of the server's configuration. `bedrock` and `vertex` carry model and version elsewhere than the vendor."""


def section(upstream: Upstream, secret: str) -> str:
    kinds = {
        "aws": f'kind = "anthropic_on_aws"\nregion = "us-west-2"\nworkspace = "wrkspc_1"\napi_key = "{secret}"\nbase_url = "{upstream.url}"\n',
        "foundry": f'kind = "foundry"\napi_key = "{secret}"\nbase_url = "{upstream.url}/anthropic"\n',
        "mantle": f'kind = "bedrock"\nendpoint = "mantle"\nregion = "eu-west-1"\napi_key = "{secret}"\nbase_url = "{upstream.url}/anthropic"\n',
        "bedrock": f'kind = "bedrock"\nregion = "eu-west-1"\napi_key = "{secret}"\nbase_url = "{upstream.url}"\n',
        "vertex": f'kind = "vertex"\nregion = "global"\nproject = "p-1"\naccess_token = "{secret}"\nbase_url = "{upstream.url}"\n',
    }
    return "".join(f"[platforms.{name}]\n{text}" for name, text in kinds.items())


@pytest.fixture(scope="module")
def everywhere(
    started: Callable[..., Any], upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """A server with every platform, and a key for each that may use that one only."""
    secret = tmp_path_factory.mktemp("secret") / "key"
    secret.write_text("key-of-the-platform")
    gateway = started(
        store_options="batch_ms = 5\n",
        server_options="require_keys = true\n",
        options=section(upstream, f"file:{secret}"),
    )
    gateway.keys = {}
    with opened_key_door(gateway.site.config, create=True) as door:
        for name in WAYS:
            made = door.admin.add(Actor("tests"), NewKey(name=name, platforms=(name,)))
            gateway.keys[name] = made.secret.reveal()
    return gateway


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def at(everywhere: Any, way: str) -> Iterator[Client]:
    """A program whose requests go to one platform."""
    client = Client(everywhere.site.port, everywhere.keys[way])
    yield client
    client.close()


def body_of(model: str, extra: str = "", messages: str = '[{"role":"user","content":"hi"}]') -> bytes:
    return f'{{"max_tokens":4096,{extra} "model": "{model}","messages":{messages}}}'.encode()


def as_sent(name: str, model: str, extra: str = "", **more: str) -> bytes:
    """The bytes that a platform must get for `body_of`."""
    said = WAYS[name]
    body = body_of(said.ids.format(model), extra, **more)
    if said.version is not None:
        body = body_of("MODEL", extra, **more)
        body = body.replace(b'"model": "MODEL"', f'"anthropic_version":"{said.version}"'.encode())
    return body


def answers(_: Received) -> Iterable[bytes]:
    return whole(FINAL)


PASSES = "low medium high xhigh max"
EFFORTS = {
    OPUS: PASSES,
    SONNET: "low medium high high max",
    HAIKU: "- - - - -",
}
"""What becomes of low, medium, high, xhigh and max of a request that leaves the model to us; "-": removed."""


def test_an_effort_arrives_on_every_platform_or_is_said_to_have_become_another(
    everywhere: Any, at: Client, way: str, upstream: Upstream
) -> None:
    """Complaint 3, effort dropped or refused, platform by platform: "Extra inputs are not permitted" on Bedrock, gone on
    others (litellm#27074, claude-code-action#1005). Every model and level: `tests/normaliser/test_effort_matrix.py`."""
    upstream.answer = answers
    tiers = {"trimtab/escalation": OPUS, "trimtab/default": SONNET, "trimtab/fast": HAIKU}
    for tier, model in tiers.items():
        for effort, becomes in zip(PASSES.split(), EFFORTS[model].split(), strict=True):
            if way == "mantle" and model == SONNET:
                continue  # it does not serve this one
            config = f'"output_config":{{"effort":"{effort}"}},'
            answer = at.post(body_of(tier, config))
            assert answer.status == 200, answer
            sent = json.loads(upstream.received[-1].body).get("output_config")
            told = answer.named.get("x-trimtab-adaptations", "")
            assert sent == (None if becomes == "-" else {"effort": becomes})
            assert ("output_config.effort" in told) == (becomes != effort)
            if model == OPUS:
                at.post(body_of(OPUS, config))
                assert upstream.received[-1].body == as_sent(way, OPUS, config)
    at.post(body_of(OPUS, '"output_config":{"effort":"huge"},'))
    assert b'{"effort":"huge"}' in upstream.received[-1].body, "the platform refuses it, and is heard"


def test_betas_that_a_platform_would_refuse_stay_here_and_those_that_it_knows_go_there_once(
    at: Client, way: str, upstream: Upstream
) -> None:
    """Complaint 4, `anthropic-beta` handled both ways: stripped from all, and features broke; forwarded to all, and Bedrock
    and Vertex answered 400; in header and body both (agentgateway#1777, llm-gateway#2910, ai-gateway#2411, aibridge#226,
    bifrost#2411)."""
    upstream.answer = answers
    asked = "oauth-2025-04-20,compact-2026-01-12, files-api-2025-04-14,context-1m-2025-08-07"
    known = "compact-2026-01-12,context-1m-2025-08-07"
    answer = at.post(body_of(OPUS), [("anthropic-beta", asked)])
    assert answer.status == 200
    request = upstream.received[-1]
    told = answer.named.get("x-trimtab-adaptations")
    assert (told or "").split(", ") == (at.record(answer.id).get("adaptations") or [""])
    if not WAYS[way].filters:
        assert request.values(b"anthropic-beta") == [asked.encode()], "as it was written"
        assert request.body == as_sent(way, OPUS)
        assert told is None
        return
    assert told == "anthropic-beta=-oauth-2025-04-20, anthropic-beta=-files-api-2025-04-14"
    carried = json.loads(request.body).get("anthropic_beta")
    if way == "bedrock":
        assert (carried, request.values(b"anthropic-beta")) == (known.split(","), [])
    else:
        assert (carried, request.values(b"anthropic-beta")) == (None, [known.encode()])


def test_a_replayed_tool_loop_arrives_in_order_and_to_the_byte_where_the_model_is_in_the_address_too(
    at: Client, way: str, upstream: Upstream
) -> None:
    """Complaint 5, a 400 in the second turn on Bedrock and Vertex: signed, redacted and empty thinking was dropped, moved or
    rebuilt where a body was translated (litellm#15601, litellm#18926, bifrost#6342)."""
    upstream.answer = answers
    turn = f'{{"role":"assistant","content":{LOOP}}},{{"role":"user","content":[{RESULT}]}}'
    messages = f'[{{"role":"user","content":"The weather in Lisbon?"}}, {turn},{turn}]'
    extra = '"thinking":{"type":"adaptive", "display":"omitted"},"tools":[{"name":"get_weather","input_schema":{"type":"object"}}],'
    for model in (OPUS, "trimtab/escalation"):
        answer = at.post(body_of(model, extra, messages=messages))
        assert (answer.status, answer.body) == (200, FINAL)
        assert upstream.received[-1].body == as_sent(way, OPUS, extra, messages=messages)
        assert "x-trimtab-adaptations" not in answer.named


def test_the_cached_prefix_is_the_same_bytes_in_the_same_order_on_every_platform_turn_after_turn(
    at: Client, way: str, upstream: Upstream
) -> None:
    """Complaint 7, the prompt cache is never hit: `messages` went before `system` and `tools` on Vertex, and `cache_control`
    was lost in a rewrite (litellm#36079, litellm#35908, litellm#33281)."""
    upstream.answer = answers
    cached = '"cache_control" : {"ttl":"1h","type":"ephemeral"}'
    extra = (
        f'"tools": [{{"name":"b","input_schema":{{"type":"object","properties":{{"z":{{}},"a":{{}}}}}}, {cached}}}],\n'
        f'"system":[{{"text":"You are \\u00e9\\/brief.","type":"text",{cached}}}],'
    )
    prefix = as_sent(way, OPUS, extra)[: -len(b'{"role":"user","content":"hi"}]}')]
    turns = '{"role":"user","content":"hi"}'
    for _ in range(4):
        answer = at.post(body_of(OPUS, extra, messages=f"[{turns}]"))
        assert answer.status == 200
        sent = upstream.received[-1].body
        assert sent == as_sent(way, OPUS, extra, messages=f"[{turns}]")
        assert sent.startswith(prefix)
        turns += ', {"role":"assistant","content":"Yes."},{"role":"user","content":"and?"}'
    betas = [("anthropic-beta", "task-budgets-2026-03-13")]
    budget = '"output_config":{"task_budget":{"type":"tokens","total":64000}},'
    at.post(body_of(OPUS, budget + extra, messages=f"[{turns}]"), betas)
    if way != "aws":  # the vendor's own, which has task budgets
        assert upstream.received[-1].body == as_sent(way, OPUS, extra, messages=f"[{turns}]")


def test_tokens_are_counted_by_the_platform_that_would_answer_and_its_errors_keep_the_vendors_shape(
    at: Client, way: str, upstream: Upstream
) -> None:
    """Complaint 8, `count_tokens` is missing, goes to another platform, or fails in another shape (otari#124,
    vercel/ai#17326, ai-gateway#2546)."""
    count = b'{"inputTokens":77}' if way == "bedrock" else b'{"input_tokens":77}'
    upstream.answer = lambda _: whole(count)
    asked = b'{"messages":[{"role":"user","content":"hi"}], "model":"claude-opus-4-7"}'
    answer = at.post(asked, path="/v1/messages/count_tokens")
    assert answer.status == 200
    assert json.loads(answer.body) == {"input_tokens": 77}
    assert upstream.received[-1].target.decode() == WAYS[way].count_path
    at.post(body_of(OPUS))
    model = WAYS[way].ids.format(OPUS)
    assert upstream.received[-1].target.decode() == WAYS[way].path.format(model=model)
    refusals = {
        "bedrock": (b'{"message":"messages: at least one message is required"}', b"x-amzn-errortype: ValidationException"),
        "vertex": (b'{"error":{"code":400,"message":"messages: at least one message is required","status":"INVALID_ARGUMENT"}}', b"x-of: google"),
        "foundry": (b'{"error":{"code":"BadRequest","message":"messages: at least one message is required"}}', b"x-of: azure"),
    }  # fmt: skip
    vendors = b'{"type":"error","error":{"type":"invalid_request_error","message":"messages: at least one message is required"},"request_id":"req_1"}'
    body, header = refusals.get(way, (vendors, b"request-id: req_1"))
    upstream.answer = lambda _: whole(body, header, status=b"400 Bad Request")
    refused = at.post(asked, path="/v1/messages/count_tokens")
    told = json.loads(refused.body)
    assert (refused.status, told["type"], told["error"]["type"]) == (400, "error", "invalid_request_error")
    assert "at least one message is required" in told["error"]["message"]


def test_a_restart_of_the_gateway_changes_no_byte_of_the_cached_prefix(
    started: Callable[..., Any], upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Complaint 7, the prompt cache is lost when the gateway starts anew (litellm#36079, litellm#35908)."""
    upstream.answer = answers
    secret = tmp_path_factory.mktemp("secret") / "key"
    secret.write_text("key-of-the-platform")
    gateway = started(
        store_options="batch_ms = 5\n",
        server_options="require_keys = true\n",
        options=section(upstream, f"file:{secret}"),
    )
    with opened_key_door(gateway.site.config, create=True) as door:
        made = door.admin.add(Actor("tests"), NewKey(name="v", platforms=("vertex",)))
    extra = (
        '"system":[{"text":"You are \\u00e9\\/brief.", "type":"text","cache_control":{"type":"ephemeral"}}],'
    )
    seen = []
    for _ in range(2):
        client = Client(gateway.site.port, made.secret.reveal())
        try:
            assert client.post(body_of("trimtab/escalation", extra)).status == 200
        finally:
            client.close()
        seen.append(upstream.received[-1].body)
        assert gateway.site.stop() == 0
        gateway.site.start()
    assert seen == [as_sent("vertex", OPUS, extra)] * 2
