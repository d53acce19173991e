"""Streams that break, clients that leave, and the end of serving."""

import asyncio
import json
from pathlib import Path

import pytest
from serving_harness import (
    ASK,
    EVENTS,
    LIMITS,
    SSE_HEAD,
    VERSION,
    Site,
    chunk,
    head,
    run,
    site,
    take_request,
    upstream,
)
from waiting import until_given, until_so

from trimtab.app import assemble, load_settings
from trimtab.gateway import Listen, bind


@pytest.mark.parametrize("kept", range(6))
@pytest.mark.parametrize("properly", [True, False])
def test_a_cut_stream_ends_in_an_error_event_the_client_can_see(
    tmp_path: Path, kept: int, properly: bool
) -> None:
    async def cutting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(SSE_HEAD + b"".join(chunk(part) for part in EVENTS[:kept]))
        if properly:
            writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def work() -> None:
        async with upstream(cutting) as platform, site(tmp_path, platform) as s:
            status, headers, body = await s.post({**ASK, "stream": True})
            assert status == 200
            assert body.startswith(b"".join(EVENTS[:kept]))
            last = body[len(b"".join(EVENTS[:kept])) :]
            assert last.startswith(b"event: error\ndata: ")
            assert json.loads(last.split(b"data: ")[1])["error"]["type"] == "api_error"
            record = await s.record(headers["x-trimtab-request"])
            assert record["result"] == "truncated"

    run(work)


def test_a_stream_cut_inside_an_event_is_cut_for_the_client_too(tmp_path: Path) -> None:
    async def cutting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(SSE_HEAD + chunk(EVENTS[0] + EVENTS[1][:-9]))
        await writer.drain()

    async def work() -> None:
        async with upstream(cutting) as platform, site(tmp_path, platform) as s:
            status, headers, body = await s.post({**ASK, "stream": True})
            assert status == 200
            assert body == EVENTS[0] + EVENTS[1][:-9] + b"<cut>"
            assert (await s.record(headers["x-trimtab-request"]))["result"] == "truncated"

    run(work)


def test_every_chunking_of_an_answer_reaches_the_client_as_the_same_bytes(tmp_path: Path) -> None:
    whole = b"".join(EVENTS)
    sizes = [1, 2, 3, 5, 17, 300, 5000]

    async def slicing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await take_request(reader)
            step = sizes.pop(0)
            writer.write(SSE_HEAD)
            for at in range(0, len(whole), step):
                writer.write(chunk(whole[at : at + step]))
                if step < 5:
                    await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")

    async def work() -> None:
        async with upstream(slicing) as platform, site(tmp_path, platform) as s:
            while sizes:
                status, headers, body = await s.post({**ASK, "stream": True})
                assert (status, body) == (200, whole)
                assert headers["request-id"] == "req_u"

    run(work)


@pytest.mark.parametrize("moment", ["before_head", "mid_stream", "whole_body"])
def test_a_client_gone_closes_the_platform_within_100_ms_and_is_settled_once(
    tmp_path: Path, moment: str
) -> None:
    async def work() -> None:
        reached, closed = asyncio.Event(), asyncio.Event()

        async def holding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await take_request(reader)
            if moment == "mid_stream":
                writer.write(SSE_HEAD + chunk(EVENTS[0] + EVENTS[1] + EVENTS[2]))
            elif moment == "whole_body":
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"
                )
            reached.set()
            await reader.read()
            closed.set()

        async with upstream(holding) as platform, site(tmp_path, platform) as s:
            body = json.dumps({**ASK, "stream": moment == "mid_stream"}).encode()
            _, writer = await asyncio.open_connection("127.0.0.1", s.port)
            writer.write(head("POST", "/v1/messages", VERSION, len(body)) + body)
            await asyncio.wait_for(reached.wait(), 60)
            await asyncio.sleep(0.05)
            writer.transport.abort()
            await asyncio.wait_for(closed.wait(), 60)  # the bar, 100 ms: benchmarks/disconnect.py
            totals = await until_so(lambda: (now := s.application.store.totals(0)).requests and now)
            assert (totals.requests, totals.attempts) == (1, 1)
            assert totals.cost_nanousd > 0
            await until_so(lambda: float(s.held) == 0)

    run(work)


