"""A stream arrives as it was sent, when it was sent, and never seems whole when it is not."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from http.client import HTTPResponse
from typing import Any

import pytest
from raw_client import Aborted, Client
from scripted_upstream import CUT, HOLD, Received, Upstream, streamed, whole

MODEL = "claude-sonnet-4-6"
INPUT, OUTPUT = 3_000, 15_000
"""Nano-dollars a token of this model: $3 and $15 a million."""
WAIT_S = 20.0
"""For things that happen at once; only a test that fails waits for it."""


def event(kind: str, **content: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **content}, ensure_ascii=False)}\n\n".encode()


EVENTS = [
    event(
        "message_start",
        message={"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": []}
        | {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 12, "output_tokens": 1}},
    ),
    event(
        "content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}
    ),
    event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Well …"}),
    event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "EqoB"}),
    event("content_block_stop", index=0),
    event("ping"),
    event("content_block_start", index=1, content_block={"type": "text", "text": ""}),
    event("content_block_delta", index=1, delta={"type": "text_delta", "text": "The rudder "}),
    event("content_block_delta", index=1, delta={"type": "text_delta", "text": "is small."}),
    event("content_block_stop", index=1),
    event("content_block_start", index=2)[:-3]
    + b', "content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}\n\n',
    event("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": '{"a":1}'}),
    event("content_block_stop", index=2),
    event(
        "message_delta",
        delta={"stop_reason": "tool_use", "stop_sequence": None},
        usage={"output_tokens": 40},
    ),
    event("message_stop"),
]


def body(*, stream: bool = True, model: str = MODEL, content: str = "hi") -> bytes:
    asked = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": content}]}
    return json.dumps(asked | ({"stream": True} if stream else {}), ensure_ascii=False).encode()


# --- 14: a stream that is cut never ends as if it were whole ---


def ended_at_once(sent: bytes) -> Iterable[bytes]:
    """The connection is closed after these bytes."""
    return [*streamed([sent])[:-1], CUT]


def ended_in_order(sent: bytes) -> Iterable[bytes]:
    """The platform ends its body properly, too early."""
    return streamed([sent])


def cut_in_the_next_event(sent: bytes) -> Iterable[bytes]:
    """Half of another event came."""
    return [*streamed([sent + b"event: content_block_delta\ndata: {"])[:-1], CUT]


@pytest.mark.parametrize("ending", [ended_at_once, ended_in_order, cut_in_the_next_event])
def test_a_stream_that_the_platform_cuts_never_ends_as_if_it_were_whole(
    ending: Callable[[bytes], Iterable[bytes]], client: Client, upstream: Upstream
) -> None:
    """Complaint 14, half an answer taken for a whole one: the platform cut the stream and the gateway ended it cleanly,
    with 200 and no error event (Portkey gateway#1797). Cut after each number of events."""
    ids = []
    for count in range(len(EVENTS)):
        sent = b"".join(EVENTS[:count])
        upstream.answer = lambda _, sent=sent: ending(sent)
        try:
            answer = client.post(body())
        except Aborted as aborted:
            answer = aborted.answer
            assert answer.body.startswith(sent)
        else:
            assert ending is not cut_in_the_next_event, "an error inside an event would be read as its text"
            tail = answer.body.removeprefix(sent)
            assert answer.body.startswith(sent)
            assert tail.startswith(b"event: error\ndata: "), f"after {count} events: {tail!r}"
            assert tail.endswith(b"\n\n")
            problem = json.loads(tail.partition(b"data: ")[2])
            assert problem["type"] == "error"
            assert problem["error"]["type"] in ("api_error", "overloaded_error", "timeout_error")
        ids.append(answer.id)
    for count, name in enumerate(ids):
        record = client.record(name)
        assert record["result"] == "truncated", f"after {count} events"
        assert record["cost_nanousd"] > 0, "what was begun may be billed"


def test_a_program_on_the_sdk_hears_that_its_stream_was_cut(
    run_sdk: Callable[..., dict[str, Any]], upstream: Upstream
) -> None:
    """Complaint 14, half an answer taken for a whole one, as a program sees it: an exception, never a short message
    (Portkey gateway#1797)."""
    upstream.answer = ended_by_number
    seen = run_sdk("cut_streams")
    assert len(seen["problems"]) == 6
    for problem in seen["problems"]:
        assert problem["class"] is not None, problem
        assert problem["text"] in ("", "The rudder ")


def ended_by_number(request: Received) -> Iterable[bytes]:
    asked = json.loads(request.body)["messages"][0]["content"]
    count, how = asked.split()
    return {"cut": ended_at_once, "end": ended_in_order, "half": cut_in_the_next_event}[how](
        b"".join(EVENTS[: int(count)])
    )


# --- 16: a client that goes away ---


@pytest.mark.parametrize(
    "moment", ["before the head", "before the first event", "in the middle", "not streaming"]
)
def test_a_client_that_leaves_frees_the_platform_and_is_billed_once(
    moment: str, gateway: Any, client: Client, upstream: Upstream
) -> None:
    """Complaint 16, a model that works on for nobody: a client that left did not cancel the call to the platform, also
    without streaming (litellm#36123, litellm#37140, litellm#3341). How soon: benchmarks/disconnect.py."""
    middle = b"".join(EVENTS[:8])
    asked = threading.Event()

    def answer(_: Received) -> Iterable[bytes | None]:
        asked.set()
        if moment == "before the first event":
            yield streamed([])[0]
        elif moment == "in the middle":
            yield from streamed([middle])[:2]
        yield HOLD

    upstream.answer = answer
    while not upstream.left.empty():
        upstream.left.get_nowait()
    session = f"left {moment}"
    leaver = gateway.client()
    leaver.send(body(stream=moment != "not streaming"), [("x-trimtab-session", session)])
    assert asked.wait(WAIT_S)
    if moment == "in the middle":
        got = leaver.connection.getresponse()
        assert read_exactly(got, len(middle)) == middle
        got.close()
    leaver.close()
    upstream.left.get(timeout=WAIT_S)  # the platform's connection is closed

    def recorded() -> list[str]:
        return [record.id for record in gateway.books().records if record.name == session]

    gateway.eventually(recorded)
    upstream.answer = lambda _: whole(
        b'{"usage":{"input_tokens":0,"output_tokens":0},"stop_reason":"end_turn"}'
    )
    client.record(
        client.post(body(stream=False)).id
    )  # a later one is written: were there a second, it would be too
    (name,) = recorded()
    record = client.record(name)
    assert record["result"] == "cancelled"
    (attempt,) = record["attempts"]
    assert attempt["cost_source"] == "estimated"
    assert attempt["cost_nanousd"] == record["cost_nanousd"] > 0
    if moment == "in the middle":
        usage = attempt["usage"]
        assert usage["input_tokens"] == 12
        assert 1 < usage["output_tokens"] <= 100, "what was seen, at most what was asked for"
        assert record["cost_nanousd"] == 12 * INPUT + usage["output_tokens"] * OUTPUT
    found = gateway.books()
    assert found.spent[gateway.key.id] == sum(one.cost for one in found.records if one.key == gateway.key.id)


def read_exactly(answer: HTTPResponse, size: int) -> bytes:
    got = b""
    while len(got) < size and (piece := answer.read1(size - len(got))):
        got += piece
    return got


# --- 17: characters of several bytes ---

WIDE = {"3 bytes": "舵", "4 bytes": "🚢", "several": "é舵🚢👩‍🚀"}


@pytest.mark.parametrize("kind", WIDE)
def test_characters_of_several_bytes_arrive_whole_wherever_packets_split_them(
    kind: str, client: Client, upstream: Upstream
) -> None:
    """Complaint 17, broken CJK and emoji: a character that was split over two packets was decoded in halves
    (litellm#18842, katanemo/plano#980). Split at every byte of it, in streams, whole answers and requests."""
    text = WIDE[kind]
    wide = event("content_block_delta", index=1, delta={"type": "text_delta", "text": f"a{text}z"})
    events = b"".join([*EVENTS[:7], wide, *EVENTS[9:]])
    usage = {"input_tokens": 1, "output_tokens": 2}
    message = json.dumps(
        {"type": "message", "content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}
        | {"usage": usage},
        ensure_ascii=False,
    ).encode()
    plain_head = whole(message)[0].removesuffix(message)
    request = body(stream=False, content=text)
    coded = text.encode()
    for at in range(len(coded) + 1):
        place = events.index(coded) + at
        upstream.answer = lambda _, place=place: streamed([events[:place], events[place:]])
        assert client.post(body()).body == events, f"split at byte {at}"
        place = message.index(coded) + at
        upstream.answer = lambda _, place=place: [plain_head, message[:place], message[place:]]
        assert client.post(body(stream=False)).body == message, f"split at byte {at}"
        place = request.index(coded) + at
        connection = client.connection
        connection.putrequest("POST", "/v1/messages", skip_accept_encoding=True)
        for name, value in client.usual.items():
            connection.putheader(name, value)
        connection.putheader("transfer-encoding", "chunked")
        connection.endheaders(iter([request[:place], request[place:]]), encode_chunked=True)
        assert connection.getresponse().read() == message
        assert upstream.received[-1].body == request, f"split at byte {at}"
    upstream.answer = lambda _: streamed(events[at : at + 1] for at in range(len(events)))
    assert client.post(body()).body == events, "byte by byte"


# --- 19: events arrive when they are sent ---


class Lockstep:
    """A platform that sends a piece only after the client has what was sent before."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.received = [threading.Event() for _ in pieces]
        self.late: list[int] = []

    def __call__(self, _: Received) -> Iterator[bytes]:
        head, *chunks, end = streamed(self.pieces)
        yield head
        for number, chunk in enumerate(chunks):
            yield chunk
            if not self.received[number].wait(WAIT_S):
                self.late.append(number)
                return
        yield end


@pytest.mark.parametrize("model", [MODEL, "trimtab/default"])
def test_each_event_arrives_before_the_next_is_sent(
    model: str, gateway: Any, client: Client, upstream: Upstream
) -> None:
    """Complaint 19, a stream that comes in lumps: events were held back by the gateway (MiniMax-M3#22,
    claude-code-local#39). No clock: the platform sends the next event when the client says that it has the last one."""
    steps = upstream.answer = Lockstep(EVENTS)
    answer = client.begin(body(model=model))
    for number, each in enumerate(EVENTS):
        assert read_exactly(answer, len(each)) == each, f"event {number} was held back"
        steps.received[number].set()
    assert answer.read() == b""
    assert not steps.late
    assert client.record(answer.headers["x-trimtab-request"])["result"] == "ok"


def test_many_streams_at_once_are_not_held_back_by_one_another(gateway: Any, upstream: Upstream) -> None:
    """Complaint 19, a stream that comes in lumps when others run: each of 20 streams stands where it is, and each event
    of each still arrives before its next is sent (MiniMax-M3#22)."""
    streams = [Lockstep(EVENTS) for _ in range(20)]

    def answer(request: Received) -> Iterator[bytes]:
        return streams[int(json.loads(request.body)["messages"][0]["content"])](request)

    upstream.answer = answer
    clients = [gateway.client() for _ in streams]
    answers = []
    for number, each in enumerate(clients):
        each.send(body(content=str(number)))
    for each in clients:
        answers.append(each.connection.getresponse())
    for number, piece in enumerate(EVENTS):
        for steps, got in zip(streams, answers, strict=True):
            assert read_exactly(got, len(piece)) == piece
            steps.received[number].set()
    for each, got in zip(clients, answers, strict=True):
        assert got.read() == b""
        each.close()
    assert not any(steps.late for steps in streams)
