"""Hostile and careless clients: one clear error, or a cut; never a hang, never into somebody's answer."""

import asyncio
import json
import socket
from pathlib import Path

import pytest
from serving_harness import (
    ASK,
    EVENTS,
    LIMITS,
    SSE_HEAD,
    VERSION,
    chunk,
    event,
    head,
    one_answer,
    parsed,
    problem_of,
    run,
    site,
    take_request,
    upstream,
)

from trimtab.gateway.connection import MAX_AHEAD


@pytest.mark.parametrize(
    ("request_bytes", "status", "kind", "text"),
    [
        (head("POST", "/v1/messages", VERSION, 3) + b"{a}", 400, "invalid_request_error", "not valid JSON"),
        (head("POST", "/v1/messages", VERSION, 2) + b"\xff\xfe", 400, "invalid_request_error", "invalid UTF-8"),
        (head("POST", "/v1/messages", VERSION, 0), 400, "invalid_request_error", "not valid JSON"),
        (head("POST", "/v1/messages", VERSION, 12) + b'{"a":1,"a":2', 400, "invalid_request_error", "not valid JSON"),
        (head("GET", "/v1/messages"), 405, "invalid_request_error", "use POST"),
        (head("GET", "/v1/nothing"), 404, "not_found_error", "no such path here"),
        (head("POST", "/v1/messages/batches", VERSION, 0), 404, "not_found_error", "does not serve message batches"),
        (head("GET", "/v1/models/none"), 404, "not_found_error", "'none' is not known"),
        (head("GET", "/v1/models?limit="), 400, "invalid_request_error", "limit: ''"),
        (head("GET", "/v1/models?limit=0"), 400, "invalid_request_error", "limit: '0'"),
        (head("GET", "/v1/models?limit=%F0%9F%99%82"), 400, "invalid_request_error", "limit"),
        (head("GET", "/v1/models?after_id=x"), 400, "invalid_request_error", "after_id: 'x'"),
        (head("GET", "/trimtab/v1/requests/nope"), 404, "not_found_error", "'nope' is recorded"),
        (head("GET", "/trimtab/v1/requests/%00%ff"), 404, "not_found_error", "recorded"),
        (b"GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n", 403, "permission_error", "'evil.example' is not this machine"),
        (b"GET / HTTP/1.1\r\n\r\n", 403, "permission_error", "Host '' is not this machine"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n", 403, "permission_error", "is not this machine"),
        (b"GET / HTTP/1.1\r\nhost: [::1]evil.example\r\n\r\n", 403, "permission_error", "is not this machine"),
        (head("POST", "/v1/v1/messages", VERSION, 0), 404, "not_found_error", "the base URL ends in /v1"),
        (head("POST", "/v1/responses", VERSION, 0), 404, "not_found_error", "serves /v1/chat/completions only"),
        (b"GET / HTTP/1.1\r\nhost: localhost:1\r\norigin: https://evil.example\r\n\r\n", 403, "permission_error", "Origin"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\norigin: null\r\n\r\n", 403, "permission_error", "Origin"),
        (b"NONSENSE\r\n\r\n", 400, "invalid_request_error", "not valid HTTP"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400, "invalid_request_error", "not valid HTTP"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400, "invalid_request_error", "not valid HTTP"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n", 400, "invalid_request_error", "not valid HTTP"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nx: a\x00b\r\n\r\n", 400, "invalid_request_error", "not valid HTTP"),
        (head("GET", "/" + "x" * 70_000), 431, "invalid_request_error", "request head is over"),
        (head("GET", "/", b"x: y\r\n" * 300), 431, "invalid_request_error", "request head is over"),
        (head("GET", "/", b"x: " + b"y" * 70_000 + b"\r\n"), 431, "invalid_request_error", "request head is over"),
        (head("POST", "/v1/messages", VERSION, 1_500_000) + b" " * 1_500_000, 413, "request_too_large", "limit is 1,000,000"),
        (head("POST", "/v1/messages", VERSION, 900_000_000), 413, "request_too_large", "900,000,000"),
        (head("POST", "/v1/messages", VERSION + b"transfer-encoding: chunked\r\n") + b"".join(chunk(b" " * 100_000) for _ in range(12)) + b"0\r\n\r\n", 413, "request_too_large", "limit is"),
        (head("POST", "/v1/files", VERSION + b"transfer-encoding: chunked\r\n") + b"0\r\n\r\n", 400, "invalid_request_error", "content-length"),
        (head("POST", "/v1/messages", VERSION + b"content-encoding: gzip\r\n", 2) + b"{}", 400, "invalid_request_error", "'gzip': send the body uncompressed"),
        (head("PUT", "/v1/files"), 405, "invalid_request_error", "GET, POST, DELETE"),
    ],
)  # fmt: skip
def test_bad_requests_get_one_clear_vendor_shaped_error(
    tmp_path: Path, request_bytes: bytes, status: int, kind: str, text: str
) -> None:
    async def work() -> None:
        async with site(tmp_path, LIMITS) as s:
            got = problem_of(await s.raw(request_bytes))
            assert got[:2] == (status, kind)
            assert text in got[2]
            assert (await s.get("/healthz"))[0] == 200

    run(work)


def test_a_client_that_dawdles_over_its_head_or_body_is_told_and_cut(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path, LIMITS) as s:
            loop = asyncio.get_running_loop()
            started = loop.time()
            silent = asyncio.create_task(s.raw(b""))
            half_head = asyncio.create_task(s.raw(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-a: 1"))
            half_body = asyncio.create_task(s.raw(head("POST", "/v1/messages", VERSION, 100) + b'{"a"'))
            assert await silent == b""
            assert problem_of(await half_head)[0] == 408
            status, _, text = problem_of(await half_body)
            assert (status, text) == (408, "The request body did not arrive in time")
            assert loop.time() - started < 10

            async def drip() -> bytes:
                reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
                answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
                for byte in b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\n" * 3:
                    if answer.done():
                        break
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.05)
                writer.close()
                return await answer

            assert b"408" in await drip()

    run(work)


def test_a_flood_of_requests_sent_ahead_is_answered_up_to_a_bound_and_then_cut(tmp_path: Path) -> None:
    """Without a bound one connection without a key could fill the memory."""

    async def work() -> None:
        async with site(tmp_path, "") as s:
            one = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
            last = one[:-2] + b"connection: close\r\n\r\n"
            for ahead, refused in ((MAX_AHEAD, False), (3000, True)):
                reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
                writer.write(one * ahead + last)
                got = await asyncio.wait_for(reader.read(), 60)
                writer.close()
                assert got.count(b"200 OK") == MAX_AHEAD + 1
                assert (b"wait for answers" in got) == refused

    run(work)


def test_connections_over_the_limit_are_told_to_come_back(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path, "[server]\nmax_connections = 3\n") as s:
            held = [await asyncio.open_connection("127.0.0.1", s.port) for _ in range(3)]
            await asyncio.sleep(0.05)
            status, headers, body = parsed(await s.raw(b""))
            assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
            assert json.loads(body)["error"]["type"] == "api_error"
            for _, writer in held:
                writer.close()
            await asyncio.sleep(0.05)
            assert (await s.get("/healthz"))[0] == 200

    run(work)


def test_a_client_that_does_not_read_is_cut_and_settled(tmp_path: Path) -> None:
    big = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 60_000})

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(SSE_HEAD + chunk(EVENTS[0] + EVENTS[1]))
        while True:
            writer.write(chunk(big))
            await writer.drain()

    async def work() -> None:
        async with upstream(endless) as platform, site(tmp_path, LIMITS + platform) as s:
            body = json.dumps({**ASK, "stream": True}).encode()
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(client, ("127.0.0.1", s.port))
                await loop.sock_sendall(client, head("POST", "/v1/messages", VERSION, len(body)) + body)
                for _ in range(60):
                    await asyncio.sleep(0.1)
                    if s.application.store.totals(0).requests:
                        break
            assert s.application.store.totals(0).requests == 1
            assert float(s.held) == 0

    run(work)


@pytest.mark.parametrize(
    "second",
    [
        b"GARBAGE\r\n\r\n",
        head("POST", "/v1/messages", VERSION, 100) + b"{",
        b"GET / HTTP/1.1\r\nx: " + b"y" * 90_000,
    ],
)
def test_what_follows_a_request_never_gets_into_its_answer(tmp_path: Path, second: bytes) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(SSE_HEAD + chunk(EVENTS[0]))
        await asyncio.sleep(2.2)
        writer.write(chunk(b"".join(EVENTS[1:])) + b"0\r\n\r\n")
        await writer.drain()

    async def work() -> None:
        async with upstream(slow) as platform, site(tmp_path, LIMITS + platform) as s:
            body = json.dumps({**ASK, "stream": True}).encode()
            reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
            writer.write(head("POST", "/v1/messages", VERSION, len(body)) + body + second)
            status, _, answer = parsed(await asyncio.wait_for(one_answer(reader), 60))
            assert (status, answer) == (200, b"".join(EVENTS))
            refused = problem_of(await asyncio.wait_for(one_answer(reader), 60))
            assert refused[0] in (400, 408, 431)
            assert await reader.read() == b""
            writer.close()

    run(work)


def test_a_client_gone_with_a_second_request_in_the_pipe_closes_the_platform(tmp_path: Path) -> None:
    async def work() -> None:
        reached, closed = asyncio.Event(), asyncio.Event()

        async def holding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await take_request(reader)
            reached.set()
            await reader.read()
            closed.set()

        async with upstream(holding) as platform, site(tmp_path, platform) as s:
            body = json.dumps(ASK).encode()
            _, writer = await asyncio.open_connection("127.0.0.1", s.port)
            writer.write((head("POST", "/v1/messages", VERSION, len(body)) + body) * 2)
            await asyncio.wait_for(reached.wait(), 60)
            await asyncio.sleep(0.05)
            writer.transport.abort()
            await asyncio.wait_for(closed.wait(), 60)
            await asyncio.sleep(0.1)
            assert s.application.store.totals(0).requests == 1

    run(work)


def test_an_endless_header_is_refused_before_it_costs_anything(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            for start in (
                b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ",
                b"GET /",
                head("POST", "/v1/messages", VERSION + b"transfer-encoding: chunked\r\n") + b"0\r\nx: ",
            ):
                _, writer = await asyncio.open_connection("127.0.0.1", s.port)
                writer.write(start)
                sent = 0
                try:
                    while sent < 20_000_000 and not writer.is_closing():
                        writer.write(b"a" * 50_000)
                        sent += 50_000
                        await writer.drain()
                        await asyncio.sleep(0)
                except ConnectionError:
                    pass
                assert sent < 15_000_000  # what socket buffers take is not refused yet
                writer.close()
            assert (await s.get("/healthz"))[0] == 200

    run(work)


@pytest.mark.parametrize("name", [b"Upgrade", b"upgrade", b"UPGRADE", b"uPgRaDe"])
@pytest.mark.parametrize("cut", [0, 3, None])
def test_an_offer_to_upgrade_is_refused_and_no_body_is_lost(
    tmp_path: Path, name: bytes, cut: int | None
) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            body = json.dumps(ASK).encode()
            offer = b"Connection: Upgrade, HTTP2-Settings\r\n" + name + b": h2c\r\n"
            whole = head("POST", "/v1/messages", VERSION + offer, len(body)) + body
            at = len(whole) if cut is None else whole.index(name + b":") + cut
            reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
            writer.write(whole[:at])
            await asyncio.sleep(0.05)
            writer.write(whole[at:])
            status, _, text = problem_of(await asyncio.wait_for(one_answer(reader), 60))
            assert (status, "Upgrade is not served here" in text) == (400, True)
            writer.close()

    run(work)


@pytest.mark.parametrize("back", range(1, 9))
def test_a_head_that_arrives_in_two_pieces_leaves_the_body_alone(tmp_path: Path, back: int) -> None:
    seen: list[bytes] = []

    async def taking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await take_request(reader))[1])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")

    async def work() -> None:
        async with upstream(taking) as platform, site(tmp_path, platform) as s:
            for path, body in (
                ("/v1/files", b"--b\r\nUpgrade: y\nupgrade: z\r\n\r\n" + b"x" * 150_000),
                (
                    "/v1/messages",
                    json.dumps({**ASK, "model": "claude-sonnet-4-6", "x": "y" * 150_000}).encode(),
                ),
            ):
                start = head("POST", path, VERSION, len(body))
                reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
                writer.write(start[:-back])
                await asyncio.sleep(0.03)
                writer.write(start[-back:] + body)
                assert parsed(await asyncio.wait_for(one_answer(reader), 60))[0] == 200
                assert seen[-1] == body
                writer.close()

    run(work)


