"""What a real server, of one process or of several, keeps of prompts and answers: looked for in its files, byte by byte."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kept_content import bytes_of_files

from trimtab.messages import encode_event
from trimtab.store import StoreSettings, open_database
from trimtab.store.content import Content, ContentStore
from trimtab.store.content.tables import PACK_LEVEL

PROMPT = "the-planted-prompt-marker-7163"
ANSWER = "the-planted-answer-marker-9924"
SECRETS = ["sk-ant-api03-" + "Qw9_" * 10, "ann.planted@example.com", "4111 1111 1111 1111", "203.0.113.77"]
CALLS = 12


def config(upstream: Any, keep: str, workers: int) -> str:
    return (
        f'[server]\nworkers = {workers}\n[content]\nkeep = "{keep}"\n'
        f'[platforms.stub]\nkind = "anthropic"\napi_key = "env:KEY"\nbase_url = "{upstream.url}"\n'
    )


def whole(text: str) -> bytes:
    message = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 2, "output_tokens": 1},
    }
    return json.dumps(message).encode()


def stream(text: str) -> list[bytes]:
    """Each character comes in a delta of its own, so that no secret is ever whole on the wire."""

    def event(kind: str, **fields: Any) -> bytes:
        return encode_event(kind, json.dumps({"type": kind, **fields}).encode())

    start = {
        "id": "m",
        "type": "message",
        "model": "claude-sonnet-4-6",
        "content": [],
        "usage": {"input_tokens": 2, "output_tokens": 1},
    }
    return [
        event("message_start", message=start),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *(event("content_block_delta", index=0, delta={"type": "text_delta", "text": char}) for char in text),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5}),
        event("message_stop"),
    ]


def answering(text: str) -> Callable[[Any], list[bytes]]:
    def answer(request: Any) -> list[bytes]:
        if b'"stream": true' in request.body:
            body, kind = b"".join(stream(text)), b"text/event-stream"
        else:
            body, kind = whole(text), b"application/json"
        return [
            b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (kind, len(body), body)
        ]

    return answer


def ask(server: Any, text: str, *, streamed: bool) -> tuple[str, bytes, bytes]:
    """The id of a request, its body and its answer. A connection of its own, so that any worker may get it."""
    body = {
        "model": "claude-sonnet-4-6",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": text}],
        "stream": streamed,
    }
    sent = json.dumps(body, indent=1).encode()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request(
        "POST", "/v1/messages", sent, {"anthropic-version": "2023-06-01", "content-type": "application/json"}
    )
    response = connection.getresponse()
    got = response.read()
    assert response.status == 200, got
    connection.close()
    return response.headers["x-trimtab-request"], sent, got


def kept(server: Any, count: int) -> list[Content]:
    """What is in the store once so many are: read from the file, beside the server."""
    database = open_database(
        StoreSettings(url=f"sqlite:///{server.store}"), clock_ms=lambda: time.time_ns() // 1_000_000
    )
    try:
        give_up = time.monotonic() + 60
        while True:
            names = [row[0] for row in database.read(lambda tx: tx.rows("SELECT request_id FROM content"))]
            if len(names) >= count or time.monotonic() > give_up:
                return [found for name in names if (found := ContentStore(database).find(name)) is not None]
            time.sleep(0.05)
    finally:
        database.close()


def everything_on_disk(server: Any) -> bytes:
    files = [path for path in server.folder.rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in files)


def trimtab(server: Any, *words: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "trimtab", *words, "--config", str(server.config)],
        cwd=server.folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("workers", [1, 3])
def test_off_leaves_no_byte_of_any_prompt_or_answer_anywhere(
    serve: Callable[..., Any], upstream: Any, workers: int
) -> None:
    upstream.answer = answering(ANSWER)
    server = serve(config(upstream, "off", workers), KEY="sk-1")
    asked = [ask(server, PROMPT, streamed=bool(n % 2)) for n in range(CALLS)]
    for request_id, _, _ in asked:
        server.record(request_id)
    while_serving = everything_on_disk(server)
    server.stop()
    for on_disk in (while_serving, everything_on_disk(server)):
        assert asked[0][0].encode() in on_disk, "the records are there"
        for marker in (PROMPT, ANSWER):
            assert marker.encode() not in on_disk
    assert kept(server, 0) == []


@pytest.mark.parametrize("workers", [1, 3])
def test_redacted_keeps_the_words_and_none_of_the_secrets(
    serve: Callable[..., Any], upstream: Any, workers: int
) -> None:
    planted = ", ".join(SECRETS)
    upstream.answer = answering(f"{ANSWER} {planted}.")
    server = serve(config(upstream, "redacted", workers), KEY="sk-1")
    for n in range(CALLS):
        ask(server, f"{PROMPT} {planted}.", streamed=bool(n % 2))
    found = kept(server, CALLS)
    assert len(found) == CALLS
    server.stop()
    on_disk = everything_on_disk(server)
    for one in found:
        assert one.request is not None
        assert one.answer is not None
        assert PROMPT.encode() in one.request
        assert ANSWER.encode() in one.answer
        assert not [secret for secret in SECRETS if secret.encode() in one.request + one.answer + on_disk]
        assert one.answer.count(b"[redacted: ") == one.request.count(b"[redacted: ") == len(SECRETS)


@pytest.mark.parametrize("workers", [1, 3])
def test_full_keeps_exactly_what_was_sent_and_what_came_back_until_it_is_deleted(
    serve: Callable[..., Any], upstream: Any, workers: int
) -> None:
    upstream.answer = answering(ANSWER)
    server = serve(config(upstream, "full", workers), KEY="sk-1")
    asked = {
        request_id: (sent, got)
        for request_id, sent, got in (ask(server, PROMPT, streamed=bool(n % 2)) for n in range(CALLS))
    }
    found = kept(server, CALLS)
    assert {one.request_id: (one.request, one.answer) for one in found} == asked
    assert {one.purpose for one in found} == {"live"}
    shown = json.loads(trimtab(server, "content", "show", found[0].request_id))
    assert shown["request"]["text"].encode() == asked[found[0].request_id][0]
    packed = zlib.compress(next(iter(asked.values()))[0], PACK_LEVEL)
    assert packed[20:60] in bytes_of_files(server.store), "the test looks for what is there"
    told = json.loads(trimtab(server, "content", "delete", "--before", "now", "--json"))
    assert told["requests"] == CALLS
    assert kept(server, 0) == []
    for request_id in asked:
        assert server.record(request_id)["id"] == request_id
    if told["overwritten"]:
        assert packed[20:60] not in bytes_of_files(server.store)
    server.stop()


@pytest.mark.parametrize("workers", [3])
def test_a_deletion_by_command_reaches_what_waits_in_every_worker(
    serve: Callable[..., Any], upstream: Any, workers: int
) -> None:
    """The command runs while answers end in all workers: whatever they still hold is not written after it."""
    upstream.answer = answering(ANSWER)
    server = serve(config(upstream, "full", workers), KEY="sk-1")
    before = [ask(server, PROMPT, streamed=False)[0] for _ in range(CALLS)]
    trimtab(server, "content", "delete", "--before", "now")
    after = ask(server, PROMPT, streamed=False)[0]
    found = {one.request_id for one in kept(server, 1)}
    while after not in found:
        found = {one.request_id for one in kept(server, 1)}
    server.stop()  # every worker writes all that it still holds
    assert {one.request_id for one in kept(server, 1)} == {after}
    assert len(before) == CALLS


def test_a_store_on_postgresql_keeps_and_deletes_the_same(
    serve: Callable[..., Any], upstream: Any, postgres_url: str
) -> None:
    upstream.answer = answering(ANSWER)

    def move(path: Path) -> None:
        text = path.read_text()
        path.write_text(text.replace(text.split('url = "')[1].split('"')[0], "env:STORE_URL", 1))

    server = serve(config(upstream, "full", 2), before=move, KEY="sk-1", STORE_URL=postgres_url)
    asked = {
        request_id: (sent, got)
        for request_id, sent, got in (ask(server, PROMPT, streamed=bool(n % 2)) for n in range(CALLS))
    }
    for request_id, (sent, got) in asked.items():
        assert content_of(server, request_id) == (sent, got)
    words = ("content", "delete", "--before", "now", "--json")
    told = json.loads(trimtab(server, *words, STORE_URL=postgres_url))
    assert (told["requests"], told["overwritten"]) == (CALLS, False)
    server.stop()


def content_of(server: Any, request_id: str) -> tuple[bytes, bytes]:
    give_up = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", f"/trimtab/v1/requests/{request_id}/content")
            response = connection.getresponse()
            told = json.loads(response.read())
        if response.status == 200:
            return told["request"]["text"].encode(), told["answer"]["text"].encode()
        assert response.status == 404
        assert time.monotonic() < give_up
        time.sleep(0.05)
