"""Requests with an Idempotency-Key, sent twice: over real sockets, to one process and to two that share a store."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from serving_harness import (
    ASK,
    EVENTS,
    SSE_HEAD,
    VERSION,
    Site,
    chunk,
    event,
    head,
    parsed,
    run,
    site,
    take_request,
    upstream,
)
from waiting import until_so

from trimtab.store.limits import join

KEY = VERSION + b"idempotency-key: order-1\r\n"
STREAM = json.dumps({**ASK, "stream": True}).encode()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "k")


class Platform:
    """Streams EVENTS, the rest of them only when told; counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.called = asyncio.Condition()
        self.go_on = asyncio.Event()
        self.gone = asyncio.Event()
        self.status = b"200 OK"

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        async with self.called:
            self.calls += 1
            self.called.notify_all()
        if self.status != b"200 OK":
            writer.write(
                b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}" % self.status
            )
            return
        writer.write(SSE_HEAD + b"".join(chunk(event) for event in EVENTS[:3]))
        await writer.drain()
        waiting = asyncio.create_task(self.go_on.wait())
        reading = asyncio.create_task(reader.read(1))
        await asyncio.wait([waiting, reading], return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            self.gone.set()
            waiting.cancel()
            return
        reading.cancel()
        writer.write(b"".join(chunk(event) for event in EVENTS[3:]) + b"0\r\n\r\n")
        await writer.drain()


@asynccontextmanager
async def place(folder: Path, config: str = "", wait_ms: int = 5_000) -> AsyncIterator[tuple[Platform, Site]]:
    platform = Platform()
    async with upstream(platform) as entry, site(folder, config + entry, wait_ms=wait_ms) as s:
        yield platform, s


async def ask(s: Site, headers: bytes = KEY, body: bytes = STREAM) -> tuple[int, dict[str, str], bytes]:
    """One request; again where the store could not be asked in time, as on a busy machine."""
    for _ in range(20):
        answer = await ask_once(s, headers, body)
        if answer[0] != 503:
            break
        await asyncio.sleep(0.05)
    return answer


async def ask_once(s: Site, headers: bytes = KEY, body: bytes = STREAM) -> tuple[int, dict[str, str], bytes]:
    return await s.post(body, headers=headers)


async def until_called(platform: Platform, calls: int) -> None:
    async with platform.called:
        await platform.called.wait_for(lambda: platform.calls >= calls)


def test_a_request_that_comes_again_while_it_is_answered_hears_the_same_bytes(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path) as (platform, s):
            first = asyncio.create_task(ask(s))
            await until_called(platform, 1)
            others = [asyncio.create_task(ask(s)) for _ in range(5)]
            await asyncio.sleep(0.05)
            platform.go_on.set()
            status, headers, body = await first
            assert status == 200
            assert "x-trimtab-idempotency" not in headers
            for other in others:
                again_status, again_headers, again_body = await other
                assert (again_status, again_body) == (status, body)
                assert again_headers["x-trimtab-request"] == headers["x-trimtab-request"]
                assert again_headers["x-trimtab-idempotency"] == "joined"
            assert platform.calls == 1

    run(work)


def test_after_its_end_the_request_is_named_and_not_made_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path) as (platform, s):
            platform.go_on.set()
            _, headers, _ = await ask(s)
            status, _, body = await ask(s)
            error = json.loads(body)["error"]
            assert (status, error["type"]) == (409, "conflict_error")
            assert headers["x-trimtab-request"] in error["message"]
            assert platform.calls == 1
            # Another key, another caller's path or no key at all is another request.
            assert (await ask(s, VERSION + b"idempotency-key: order-2\r\n"))[0] == 200
            assert (await ask(s, VERSION))[0] == 200
            assert platform.calls == 3

    run(work)


def test_where_answers_are_kept_it_is_answered_again_with_the_same_bytes(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path, "[server]\nkeep_answers = true\n") as (platform, s):
            platform.go_on.set()
            first = await ask(s)
            again = await ask(s)
            assert again[0] == 200
            assert again[2] == first[2]
            assert again[1]["x-trimtab-idempotency"] == "replayed"
            assert again[1]["content-type"] == first[1]["content-type"]
            assert again[1]["x-trimtab-request"] == first[1]["x-trimtab-request"]
            assert platform.calls == 1

    run(work)


def test_a_key_with_another_body_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path) as (platform, s):
            first = asyncio.create_task(ask(s))
            await until_called(platform, 1)
            other = json.dumps({**ASK, "stream": True, "max_tokens": 65}).encode()
            status, _, body = await ask(s, KEY, other)
            assert (status, json.loads(body)["error"]["type"]) == (400, "invalid_request_error")
            platform.go_on.set()
            assert (await first)[0] == 200
            assert (await ask(s, KEY, other))[0] == 400
            assert platform.calls == 1

    run(work)


