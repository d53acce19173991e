"""What the model is sent is what the program wrote: no reasoning lost, nothing dropped, nothing of ours added."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from raw_client import Answer, Client
from scripted_upstream import Received, Upstream, streamed, whole
from telemetry_collector import Collector, collecting

OPUS = "claude-opus-4-7"
SIGNED_EMPTY = '{"type":"thinking","thinking":"","signature":"EqoBCkgIBxABGAIqQA=="}'
SIGNED = '{"type":"thinking", "thinking":"Lisbon\\u2026 is 港, 🚢", "signature":"EqoBCkgIBxABGAIqQB+/=="}'
REDACTED = '{"type":"redacted_thinking","data":"EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIw"}'
TEXT = '{"type":"text","text":"I will look."}'
USE = '{"type":"tool_use","id":"toolu_01","name":"get_weather","input":{"city":"Lisbon","units":[1.0, 1E2]}}'
RESULT = '{"type":"tool_result","tool_use_id":"toolu_01","content":"sunny"}'
LOOP = f"[{SIGNED_EMPTY},{REDACTED}, {SIGNED},\n {TEXT},{USE}]"
"""One assistant turn with every kind of thinking, written as no encoder of ours would write it."""
FINAL = b'{"id":"msg_2","type":"message","role":"assistant","model":"claude-opus-4-7","content":[{"type":"text","text":"Sunny."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":20,"output_tokens":4}}'
BETA = "task-budgets-2026-03-13"


def turns(*assistant: str, model: str = OPUS, extra: str = "") -> bytes:
    """A conversation with these assistant turns, each answered by a tool's result."""
    later = "".join(
        f', {{"role":"assistant","content":{content}}},{{"role":"user","content":[{RESULT}]}}'
        for content in assistant
    )
    return (
        f'{{"max_tokens":4096,{extra}"thinking":{{"type":"adaptive", "display":"omitted"}},"model": "{model}",'
        f'"messages":[{{"role":"user","content":"The weather in Lisbon?"}}{later}]}}'
    ).encode()


def event(kind: str, content: str) -> bytes:
    return f'event: {kind}\ndata: {{"type":"{kind}",{content}}}\n\n'.encode()


def tool_turn() -> bytes:
    """The platform's answer whose content is `LOOP`."""
    return (
        f'{{"id":"msg_1","type":"message","role":"assistant","model":"{OPUS}","content":{LOOP},'
        f'"stop_reason":"tool_use","stop_sequence":null,"usage":{{"input_tokens":9,"output_tokens":60}}}}'
    ).encode()


def tool_turn_streamed() -> Iterator[bytes]:
    """The same as events, as the vendor sends them: a signature comes in a delta of its own."""
    yield event(
        "message_start",
        f'"message":{{"id":"msg_1","type":"message","role":"assistant","model":"{OPUS}","content":[],'
        '"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":1}}',
    )
    for index, block in enumerate(json.loads(LOOP)):
        deltas = []
        match block["type"]:
            case "thinking":
                start = {**block, "thinking": "", "signature": ""}
                if block["thinking"]:
                    deltas.append({"type": "thinking_delta", "thinking": block["thinking"]})
                deltas.append({"type": "signature_delta", "signature": block["signature"]})
            case "tool_use":
                start = {**block, "input": {}}
                deltas.append({"type": "input_json_delta", "partial_json": json.dumps(block["input"])})
            case "text":
                start = {**block, "text": ""}
                deltas.append({"type": "text_delta", "text": block["text"]})
            case _:
                start = block
        yield event("content_block_start", f'"index":{index},"content_block":{json.dumps(start)}')
        for delta in deltas:
            yield event("content_block_delta", f'"index":{index},"delta":{json.dumps(delta)}')
        yield event("content_block_stop", f'"index":{index}')
    yield event(
        "message_delta",
        '"delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":60}',
    )
    yield event("message_stop", '"x":0')


def final_streamed() -> Iterator[bytes]:
    yield event(
        "message_start",
        f'"message":{{"id":"msg_2","type":"message","role":"assistant","model":"{OPUS}","content":[],'
        '"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":20,"output_tokens":1}}',
    )
    yield event("content_block_start", '"index":0,"content_block":{"type":"text","text":""}')
    yield event("content_block_delta", '"index":0,"delta":{"type":"text_delta","text":"Sunny."}')
    yield event("content_block_stop", '"index":0')
    yield event(
        "message_delta", '"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":4}'
    )
    yield event("message_stop", '"x":0')


def answers_the_loop(request: Received) -> Iterable[bytes]:
    """A model that calls the tool once, unless there is none."""
    body = json.loads(request.body)
    calls = "tools" in body and "tool_result" not in request.body.decode()
    if body.get("stream"):
        return streamed(tool_turn_streamed() if calls else final_streamed())
    return whole(tool_turn() if calls else FINAL)


