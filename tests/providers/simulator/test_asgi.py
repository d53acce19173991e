"""The simulator over real HTTP: streams, cuts without a proper end, stalls, clients that go away."""

import asyncio
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
import uvicorn

from trimtab.messages import StreamValidator
from trimtab.providers.simulator import simulator_asgi

BODY = {"model": "claude-sonnet-4-6", "max_tokens": 500, "messages": [{"role": "user", "content": "Hello"}]}
HEADERS = {"anthropic-version": "2023-06-01", "content-type": "application/json"}


@contextmanager
def served(app: Any) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()


@contextmanager
def posted(port: int, **fields: Any) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/v1/messages", msgspec.json.encode({**BODY, **fields}), HEADERS)
        yield connection.getresponse()
    finally:
        connection.close()


@pytest.fixture
def port(make: Callable[..., Any]) -> Iterator[int]:
    script = """
    version: 1
    rules:
    - {match: {contains: cut me}, reply: {cut: {after_events: 3}}}
    - {match: {contains: cut early}, reply: {cut: {after_bytes: 11}}}
    - {match: {contains: cut at once}, reply: {cut: {after_bytes: 0}}}
    - {match: {contains: hold the head}, reply: {stall: {where: before_head, seconds: 0.3}}}
    - {match: {contains: hold me}, reply: {stall: {where: after_events, events: 2, seconds: 60}}}
    - {match: {contains: in pieces}, reply: {chunk_bytes: 3}}
    """
    with served(simulator_asgi(make(script).simulator)) as bound:
        yield bound


def turn(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def test_a_message_and_its_headers(port: int) -> None:
    with posted(port) as response:
        assert response.status == 200
        assert response.headers["x-trimtab-simulated"] == "true"
        assert response.headers["request-id"].startswith("req_")
        assert msgspec.json.decode(response.read())["type"] == "message"


def test_a_stream_arrives_whole(port: int) -> None:
    for text in ("hello", "in pieces"):
        with posted(port, stream=True, **turn(text)) as response:
            validator = StreamValidator()
            while chunk := response.read1():
                validator.feed(chunk)
            assert validator.finish() == []


def test_a_cut_ends_the_connection_without_a_proper_end(port: int) -> None:
    for text, fields, front in (
        ("cut me", {"stream": True}, b"event: message_start"),
        ("cut early", {"stream": True}, b"event: mess"),
        ("cut early", {}, b'{"id":"msg_'),
        ("cut at once", {"stream": True}, b""),
    ):
        with posted(port, **turn(text), **fields) as response:
            assert response.status == 200
            with pytest.raises(http.client.IncompleteRead) as raised:
                response.read()
            assert raised.value.partial.startswith(front)


def test_a_stall_holds_and_what_came_before_is_delivered(port: int) -> None:
    started = time.perf_counter()
    with posted(port, **turn("hold the head")) as response:
        assert response.status == 200
    assert time.perf_counter() - started >= 0.3
    with posted(port, stream=True, **turn("hold me")) as response:
        assert response.read1().startswith(b"event: message_start")


def test_a_client_that_goes_away_ends_its_generation(make: Any) -> None:
    ended = threading.Event()

    async def sleep(seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            ended.set()
            raise

    script = "version: 1\nrules: [{reply: {stall: {where: after_head, seconds: 60}}}]"
    with served(simulator_asgi(make(script).simulator, sleep=sleep)) as bound:
        with posted(bound, stream=True) as response:
            assert response.status == 200
            response.close()
        assert ended.wait(60)


def test_a_body_over_32_mb_is_413(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/v1/messages", b" " * (32 * 1024 * 1024 + 1), HEADERS)
        response = connection.getresponse()
        assert response.status == 413
        assert msgspec.json.decode(response.read())["error"]["type"] == "request_too_large"
    finally:
        connection.close()


def test_other_paths_and_methods(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        for method, path, status in (
            ("GET", "/v1/models", 200),
            ("GET", "/v1/models/claude-sonnet-4-6", 200),
            ("GET", "/nope", 404),
            ("DELETE", "/v1/messages", 405),
        ):
            connection.request(method, path, headers=HEADERS)
            response = connection.getresponse()
            assert (response.status, bool(response.read())) == (status, True)
    finally:
        connection.close()