def test_stopping_lets_streams_finish_refuses_new_ones_and_then_stops(tmp_path: Path) -> None:
    async def work() -> None:
        reached, release = asyncio.Event(), asyncio.Event()

        async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await take_request(reader)
            writer.write(SSE_HEAD + chunk(EVENTS[0]))
            reached.set()
            await release.wait()
            writer.write(chunk(b"".join(EVENTS[1:])) + b"0\r\n\r\n")
            await writer.drain()

        async with upstream(waiting) as platform, site(tmp_path, LIMITS + platform) as s:
            running = asyncio.create_task(s.post({**ASK, "stream": True}))
            await asyncio.wait_for(reached.wait(), 60)
            s.application.server.stop()
            status, headers, body = await s.post(ASK)
            assert status == 503
            assert headers["retry-after"] == "5"
            assert headers["connection"] == "close"
            assert json.loads(body)["error"]["type"] == "api_error"
            assert (await s.get("/readyz"))[0] == 503
            assert (await s.get("/healthz"))[0] == 200
            release.set()
            status, _, body = await running
            assert (status, body) == (200, b"".join(EVENTS))
            await until_given(lambda: refused(s), bool)

    run(work)


async def refused(s: Site) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", s.port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


@pytest.mark.parametrize("how", ["second signal", "draining time over"])
def test_answers_that_are_cut_at_the_end_are_told_settled_and_recorded(tmp_path: Path, how: str) -> None:
    asked: list[bytes] = []

    async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, body = await take_request(reader)
        if b'"stream": true' in body:
            writer.write(SSE_HEAD + chunk(EVENTS[0] + EVENTS[1]))
        asked.append(body)
        await reader.read()

    async def work() -> None:
        async with upstream(waiting) as platform:
            config = "[server]\ndrain_s = 0.4\n" if how == "draining time over" else ""
            file = tmp_path / "trimtab.toml"
            file.write_text(f'version = 1\n[store]\nurl = "sqlite:///{tmp_path}/t.db"\n{config}{platform}')
            settings = load_settings(file, listen="127.0.0.1:0")
            bound = bind(settings.listen, "test", "")
            application = assemble(settings, lambda line: None)
            await application.start()
            ready = asyncio.Event()
            serving = asyncio.create_task(
                application.server.run_on(bound, ready=ready.set, draining=lambda count: None)
            )
            await asyncio.wait_for(ready.wait(), 60)
            s = Site(application, bound.getsockname()[1])
            streamed = asyncio.create_task(s.post({**ASK, "stream": True}))
            whole = asyncio.create_task(s.post(ASK))
            await until_so(lambda: len(asked) == 2)
            await asyncio.sleep(0.1)  # the beginning of the stream goes out meanwhile
            s.application.server.stop()
            await asyncio.sleep(0.1)
            if how == "second signal":
                s.application.server.stop()
            assert await asyncio.wait_for(serving, 60) == 2
            status, _, body = await streamed
            assert status == 200
            assert b"event: error" in body
            assert b"the server is stopping" in body
            status, headers, body = await whole
            assert (status, headers["retry-after"]) == (503, "5")
            assert await application.aclose() == 0
            totals = Store(f"{tmp_path}/t.db")
            assert totals == [("cancelled", 2)]

    def Store(path: str) -> list[tuple[str, int]]:
        import apsw

        return list(apsw.Connection(path).execute("SELECT result, count(*) FROM requests GROUP BY 1"))

    run(work)


def test_a_stop_before_the_server_has_begun_is_a_clean_end(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            early = assemble(load_settings(tmp_path / "trimtab.toml"), lambda line: None)
            early.server.stop()
            listener = bind(Listen("127.0.0.1", 0), "test", "")
            async with asyncio.timeout(60):
                assert (
                    await early.server.run_on(listener, ready=lambda: None, draining=lambda count: None) == 0
                )
            assert await early.aclose() == 0
            assert (await s.get("/readyz"))[0] == 200

    run(work)