@pytest.mark.parametrize("status", [b"429 Too Many Requests", b"529 Overloaded", b"400 Bad Request"])
def test_what_failed_may_be_tried_again_with_the_same_key(tmp_path: Path, status: bytes) -> None:
    async def work() -> None:
        async with place(tmp_path) as (platform, s):
            platform.status = status
            assert (await ask(s))[0] == int(status[:3])
            platform.status = b"200 OK"
            platform.go_on.set()
            assert (await ask(s))[0] == 200
            assert platform.calls == 2

    run(work)


def test_the_platform_is_cut_off_when_the_last_of_them_has_gone(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path) as (platform, s):
            writers = []
            for _ in range(2):
                reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
                writer.write(head("POST", "/v1/messages", KEY, len(STREAM)) + STREAM)
                answer = await reader.readuntil(b"\r\n\r\n")
                writers.append(writer)
            request = parsed(answer)[1]["x-trimtab-request"]
            writers[0].close()
            await asyncio.sleep(0.1)
            assert not platform.gone.is_set()
            writers[1].close()
            await asyncio.wait_for(platform.gone.wait(), 60)
            await asyncio.sleep(0.2)
            assert (await s.record(request))["result"] == "cancelled"
            platform.go_on.set()
            assert (await ask(s))[0] == 200  # given up: it may be tried again
            assert float(s.held) == 0

    run(work)


def test_another_process_of_this_machine_joins_the_call_too(tmp_path: Path) -> None:
    async def work() -> None:
        platform = Platform()
        async with upstream(platform) as entry, site(tmp_path, entry) as one, site(tmp_path, entry) as two:
            first = asyncio.create_task(ask(one))
            await until_called(platform, 1)
            other = asyncio.create_task(ask(two))
            await asyncio.sleep(0.2)
            platform.go_on.set()
            status, headers, body = await first
            again = await other
            assert (again[0], again[2]) == (status, body)
            assert again[1]["x-trimtab-idempotency"] == "joined"
            assert again[1]["x-trimtab-request"] == headers["x-trimtab-request"]
            while (late := (await ask(two))[0]) == 200:  # for a moment the call can still be joined
                pass
            assert late == 409
            assert platform.calls == 1

    run(work)


def test_a_request_whose_process_died_is_not_made_again_but_named(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path) as (platform, s):
            platform.go_on.set()
            await ask(s)
            s.application.parts.ground.database.write(
                lambda t: t.change(
                    "UPDATE idempotency_keys SET done = 0, worker = 'dead', request_id = 'r-lost'"
                )
            )
            status, _, body = await ask(s)
            assert status == 409
            assert "r-lost" in body.decode()
            assert "unknown" in body.decode()

    run(work)


def test_while_the_store_is_away_such_requests_wait_outside_and_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with place(tmp_path, wait_ms=50) as (platform, s):
            platform.go_on.set()
            database = s.application.parts.ground.database
            held, free = asyncio.Event(), asyncio.Event()
            loop = asyncio.get_running_loop()

            def hold(transaction: object) -> None:
                loop.call_soon_threadsafe(held.set)
                asyncio.run_coroutine_threadsafe(free.wait(), loop).result(60)

            holding = asyncio.create_task(asyncio.to_thread(database.write, hold))
            await held.wait()
            status, headers, _ = await ask_once(s)
            assert status == 503
            assert headers["retry-after"] == "1"
            assert (
                f"request {headers['x-trimtab-request']}: its idempotency key cannot be looked up"
                in caplog.text
            )
            assert (await ask(s, VERSION))[0] == 200
            free.set()
            await holding
            await asyncio.sleep(0.2)
            assert (await ask(s))[0] == 200  # the claim that came too late was taken back

    run(work)


@pytest.mark.parametrize("bad", [b"", b"x" * 256, b"\xff", b"a\tb"])
def test_a_key_that_cannot_be_kept_is_refused(tmp_path: Path, bad: bytes) -> None:
    async def work() -> None:
        async with place(tmp_path) as (_, s):
            status, _, body = await ask(s, VERSION + b"idempotency-key: " + bad + b"\r\n")
            assert status == 400
            assert b"Idempotency-Key" in body

    run(work)


def test_two_keys_are_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path) as (_, s):
            assert (await ask(s, KEY + b"idempotency-key: order-2\r\n"))[0] == 400

    run(work)