HISTORIES = {
    "signed without text": (f"[{SIGNED_EMPTY},{USE}]",),
    "signed without text, alone": (f"[{SIGNED_EMPTY}]",),
    "spaced and with more keys": (
        '[ {"signature" : "EqoB\\/A==" , "thinking":"", "type":"thinking", "new":null} , ' + USE + "]",
    ),
    "several in one turn": (f"[{SIGNED_EMPTY},{TEXT},{SIGNED_EMPTY},{USE}]",),
    "in every turn": (f"[{SIGNED_EMPTY},{USE}]",) * 5,
}


@pytest.mark.parametrize("kind", HISTORIES)
def test_reasoning_that_is_replayed_without_its_text_still_reaches_the_model(
    kind: str, client: Client, upstream: Upstream
) -> None:
    """Complaint 1, reasoning lost in silence: `{"type":"thinking","thinking":"","signature":S}` was stripped from
    replayed history (litellm#42550)."""
    upstream.answer = lambda _: whole(FINAL)
    body = turns(*HISTORIES[kind])
    assert client.post(body).status == 200
    assert upstream.received[-1].body == body
    named = turns(*HISTORIES[kind], model="trimtab/escalation")
    assert client.post(named).status == 200
    assert upstream.received[-1].body == body, "only the value of `model` may change"


def test_a_task_budget_and_settings_of_tomorrow_reach_the_model_turn_after_turn(
    client: Client, upstream: Upstream
) -> None:
    """Complaint 2, a setting dropped: `task_budget` was unknown to gateways, and a gateway that counted `remaining` down
    broke the prompt cache (litellm#25971, defog#275)."""
    upstream.answer = lambda _: whole(FINAL)
    config = '"output_config": {"task_budget":{"remaining":41000,"total":64000,"type":"tokens"},"effort":"high", "of_tomorrow":{"a":[1.0]}},'
    for turn in range(4):
        history = (f"[{SIGNED},{USE}]",) * turn
        for model in (OPUS, "trimtab/escalation"):
            answer = client.post(turns(*history, model=model, extra=config), [("anthropic-beta", BETA)])
            assert answer.status == 200
            assert upstream.received[-1].body == turns(*history, extra=config)
            assert upstream.received[-1].values(b"anthropic-beta") == [BETA.encode()]


def test_an_effort_that_is_added_leaves_a_task_budget_as_it_was(client: Client, upstream: Upstream) -> None:
    """Complaint 2, a setting dropped: what a gateway adds to `output_config` must not replace what is there
    (litellm#25971)."""
    upstream.answer = lambda _: whole(FINAL)
    budget = '"task_budget" : {"type":"tokens","total":64000,"remaining":41000},"of_tomorrow":[1.0]'
    body = turns(extra=f'"output_config":{{{budget}}},')
    answer = client.post(body, [("anthropic-beta", BETA), ("x-trimtab-effort", "xhigh")])
    assert answer.status == 200
    sent = upstream.received[-1].body
    assert budget.encode() in sent
    told = json.loads(sent)
    assert told["output_config"].pop("effort") == "xhigh"
    assert told == json.loads(body)


def test_a_task_budget_that_the_model_would_refuse_is_made_to_fit_and_named(
    client: Client, upstream: Upstream
) -> None:
    """Complaint 2, a 400 from the platform: less than the least budget, 20,000 tokens, and a budget without its beta, or
    with it twice (litellm#25971, defog#275). A tier's request is made to fit; a pinned one goes as it was written."""
    upstream.answer = lambda _: whole(FINAL)

    def config(total: int) -> str:
        return f'"output_config":{{"task_budget":{{"remaining":4000,"total":{total},"type":"tokens"}},"effort":"high"}},'

    def betas() -> list[str]:
        return [
            beta
            for value in upstream.received[-1].values(b"anthropic-beta")
            for beta in value.decode().split(",")
        ]

    for headers in ([], [("anthropic-beta", BETA)], [("anthropic-beta", f"of-tomorrow-2031-01-01,{BETA}")]):
        fitted = client.post(turns(model="trimtab/escalation", extra=config(5_000)), headers)
        assert fitted.status == 200
        assert upstream.received[-1].body == turns(extra=config(20_000)), "and `remaining` as it was"
        assert betas().count(BETA) == 1
        assert "task_budget.total=20000" in fitted.named["x-trimtab-adaptations"]
        told = ", ".join(client.record(fitted.id)["adaptations"])
        assert told == fitted.named["x-trimtab-adaptations"]
        assert (BETA in told) == (not headers), "a beta is named where it was added"
        pinned = client.post(turns(extra=config(5_000)), headers)
        assert upstream.received[-1].body == turns(extra=config(5_000))
        assert betas() == [beta for _, value in headers for beta in value.split(",")]
        assert "x-trimtab-adaptations" not in pinned.named