def test_trailers_are_not_headers_and_credentials_stay_here(tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def platform_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            got, _ = await take_request(reader)
            seen.append(got)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")

    async def work() -> None:
        async with upstream(platform_of) as platform, site(tmp_path, platform) as s:
            body = json.dumps(ASK).encode()
            chunked = head("POST", "/v1/messages", VERSION + b"transfer-encoding: chunked\r\n") + chunk(body)
            answer = parsed(
                await s.raw(chunked + b"0\r\nanthropic-beta: late\r\nx-trimtab-effort: max\r\n\r\n")
            )
            assert answer[0] == 200
            assert b"late" not in seen[0]
            credentials = b"api-key: 1\r\nx-goog-api-key: 1\r\nx-auth-token: 1\r\ntrue-client-ip: 1\r\ncf-connecting-ip: 1\r\n"
            kept = b"x-stainless-os: Linux\r\nidempotency-key: i\r\nanthropic-user-profile-id: p\r\n"
            await s.post(ASK, headers=VERSION + credentials + kept)
            for name in (b"\r\napi-key", b"goog", b"auth-token", b"client-ip", b"connecting-ip"):
                assert name not in seen[1]
            for name in kept.split(b"\r\n")[:-1]:
                assert name in seen[1]

    run(work)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/../messages",
        "/v1/files/%2e%2e/messages",
        "/v1/files%2f..%2fmessages",
        "/v1/skills/../../v1/organizations",
        "/v1/files//x",
        "/v1/files/a%2Fb",
    ],
)
def test_a_passed_through_path_means_one_thing_only(tmp_path: Path, path: str) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise AssertionError("the platform was called")

    async def work() -> None:
        async with upstream(never) as platform, site(tmp_path, platform) as s:
            status, _, body = await s.post(b"{}", path)
            assert status in (400, 404), body
            status, _, body = await s.post(b"{}", "/v1/files", VERSION + b"x-trimtab-tags: a\r\n")
            assert status == 400

    run(work)


