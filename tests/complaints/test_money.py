"""Every shape in which a platform reports usage costs what the vendor's price list says, to the nano-dollar.

The bills are worked out by hand: what is tried is the whole way from the platform's bytes to the key's spend. The
arithmetic alone: tests/catalogue/test_pricing.py.
"""

import json
import threading
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest
from raw_client import Aborted, Answer, Client
from scripted_upstream import CUT, Received, Upstream, streamed, whole

SONNET, OPUS = "claude-sonnet-4-6", "claude-opus-4-7"
MAX_TOKENS = 100


class Shape(NamedTuple):
    """What a platform says of one answer, and what that costs."""

    bill: int
    """Nano-dollars. Sonnet 4.6, a token: input 3,000, output 15,000, written for 5 minutes 3,750, for an hour 6,000, read
    300; Opus 4.7: 5,000, 25,000, 6,250, 10,000, 500."""
    usage: dict[str, Any]
    """Of the whole answer."""
    start: dict[str, Any]
    """Of its stream's `message_start`."""
    deltas: list[dict[str, Any]]
    """Of its stream's `message_delta`s, each cumulative."""
    model: str = SONNET


def same(bill: int, model: str = SONNET, **usage: Any) -> Shape:
    """A stream says the input at its start and the output at its end, as the vendor does."""
    usage = {"input_tokens": 10, "output_tokens": 5, **usage}
    start = {**usage, "output_tokens": min(usage["output_tokens"], 1)}
    start.pop("iterations", None)
    end = {k: usage[k] for k in ("output_tokens", "server_tool_use", "iterations") if k in usage}
    return Shape(bill, usage, start, [end], model)


def split(five: int, hour: int) -> dict[str, int]:
    return {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}