def test_a_claim_that_comes_late_stands_in_nobodys_way(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path, wait_ms=50) as (platform, s):
            platform.go_on.set()
            database = s.application.parts.ground.database
            loop = asyncio.get_running_loop()
            for _ in range(5):
                held, free = asyncio.Event(), asyncio.Event()

                def hold(transaction: object, held: asyncio.Event = held, free: asyncio.Event = free) -> None:
                    loop.call_soon_threadsafe(held.set)
                    asyncio.run_coroutine_threadsafe(free.wait(), loop).result(60)

                holding = asyncio.create_task(asyncio.to_thread(database.write, hold))
                await held.wait()
                key = VERSION + b"idempotency-key: late-%d\r\n" % platform.calls
                for late in await asyncio.gather(*(ask_once(s, key) for _ in range(4))):
                    assert late[0] == 503
                free.set()
                while (status := (await ask(s, key))[0]) == 503:
                    pass
                assert status == 200
                await holding
            assert platform.calls == 5
            await until_so(lambda: not s.application.parts.state.busy)

    run(work)


def test_what_this_process_left_claimed_does_not_make_it_wait_for_itself(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path) as (platform, s):
            platform.go_on.set()
            await ask(s)
            s.application.parts.ground.database.write(
                lambda t: t.change("UPDATE idempotency_keys SET done = 0, request_id = 'r-late'")
            )
            assert (await ask(s))[0] == 200
            assert platform.calls == 2

    run(work)


def never(s: Site, change: str) -> None:
    """Make the store refuse such a change of keys."""
    s.application.parts.ground.database.write(
        lambda t: t.change(
            f"CREATE TRIGGER never BEFORE {change} ON idempotency_keys BEGIN SELECT raise(ABORT, 'no'); END"
        )
    )


def test_a_whole_answer_that_the_store_was_not_told_of_is_not_made_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path) as (platform, s):
            platform.go_on.set()
            never(s, "UPDATE OF done")
            first = (await ask(s))[1]["x-trimtab-request"]
            status, headers, body = await ask(s)
            assert (status, headers["x-should-retry"]) == (409, "false")
            assert first in body.decode()
            other = json.dumps({**ASK, "stream": True, "max_tokens": 65}).encode()
            assert (await ask(s, KEY, other))[0] == 400
            assert platform.calls == 1

    run(work)


def test_a_failure_that_the_store_was_not_told_of_may_be_tried_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path) as (platform, s):
            never(s, "DELETE")
            platform.status = b"529 Overloaded"
            assert (await ask(s))[0] == 529
            platform.status = b"200 OK"
            platform.go_on.set()
            assert (await ask(s))[0] == 200
            assert platform.calls == 2

    run(work)


def test_an_answer_that_broke_off_may_be_tried_again(tmp_path: Path) -> None:
    calls = 0

    async def breaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        await take_request(reader)
        calls += 1
        events = EVENTS if calls > 1 else EVENTS[:3]
        writer.write(SSE_HEAD + b"".join(chunk(event) for event in events))
        writer.write(b"0\r\n\r\n" if calls > 1 else b"")
        await writer.drain()

    async def work() -> None:
        async with upstream(breaking) as entry, site(tmp_path, entry) as s:
            assert b"event: error" in (await ask(s))[2]
            assert b"event: error" not in (await ask(s))[2]
            assert calls == 2

    run(work)


def test_clients_are_told_when_asking_again_can_bring_nothing_else(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path) as (platform, s):
            platform.go_on.set()
            await ask(s)
            assert (await ask(s))[1]["x-should-retry"] == "false"
            database = s.application.parts.ground.database
            database.write(
                lambda t: t.change(
                    "UPDATE idempotency_keys SET done = 0, worker = 'w', request_id = 'r-there'"
                )
            )
            assert (await ask(s))[1]["x-should-retry"] == "false"  # nobody has seen that process
            database.write(lambda t: join(t, "w", "another machine", 1))
            status, headers, body = await ask(s)
            assert (status, headers["retry-after"]) == (409, "1")
            assert "x-should-retry" not in headers
            assert "r-there" in body.decode()

    run(work)


def test_stopping_waits_for_an_answer_that_only_clients_of_another_process_hear(tmp_path: Path) -> None:
    async def work() -> None:
        platform = Platform()
        async with upstream(platform) as entry, site(tmp_path, entry) as two:
            async with site(tmp_path, entry) as one:
                reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
                writer.write(head("POST", "/v1/messages", KEY, len(STREAM)) + STREAM)
                await reader.readuntil(b"\r\n\r\n")
                other = asyncio.create_task(ask(two))
                state = one.application.parts.state
                await until_so(lambda: bool(state.relays))
                writer.close()
                await until_so(lambda: not state.answering)
                one.application.server.drain()
                await asyncio.sleep(0.5)  # a few ticks of the server: it must not end by any of them
                assert not platform.gone.is_set()
                assert state.in_flight == 1
                platform.go_on.set()
                status, _, body = await other
                assert status == 200
                assert b"message_stop" in body
            assert (await ask(two))[0] == 409
            assert platform.calls == 1

    run(work)