@pytest.mark.parametrize(
    ("request_bytes", "status", "text"),
    [
        (head("POST", "/v1/messages", VERSION + b"transfer-encoding: gzip, chunked\r\n"), 400, "only 'chunked'"),
        (head("POST", "/v1/messages", VERSION + b"transfer-encoding: chunked, gzip\r\n"), 400, "not valid HTTP"),
        (head("POST", "/v1/messages", VERSION + b"transfer-encoding: identity\r\n"), 400, "only 'chunked'"),
        (head("POST", "/v1/messages", VERSION + b"transfer-encoding: xchunked\r\n"), 400, "only 'chunked'"),
        (head("POST", "/v1/messages", VERSION + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n"), 400, ""),
        (b"POST /v1/messages HTTP/1.0\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n", 400, "HTTP/1.0"),
        (b"GET /healthz HTTP/2.0\r\nhost: localhost\r\n\r\n", 505, "HTTP/2.0"),
        (b"GET /healthz HTTP/3.0\r\nhost: localhost\r\n\r\n", 505, "HTTP/3.0"),
        (b"GET /healthz HTTP/1.2\r\nhost: localhost\r\n\r\n", 505, "HTTP/1.2"),
        (b"GET /healthz HTTP/0.9\r\nhost: localhost\r\n\r\n", 505, "HTTP/0.9"),
        (b"GET /healthz\r\n\r\n", 505, "HTTP/0.9"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/2.0"),
    ],
)  # fmt: skip
def test_what_another_server_might_read_otherwise_is_refused_before_anything_is_done(
    tmp_path: Path, request_bytes: bytes, status: int, text: str
) -> None:
    """Two readings of where a request ends let one client's request into another's connection."""

    async def work() -> None:
        async with site(tmp_path) as s:
            smuggled = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
            reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
            writer.write(request_bytes + smuggled)
            got = await asyncio.wait_for(reader.read(), 60)
            writer.close()
            assert got.count(b"HTTP/1.1 ") == 1
            refused = problem_of(got)
            assert refused[:2] == (status, "invalid_request_error")
            assert text in refused[2]
            assert s.application.store.totals(0).requests == 0

    run(work)


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"CHUNKED "])
def test_chunks_are_chunks_however_they_are_spelled(tmp_path: Path, coding: bytes) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            body = json.dumps(ASK).encode()
            sent = head("POST", "/v1/messages", VERSION + b"transfer-encoding: " + coding + b"\r\n")
            assert parsed(await s.raw(sent + chunk(body) + b"0\r\n\r\n"))[0] == 200

    run(work)


def test_a_client_that_closes_its_sending_side_is_gone(tmp_path: Path) -> None:
    """The end of its stream is all that ever comes of a client that was closed: the platform works for nobody then."""

    async def work() -> None:
        reached, closed = asyncio.Event(), asyncio.Event()

        async def holding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await take_request(reader)
            reached.set()
            await reader.read()
            closed.set()

        async with upstream(holding) as platform, site(tmp_path, platform) as s:
            body = json.dumps(ASK).encode()
            reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
            writer.write(head("POST", "/v1/messages", VERSION, len(body)) + body)
            await asyncio.wait_for(reached.wait(), 60)
            writer.write_eof()
            await asyncio.wait_for(closed.wait(), 60)
            assert await reader.read() == b""
            writer.close()

    run(work)