def test_a_tool_loop_with_thinking_of_every_kind_is_replayed_in_order_and_to_the_byte(
    client: Client, upstream: Upstream
) -> None:
    """Complaint 5, a 400 in the second turn: "Expected `thinking`, found `tool_use`" where thinking blocks were dropped,
    moved or rebuilt (litellm#15601, litellm#18926, bifrost#6342)."""
    upstream.answer = answers_the_loop
    tools = '"tools":[{"name":"get_weather","input_schema":{"type":"object"}}],'
    first = client.post(turns(extra=tools))
    assert first.body == tool_turn()
    streaming = client.post(turns(extra=tools + '"stream":true,'))
    assert streaming.body == b"".join(tool_turn_streamed())
    for model in (OPUS, "trimtab/escalation"):
        second = client.post(turns(LOOP, LOOP, model=model, extra=tools))
        assert (second.status, second.body) == (200, FINAL)
        assert upstream.received[-1].body == turns(LOOP, LOOP, extra=tools)


def test_an_agent_on_the_sdk_sends_the_model_the_same_bytes_as_without_a_gateway(
    run_sdk: Callable[..., dict[str, Any]], upstream: Upstream
) -> None:
    """Complaints 2 and 5, agents that fail only behind a gateway: the SDK's tool loops, by hand, streamed and by its tool
    runner, and a task budget with its beta (litellm#15601, litellm#25971)."""
    upstream.answer = answers_the_loop
    seen, sent = {}, {}
    for direct in (True, False):
        upstream.received.clear()
        seen[direct] = run_sdk("tool_loop", direct=direct)
        sent[direct] = list(upstream.received)
    assert seen[False] == seen[True]
    assert seen[True]["by_hand"] == [block["type"] for block in json.loads(LOOP)]
    assert [request.body for request in sent[False]] == [request.body for request in sent[True]]
    conversations = [json.loads(request.body)["messages"] for request in sent[False]]
    replayed = [messages[1]["content"] for messages in conversations if len(messages) == 3]
    # Newer tool runners continue a thread of the vendor's and send only the result.
    assert len(replayed) >= 2
    assert all(content == json.loads(LOOP) for content in replayed)
    assert [r.values(b"anthropic-beta") for r in sent[False]] == [
        r.values(b"anthropic-beta") for r in sent[True]
    ]
    hop = {b"connection", b"authorization", b"x-api-key"}
    assert [r.names() - hop for r in sent[False]] == [r.names() - hop for r in sent[True]]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def everything_on(started: Callable[..., Any], collector: Collector) -> Any:
    return started(
        store_options="batch_ms = 5\n",
        server_options="require_keys = true\nkeep_answers = true\nvalidate_streams = true\n",
        options=f'[telemetry]\nlog_format = "json"\naccess_log = true\notlp_endpoint = "{collector.url}"\n'
        'propagate = true\n[content]\nkeep = "full"\n[tiers]\ndefault = "claude-opus-4-7@high+adaptive"\n',
    )


def served(client: Client, body: bytes, headers: list[tuple[str, str]]) -> Answer:
    """An answer of the platform. A key with limits may be asked to come again where the store is slow."""
    for _ in range(50):
        answer = client.post(body, headers)
        if answer.status != 503:
            break
    assert answer.status == 200, answer
    return answer


def test_nothing_of_the_gateways_own_reaches_the_model_with_every_feature_on(
    everything_on: Any, upstream: Upstream
) -> None:
    """Complaint 6, a 400 for a field that nobody wrote: a router's `metadata._latency_per_deployment` went into the body
    (litellm#12083). Keys, limits, tags, sessions, idempotency, kept answers, kept content and traces are on."""
    upstream.answer = answers_the_loop
    key = everything_on.site.key("limited", concurrency=9, rpm=1000, usd=100.0)
    own = {
        "x-trimtab-session": "secret-session-7",
        "x-trimtab-tags": "secret-tag-8, red",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    client = Client(everything_on.site.port, key.secret)
    added = {
        b"host",
        b"content-length",
        b"x-api-key",
        b"content-type",
        b"anthropic-version",
        b"accept-encoding",
    }
    try:
        for number, stream in enumerate(("", '"stream":true,')):
            headers = [*own.items(), ("idempotency-key", f"once-{number}"), ("x-of-the-client", "yes")]
            config = stream + '"output_config":{"effort":"low"},'
            answer = served(client, turns(LOOP, model="trimtab/default", extra=config), headers)
            request = upstream.received[-1]
            assert request.body == turns(LOOP, extra=config)
            assert request.names() <= {*added, b"traceparent", b"idempotency-key", b"x-of-the-client"}
            seen = repr(request).lower().replace("trimtab/default", "")
            record = client.record(answer.id)
            for word in ("trimtab", "secret-", key.secret, key.id, answer.id, record["config_version"]):
                assert word.lower() not in seen
            assert record["tags"] == ["secret-tag-8", "red"], "what was kept from the platform is on record"
    finally:
        client.close()