def test_a_stop_at_once_tells_all_who_hear_and_leaves_the_key_free(tmp_path: Path) -> None:
    async def work() -> None:
        platform = Platform()
        async with upstream(platform) as entry, site(tmp_path, entry) as two:
            async with site(tmp_path, entry) as one:
                here = [asyncio.create_task(ask(one)) for _ in range(2)]
                await until_called(platform, 1)
                there = asyncio.create_task(ask(two))
                await until_so(lambda: bool(one.application.parts.state.relays))
                one.application.server.drain()
                one.application.server.cut_off()
                for one_of_them in [*here, there]:
                    status, headers, body = await one_of_them
                    assert status == 200
                    assert b"the server is stopping" in body
            assert (await two.record(headers["x-trimtab-request"]))["result"] == "cancelled"
            platform.go_on.set()
            assert b"message_stop" in (await ask(two))[2]
            assert platform.calls == 2

    run(work)


def test_nobody_waits_for_a_process_that_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trimtab.app.once.LOOK_S", 0.1)

    async def work() -> None:
        async with place(tmp_path) as (_, s):
            ground = s.application.parts.ground
            home = ground.journal.home.parent / "stopped"
            home.mkdir()
            silent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            silent.bind(str(home / "join"))
            silent.listen()
            ground.database.write(lambda t: join(t, "stopped", "h", 1))

            async def hear() -> list[object]:
                return [message async for message in ground.claims.listen("stopped", "s" * 64)]

            hearing = asyncio.create_task(hear())
            await asyncio.wait([hearing], timeout=0.5)
            assert not hearing.done()  # it has been seen: its model may only be slow
            ground.database.write(lambda t: t.change("UPDATE workers SET seen_ms = 0 WHERE id = 'stopped'"))
            assert await hearing == []
            silent.close()

    run(work)


def test_a_client_that_reads_nothing_stops_neither_memory_nor_the_others(tmp_path: Path) -> None:
    delta = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * 60_000})
    ended = asyncio.Event()

    async def flooding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(SSE_HEAD + b"".join(chunk(one) for one in EVENTS[:2]))
        for _ in range(800):  # 48 MB
            writer.write(chunk(delta))
            await writer.drain()
        writer.write(b"".join(chunk(one) for one in EVENTS[3:]) + b"0\r\n\r\n")
        await writer.drain()
        ended.set()

    async def work() -> None:
        async with (
            upstream(flooding) as entry,
            site(tmp_path, "[server]\nwrite_timeout_s = 60\n" + entry) as s,
        ):
            _, stuck = await asyncio.open_connection("127.0.0.1", s.port, limit=1024)
            stuck.write(head("POST", "/v1/messages", KEY, len(STREAM)) + STREAM)
            await until_so(lambda: bool(s.application.parts.state.calls))
            await asyncio.sleep(0.3)
            assert not ended.is_set()  # the platform waits
            status, _, body = await ask(s)
            assert status == 200
            assert len(body) > 48_000_000
            assert b"message_stop" in body
            stuck.close()

    run(work)


@pytest.mark.parametrize("stage", ["half a body", "a body", "called", "head", "text", "end", "half a head"])
def test_wherever_a_client_goes_away_its_key_is_neither_stuck_nor_used_twice(
    tmp_path: Path, stage: str
) -> None:
    async def work() -> None:
        async with place(tmp_path) as (platform, s):
            sent = head("POST", "/v1/messages", KEY, len(STREAM)) + STREAM
            reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
            writer.write(sent[: {"half a head": 40, "half a body": -10}.get(stage, len(sent))])
            await writer.drain()
            if stage == "called":
                await until_called(platform, 1)
            elif stage in ("head", "text", "end"):
                await reader.readuntil(b"\r\n\r\n")
            if stage in ("text", "end"):
                await reader.readuntil(b"text_delta")
            if stage == "end":
                platform.go_on.set()
                await reader.readuntil(b"message_stop")
            writer.close()
            if stage in ("head", "text"):
                await asyncio.wait_for(platform.gone.wait(), 60)
            before = platform.calls
            platform.go_on.set()
            status = (await ask(s))[0]
            if stage == "end":  # answered whole, or cut behind its last byte: then it may be tried again
                assert (status, platform.calls) in ((409, before), (200, before + 1))
            else:
                assert status == 200
                assert platform.calls <= 2
            assert (await ask(s))[0] == 409, "what was answered whole is not made again"
            await until_so(lambda: float(s.held) == 0)

    run(work)
