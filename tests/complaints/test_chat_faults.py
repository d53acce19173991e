"""Complaints about failing platforms on the other surface: `/v1/chat/completions`, in front of two scripted servers."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import pytest
from raw_client import Aborted, Answer, Client
from scripted_upstream import CUT, HOLD, Received, Upstream, streamed, whole

PATH = "/v1/chat/completions"
MODEL = "claude-haiku-4-5"
DEADLINES = "header_s = 0.7\nfirst_event_s = 0.8\nidle_s = 0.9\n"
COUNTS = {"prompt_tokens": 20, "completion_tokens": 4}


def said(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"id": "c1", "model": "h", **fields}).encode() + b"\n\n"


def piece(delta: dict[str, Any], finish: str | None = None) -> bytes:
    return said(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


BEGUN = piece({"role": "assistant", "content": ""})
WORD = piece({"content": "of the first"})
SPARE = [
    piece({"role": "assistant", "content": ""}),
    piece({"content": "of the second"}),
    piece({}, "stop"),
    said(choices=[], usage=COUNTS),
    b"data: [DONE]\n\n",
]
ERROR = b'data: {"error":{"message":"no","type":"server_error","code":503}}\n\n'


def unended(*pieces: bytes) -> list[bytes]:
    """A stream's head and so many of its pieces."""
    return streamed(pieces)[:-1]


FAULTS: dict[str, tuple[list[bytes | None], int]] = {
    # what the first platform sends, and with which status it counts; 0: no head came
    "529": (whole(b'{"error":{"message":"no","type":"server_error"}}', status=b"529 Overloaded"), 529),
    "cut before the head": ([CUT], 0),
    "cut after the head": ([*unended(), CUT], 200),
    "cut before the first word": ([*unended(BEGUN), CUT], 200),
    "ended before the first word": (streamed([BEGUN]), 200),
    "silent before the head": ([HOLD], 0),
    "silent after the head": ([*unended(), HOLD], 200),
    "silent before the first word": ([*unended(BEGUN), HOLD], 200),
}  # type: ignore[dict-item]


class Pair(NamedTuple):
    """A gateway in front of two servers that speak the OpenAI API."""

    one: Upstream
    two: Upstream
    client: Client

    def ask(self, *, to: str) -> Answer:
        asked = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "?"}]}
        try:
            return self.client.post(json.dumps(asked).encode(), [("x-trimtab-platform", to)], PATH)
        except Aborted as aborted:
            return aborted.answer


@pytest.fixture(scope="module")
def servers(started: Callable[..., Any]) -> Iterator[tuple[Upstream, Upstream, Any]]:
    one, two = Upstream(lambda _: streamed(SPARE)), Upstream(lambda _: streamed(SPARE))
    entries = (
        f'[platforms.{name}]\nkind = "openai"\nbase_url = "{at.url}/v1"\nmodels = {{"{MODEL}" = "h"}}\n{DEADLINES}'
        for name, at in (("one", one), ("two", two))
    )
    gateway = started(
        store_options="batch_ms = 5\n", server_options="require_keys = true\n", options="".join(entries)
    )
    yield one, two, gateway
    one.close()
    two.close()


@pytest.fixture
def pair(servers: tuple[Upstream, Upstream, Any]) -> Iterator[Pair]:
    one, two, gateway = servers
    one.answer = two.answer = lambda _: streamed(SPARE)
    client = gateway.client()
    made = Pair(one, two, client)
    for _ in range(2):  # in good standing, whatever the tests before have done to it
        assert made.ask(to="one").status == 200
    yield made
    client.close()


def words(answer: Answer) -> str:
    found = ""
    for block in answer.body.split(b"\n\n"):
        if block.startswith(b"data: {"):
            choices = json.loads(block[6:]).get("choices") or [{"delta": {}}]
            found += choices[0]["delta"].get("content") or ""
    return found


@pytest.mark.parametrize("fault", FAULTS)
def test_before_the_first_word_another_server_answers_on_the_chat_surface_too(fault: str, pair: Pair) -> None:
    """Complaints 15 and 18, streams that are not retried or begin twice, and stalls that nobody notices, where programs
    speak the OpenAI API (litellm#6957, litellm#29808, hermes-agent#22277)."""
    pieces, status = FAULTS[fault]

    def answer(_: Received) -> Iterable[bytes | None]:
        return pieces

    pair.one.answer = answer
    at = len(pair.two.received)
    got = pair.ask(to="one, two")
    assert (got.status, words(got)) == (200, "of the second")
    assert got.body.count(b'"role": "assistant"') == 1
    assert got.body.endswith(b"data: [DONE]\n\n")
    assert got.named["x-trimtab-platform"] == "two"
    assert len(pair.two.received) == at + 1
    first, second = pair.client.record(got.id)["attempts"]
    assert (first["platform"], first.get("status"), second["platform"]) == ("one", status or None, "two")
    assert (first["result"], second["result"]) == ("truncated" if status == 200 else "error", "ok")
    assert (first.get("cost_nanousd", 0) > 0) == (status in (0, 200))


@pytest.mark.parametrize("how", ["cut", "silent", "error"])
def test_after_the_first_word_an_error_ends_the_stream_on_the_chat_surface_too(how: str, pair: Pair) -> None:
    """Complaint 15, a silent change of the model in mid-stream, where programs speak the OpenAI API (litellm#6957,
    litellm#29808)."""
    end: list[bytes | None] = {
        "cut": [CUT],
        "silent": [HOLD],
        "error": [b"%x\r\n%b\r\n" % (len(ERROR), ERROR)],
    }[how]
    pair.one.answer = lambda _: [*unended(BEGUN, WORD), *end, *([b"0\r\n\r\n"] if how == "error" else [])]
    at = len(pair.two.received)
    got = pair.ask(to="one, two")
    assert (got.status, words(got)) == (200, "of the first")
    assert b'"error"' in got.body.removesuffix(b"\n\n").split(b"\n\n")[-1]
    assert b"[DONE]" not in got.body
    assert len(pair.two.received) == at
    record = pair.client.record(got.id)
    assert [each["platform"] for each in record["attempts"]] == ["one"]
    assert record["cost_nanousd"] > 0