PLAIN = {"input_tokens": 1000, "output_tokens": 500}
SHAPES = {
    "plain": same(3_000_000 + 7_500_000, **PLAIN),
    "a few tokens of Opus": same(60_000 + 25_000, OPUS, input_tokens=12, output_tokens=1),
    "nothing": same(0, input_tokens=0, output_tokens=0),
    # Cache: litellm#9812 (twice), #11789 (reads at full price in streams), new-api#6353 (writes without a split free).
    "a cache that was not used": same(
        10_500_000,
        **PLAIN,
        cache_creation_input_tokens=0,
        cache_read_input_tokens=0,
        cache_creation=split(0, 0),
    ),
    "cache reads": same(30_000 + 30_000_000 + 75_000, cache_read_input_tokens=100_000),
    "cache reads of Opus": same(50_000 + 50_000_000 + 125_000, OPUS, cache_read_input_tokens=100_000),
    "cache writes, for 5 minutes and an hour": same(
        30_000 + 2_250_000 + 2_400_000 + 75_000,
        cache_creation_input_tokens=1000,
        cache_creation=split(600, 400),
    ),
    "cache writes, not said for how long": same(
        30_000 + 3_750_000 + 75_000, cache_creation_input_tokens=1000
    ),
    "cache writes, null for how long": same(
        30_000 + 3_750_000 + 75_000, cache_creation_input_tokens=1000, cache_creation=None
    ),
    "cache writes, no total": same(30_000 + 4_650_000 + 75_000, cache_creation=split(600, 400)),
    "cache written and read": same(
        9_000 + 7_500_000 + 15_000_000 + 105_000,
        input_tokens=3,
        output_tokens=7,
        cache_creation_input_tokens=2000,
        cache_creation=split(2000, 0),
        cache_read_input_tokens=50_000,
    ),
    # Thinking is a part of the output, not more of it.
    "thinking": same(
        60_000 + 12_000_000,
        input_tokens=20,
        output_tokens=800,
        output_tokens_details={"thinking_tokens": 700},
    ),
    # Server tools: litellm#42663 (iterations under-reported by 20 to 60 %).
    "web searches": same(
        300_000 + 750_000 + 30_000_000,
        input_tokens=100,
        output_tokens=50,
        server_tool_use={"web_search_requests": 3, "web_fetch_requests": 0},
    ),
    "web fetches": same(
        300_000 + 750_000,
        input_tokens=100,
        output_tokens=50,
        server_tool_use={"web_search_requests": 0, "web_fetch_requests": 4},
    ),
    "iterations of a server tool": same(
        2_500 * 3_000 + 70 * 15_000,
        input_tokens=1500,
        output_tokens=40,
        iterations=[
            {"type": "message", "input_tokens": 1000, "output_tokens": 30},
            {"type": "message", "input_tokens": 1500, "output_tokens": 40},
        ],
    ),
    "a compaction that the top level leaves out": same(
        10_050 * 3_000 + 510 * 15_000,
        input_tokens=50,
        output_tokens=10,
        iterations=[
            {"type": "compaction", "input_tokens": 10_000, "output_tokens": 500},
            {"type": "message", "input_tokens": 50, "output_tokens": 10},
        ],
    ),
    "a fallback to a dearer model": same(
        100 * 3_000 + 200 * 5_000 + 30 * 25_000,
        input_tokens=200,
        output_tokens=30,
        iterations=[
            {"type": "message", "model": SONNET, "input_tokens": 100, "output_tokens": 0},
            {"type": "fallback_message", "model": OPUS, "input_tokens": 200, "output_tokens": 30},
        ],
    ),
    "inference in the US": same(11_550_000, **PLAIN, inference_geo="us"),
    "fields of tomorrow, and nulls": same(
        10_500_000,
        **PLAIN,
        cache_creation_input_tokens=None,
        cache_read_input_tokens=None,
        server_tool_use=None,
        service_tier="standard",
        of_tomorrow={"tokens": [7]},
    ),
    # Streams: tensorzero#5481 and agent-framework#7143 (cumulative counts added up), otari#256 (metered as 0).
    "a stream that repeats its input": Shape(10_500_000, PLAIN, PLAIN | {"output_tokens": 1}, [PLAIN]),
    "a stream that counts up": Shape(
        10_500_000,
        PLAIN,
        PLAIN | {"output_tokens": 1},
        [{"output_tokens": 100}, {"output_tokens": 300}, {"output_tokens": 500}],
    ),
    "a stream that says nothing at its start": Shape(
        10_500_000, PLAIN, {"input_tokens": 0, "output_tokens": 0}, [PLAIN]
    ),
    "a stream that says its cache at its end": Shape(
        30_000 + 30_000_000 + 75_000,
        {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 100_000},
        {"input_tokens": 100_010, "output_tokens": 1},
        [{"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 100_000}],
    ),
}


def event(kind: str, **content: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **content}, separators=(',', ':'))}\n\n".encode()


def message(shape: Shape, usage: dict[str, Any], **content: Any) -> dict[str, Any]:
    kept = {"id": "msg_1", "type": "message", "role": "assistant", "model": shape.model}
    return {
        **kept,
        "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "."}],
        "usage": usage,
        **content,
    }


def delta(text: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


BLOCK = event("content_block_start", index=0, content_block={"type": "text", "text": ""})


def events(shape: Shape) -> list[bytes]:
    return [
        event("message_start", message=message(shape, shape.start, stop_reason=None, content=[])),
        BLOCK,
        delta("."),
        event("content_block_stop", index=0),
        *(event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage) for usage in shape.deltas),
        event("message_stop"),
    ]


def reported(shape: Shape, stream: bool) -> Iterable[bytes]:
    if stream:
        return streamed(events(shape))
    return whole(json.dumps(message(shape, shape.usage)).encode())


