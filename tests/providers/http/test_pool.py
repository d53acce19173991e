"""The pool against a real server: its limit, its order, and callers that go away at the worst moment."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from trimtab.errors import UpstreamError
from trimtab.providers import Call
from trimtab.providers.http import Deadlines, HttpClient, Target
from trimtab.providers.http.connection import Connection

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CUT = OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")


class Server:
    """Answers each request after `pause()`; counts connections and the paths in the order they came."""

    def __init__(self) -> None:
        self.accepted = 0
        self.paths: list[bytes] = []
        self.pause: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)
        self.answer: Callable[[], bytes] = lambda: OK

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.paths.append(head.split(b" ")[1])
                await self.pause()
                answer = self.answer()
                writer.write(answer)
                if answer is not OK:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def run(work: Callable[[Server, HttpClient], Awaitable[None]], limit: int, connect_s: float = 2.0) -> None:
    async def within() -> None:
        upstream = Server()
        server = await asyncio.start_server(upstream.handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = HttpClient(
            Target("http", "127.0.0.1", port), Deadlines(connect_s), tls=None, max_connections=limit
        )
        try:
            async with asyncio.timeout(60):
                await work(upstream, client)
        finally:
            await client.aclose()
            server.close()
            await asyncio.sleep(0.02)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(within())


async def get(client: HttpClient, path: str = "/") -> bytes:
    reply = await client.send(Call(method="GET", path=path, headers=[]), b"")
    try:
        parts = []
        while chunk := await reply.read():
            parts.append(chunk)
        return b"".join(parts)
    finally:
        reply.close()


def test_the_platform_never_sees_more_connections_than_the_limit() -> None:
    async def work(upstream: Server, client: HttpClient) -> None:
        async def again_and_again() -> None:
            for _ in range(20):  # each is a newcomer just when its last connection comes free
                assert await get(client) == b"ok"

        await asyncio.gather(*(again_and_again() for _ in range(40)))
        assert upstream.accepted == 4

    run(work, limit=4)


def test_callers_are_served_in_the_order_they_came() -> None:
    async def work(upstream: Server, client: HttpClient) -> None:
        upstream.pause = lambda: asyncio.sleep(0.002)
        upstream.answer = iter([OK, CUT, OK, OK, CUT] * 4).__next__  # slots and connections take turns
        tasks = []
        for n in range(20):
            tasks.append(asyncio.create_task(get(client, f"/{n}")))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert upstream.paths == [b"/%d" % n for n in range(20)]

    run(work, limit=1)


@pytest.mark.parametrize("what", ["connection", "slot"])
def test_a_caller_cancelled_as_it_is_served_passes_its_turn_on(what: str) -> None:
    async def work(upstream: Server, client: HttpClient) -> None:
        go = asyncio.Event()
        upstream.pause = go.wait
        if what == "slot":
            upstream.answer = lambda: CUT
        busy = asyncio.create_task(client.send(Call(method="GET", path="/", headers=[]), b""))
        await asyncio.sleep(0.02)
        first = asyncio.create_task(get(client))
        second = asyncio.create_task(get(client))
        await asyncio.sleep(0.02)
        (connection,) = client._all
        offer = client._lost if what == "slot" else client._released

        def offer_and_cancel(ended: Connection) -> None:
            offer(ended)
            first.cancel()  # it is served already, but has not run since
            connection._lost = client._lost
            connection._released = client._released

        if what == "slot":
            connection._lost = offer_and_cancel
        else:
            connection._released = offer_and_cancel
        go.set()
        await busy
        assert await second == b"ok"
        assert first.cancelled()
        await asyncio.sleep(0.02)
        assert client._opening == 0

    run(work, limit=1, connect_s=1)


def test_a_connection_that_ends_in_the_turn_it_is_handed_over_is_not_used() -> None:
    async def work(upstream: Server, client: HttpClient) -> None:
        go = asyncio.Event()
        upstream.pause = go.wait
        busy = asyncio.create_task(client.send(Call(method="GET", path="/", headers=[]), b""))
        await asyncio.sleep(0.02)
        waiting = [asyncio.create_task(get(client, f"/{n}")) for n in range(3)]
        await asyncio.sleep(0.02)
        (connection,) = client._all

        def hand_over_and_end(released: Connection) -> None:
            client._released(released)
            connection.abort()

        connection._released = hand_over_and_end
        go.set()
        await busy
        assert await asyncio.gather(*waiting) == [b"ok"] * 3
        assert upstream.paths == [b"/", b"/0", b"/1", b"/2"]
        assert upstream.accepted == 2

    run(work, limit=1, connect_s=1)


@pytest.mark.parametrize("seed", range(8))
def test_no_slot_is_lost_and_none_invented_whatever_is_cancelled(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 3
    chance = random.Random(seed)
    live: set[Connection] = set()
    most = 0
    made, lost = Connection.connection_made, Connection.connection_lost

    def count_made(self: Connection, transport: asyncio.BaseTransport) -> None:
        nonlocal most
        made(self, transport)
        live.add(self)
        most = max(most, sum(not c.closed for c in live))

    def count_lost(self: Connection, problem: Exception | None) -> None:
        live.discard(self)
        lost(self, problem)

    monkeypatch.setattr(Connection, "connection_made", count_made)
    monkeypatch.setattr(Connection, "connection_lost", count_lost)

    async def work(upstream: Server, client: HttpClient) -> None:
        upstream.pause = lambda: asyncio.sleep(chance.choice((0, 0, 0.001, 0.003)))
        upstream.answer = lambda: chance.choice((OK, OK, OK, CUT, b"", b"nonsense\r\n\r\n"))
        tasks: list[asyncio.Task[bytes]] = []
        for _ in range(400):
            tasks.append(asyncio.create_task(get(client)))
            if chance.random() < 0.5:
                chance.choice(tasks[-20:]).cancel()
            if chance.random() < 0.7:
                await asyncio.sleep(chance.choice((0, 0, 0.0005, 0.002)))
            assert len(client._all) + client._opening <= limit
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome == b"ok" or isinstance(outcome, UpstreamError | asyncio.CancelledError)
        upstream.answer = lambda: OK
        at_once = top = 0

        async def together() -> None:
            nonlocal at_once, top
            at_once += 1
            top = max(top, at_once)
            await asyncio.sleep(0.1)
            at_once -= 1

        await asyncio.sleep(0.05)  # connections that were being closed are closed
        upstream.pause = together
        assert await asyncio.gather(*(get(client) for _ in range(2 * limit))) == [b"ok"] * (2 * limit)
        assert top == limit
        assert not client._waiters
        assert client._opening == 0

    run(work, limit)
    assert 0 < most <= limit