def ask(client: Client, shape: Shape, *, stream: bool, name: str = "", **more: Any) -> Answer:
    asked = {
        "model": shape.model,
        "max_tokens": MAX_TOKENS,
        "messages": [{"role": "user", "content": name or "?"}],
    }
    return client.post(json.dumps({**asked, "stream": stream, **more}).encode())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_of_usage_costs_what_the_price_list_says(
    name: str, stream: bool, client: Client, upstream: Upstream
) -> None:
    """Complaints 20, 21 and 22, wrong bills: cache tokens twice, at full price or free, server tools left out, streams
    metered as nothing or twice (litellm#9812, litellm#11789, litellm#42663, otari#256, tensorzero#5481)."""
    shape = SHAPES[name]
    upstream.answer = lambda _: reported(shape, stream)
    answer = ask(client, shape, stream=stream)
    assert answer.status == 200
    record = client.record(answer.id)
    assert record["cost_nanousd"] == shape.bill
    (attempt,) = record["attempts"]
    assert (attempt.get("cost_nanousd", 0), attempt["cost_source"]) == (shape.bill, "reported")
    if not stream:
        dollars, _, nano = answer.named["x-trimtab-cost-usd"].partition(".")
        assert int(dollars) * 10**9 + int(nano) == shape.bill


CUT_STREAMS: dict[str, tuple[int, int, str, list[bytes], dict[str, Any]]] = {
    # Input as reported; output no less than what was seen (a byte of text is a token at most) and no more than was asked
    # for, all of it where there may be thinking: docs/decisions/0004-what-a-cut-call-costs.md.
    "in its text": (20, MAX_TOKENS - 1, "estimated", [BLOCK, delta("x" * 20)], {}),
    "in its text, thinking on": (
        MAX_TOKENS,
        MAX_TOKENS,
        "estimated",
        [BLOCK, delta("x" * 20)],
        {"thinking": {"type": "adaptive"}},
    ),
    "before its text": (1, 1, "estimated", [], {}),
    "after its last usage": (
        33,
        33,
        "reported",
        [
            BLOCK,
            delta("x"),
            event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 33}),
        ],
        {},
    ),
}


@pytest.mark.parametrize("name", CUT_STREAMS)
def test_a_stream_that_was_cut_is_never_billed_as_nothing(
    name: str, client: Client, upstream: Upstream
) -> None:
    """Complaint 21, streams metered as 0: one that never told its last usage is billed by what was seen of it, at most by
    what it could have come to, and says that this is an estimate (otari#256)."""
    least, most, source, seen, more = CUT_STREAMS[name]
    shape = same(0, input_tokens=12)
    upstream.answer = lambda _: [*streamed([events(shape)[0], *seen])[:-1], CUT]
    try:
        answer = ask(client, shape, stream=True, **more)
    except Aborted as aborted:
        answer = aborted.answer
    record = client.record(answer.id)
    assert record["result"] == "truncated"
    (attempt,) = record["attempts"]
    output = attempt["usage"]["output_tokens"]
    assert least <= output <= most
    assert (record["cost_nanousd"], attempt["cost_source"]) == (12 * 3_000 + output * 15_000, source)


def test_a_keys_spend_is_the_sum_of_its_bills_to_the_nano_dollar(gateway: Any, upstream: Upstream) -> None:
    """Complaints 20 and 22, totals that do not add up: every shape as a stream and whole, eight callers at once, on
    whichever worker takes them (litellm#11364, litellm#42663)."""
    key = gateway.site.key("sums")
    work = [(name, stream) for name in SHAPES for stream in (False, True)]
    failures: list[str] = []

    def answer(request: Received) -> Iterable[bytes]:
        asked = json.loads(request.body)
        return reported(SHAPES[asked["messages"][0]["content"]], asked["stream"])

    def call(mine: list[tuple[str, bool]]) -> None:
        client = Client(gateway.site.port, key.secret)
        for name, stream in mine:
            status = ask(client, SHAPES[name], stream=stream, name=name).status
            if status != 200:
                failures.append(f"{name}: {status}")
            client.close()  # so that the next one may be taken by another worker
        client.close()

    upstream.answer = answer
    callers = [threading.Thread(target=call, args=(work[number::8],)) for number in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not failures
    bill = 2 * sum(shape.bill for shape in SHAPES.values())
    gateway.eventually(lambda: sum(one.key == key.id for one in gateway.books().records) == len(work))
    found = gateway.books()
    assert sum(one.cost for one in found.records if one.key == key.id) == bill
    assert found.spent[key.id] == bill
