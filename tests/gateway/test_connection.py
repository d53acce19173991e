"""One connection: whatever way its bytes are cut into, the same requests come out, one after another."""

import asyncio
import itertools
import re
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trimtab.gateway.connection import KEEP_ALIVE_S, Clients, Connection
from trimtab.gateway.request import ClientGone, ClientRequest
from trimtab.gateway.settings import ServerSettings
from trimtab.gateway.state import ServingState


class Wire(asyncio.Transport):
    """A transport that keeps what is written on it."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.sent = b""
        self.closed = self.aborted = False
        self.reading = self.takes = True

    def write(self, data: Any) -> None:
        self.sent += data

    def writelines(self, list_of_data: Any) -> None:
        self.sent += b"".join(list_of_data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            if self.takes:
                self._lose()

    def abort(self) -> None:
        if not self.aborted and not (self.closed and self.takes):
            self.closed = self.aborted = True
            self._lose()

    def _lose(self) -> None:
        asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Room:
    """A connection, and what was asked on it."""

    def __init__(self, hold: bool = False, early: bool = False, **settings: Any) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.cancelled = 0
        self.early = early
        """The answer does not wait for the body."""
        self.go_on = asyncio.Event()
        if not hold:
            self.go_on.set()
        self.state = ServingState(ServerSettings(**settings))
        self.clients = Clients(self.state, self.answer, lambda: "id")
        self.connection = Connection(self.clients)
        self.wire = Wire(self.connection)
        self.connection.connection_made(self.wire)

    async def answer(self, request: ClientRequest) -> None:
        body, more = b"", True
        try:
            while more and not self.early:
                body += await request.read()
                more = request.more
            self.asked.append((request.method, request.target.path, body))
            await self.go_on.wait()
            request.answer(200, [], body)
        except (asyncio.CancelledError, ClientGone):
            self.cancelled += 1

    async def settled(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    @property
    def statuses(self) -> list[bytes]:
        return re.findall(rb"HTTP/1.1 (\d+)", self.wire.sent)


def get(path: bytes, more: bytes = b"") -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nhost: x\r\n" + more + b"\r\n"


def post(path: bytes, body: bytes, *, chunked: bool = False) -> bytes:
    if not chunked:
        return b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (path, len(body), body)
    pieces = b"".join(
        b"%x\r\n%b\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7)
    )
    return b"POST %b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n%b0\r\n\r\n" % (path, pieces)


WHOLE = st.lists(
    st.one_of(
        st.sampled_from((get(b"/a"), get(b"/b?c=%20"), b"HEAD /h HTTP/1.1\r\n\r\n")),
        st.builds(post, st.just(b"/p"), st.binary(max_size=40), chunked=st.booleans()),
    ),
    min_size=1,
    max_size=5,
)
TAIL = st.one_of(st.just(b""), st.binary(max_size=30), st.sampled_from((b"GET /x HTTP/2.0\r\n\r\n", b"POST /x HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n")))  # fmt: skip


async def fed(data: bytes, cuts: list[int], turns: bool) -> Room:
    room = Room(max_header_bytes=200)
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    for start, end in itertools.pairwise(places):
        if not room.wire.closed:
            room.connection.data_received(data[start:end])
        if turns:
            await room.settled()
    await room.settled()
    return room


@given(WHOLE, TAIL, st.lists(st.integers(0, 10_000), max_size=8), st.booleans())
def test_however_the_bytes_are_cut_the_same_is_asked_and_answered(
    requests: list[bytes], tail: bytes, cuts: list[int], turns: bool
) -> None:
    async def work() -> None:
        data = b"".join(requests) + tail
        one, other = await fed(data, [], False), await fed(data, cuts, turns)
        assert len(one.asked) >= len(requests)
        assert other.asked == one.asked
        assert other.wire.sent == one.wire.sent
        assert other.wire.closed == one.wire.closed

    asyncio.run(work())


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_any_bytes_get_an_answer_or_are_waited_for(data: bytes, cuts: list[int]) -> None:
    async def work() -> None:
        room = await fed(data, cuts, True)
        assert set(room.statuses) <= {b"200", b"400", b"431", b"505"}
        assert room.wire.closed or room.statuses in ([], [b"200"])

    asyncio.run(work())


def in_loop(work: Callable[[], Any]) -> None:
    asyncio.run(work())


def test_requests_sent_ahead_are_answered_in_turn_and_not_begun_while_the_client_lags() -> None:
    async def work() -> None:
        room = Room()
        room.connection.pause_writing()
        room.connection.data_received(get(b"/1") + get(b"/2"))
        await room.settled()
        assert room.asked == []
        room.connection.resume_writing()
        await room.settled()
        assert [path for _, path, _ in room.asked] == ["/1", "/2"]
        assert room.statuses == [b"200", b"200"]

    in_loop(work)


def test_a_refusal_comes_after_the_answers_to_what_came_before_it() -> None:
    async def work() -> None:
        room = Room(hold=True)
        room.connection.data_received(get(b"/1") + get(b"/2") + b"NONSENSE\r\n\r\n")
        await room.settled()
        assert room.wire.sent == b""
        room.go_on.set()
        await room.settled()
        assert room.statuses == [b"200", b"200", b"400"]
        assert room.wire.closed

    in_loop(work)


def test_when_the_client_goes_all_it_asked_for_is_given_up() -> None:
    async def work() -> None:
        room = Room(hold=True)
        room.connection.data_received(get(b"/1") + get(b"/2"))
        await room.settled()
        room.connection.connection_lost(None)
        await room.settled()
        assert (room.cancelled, len(room.asked)) == (1, 1)
        assert room.wire.sent == b""
        assert not room.clients.connections
        assert room.clients.tasks() == []

    in_loop(work)


def test_reading_goes_on_while_an_answer_is_made_so_that_a_clients_end_is_noticed() -> None:
    async def work() -> None:
        room = Room(hold=True)
        room.connection.data_received(post(b"/1", b"x" * 200_000) + get(b"/2"))
        await room.settled()
        assert room.wire.reading

    in_loop(work)


def test_the_deadlines_begin_at_the_first_look_and_not_before() -> None:
    async def work() -> None:
        settings = ServerSettings(header_timeout_s=10, body_timeout_s=30, write_timeout_s=120)
        for data, late_s, statuses in (
            (b"", settings.header_timeout_s, []),
            (b"GET", settings.header_timeout_s, [b"408"]),
            (b"GET / HTTP/1.1\r\na: b", settings.header_timeout_s, [b"408"]),
            (b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n", settings.body_timeout_s, [b"408"]),
            (
                b"POST / HTTP/1.1\r\ncontent-length: 9000\r\n\r\n" + b"x" * 2048,
                settings.body_timeout_s + 2,
                [b"408"],
            ),
            (get(b"/"), KEEP_ALIVE_S, [b"200"]),
        ):
            room = Room()
            room.connection.data_received(data) if data else None
            await room.settled()
            for now in (1000.0, 1000.0 + late_s):
                room.connection.sweep(now)
                assert not room.wire.closed
            room.connection.sweep(1000.1 + late_s)
            assert room.wire.closed
            assert room.statuses == statuses
            await room.settled()

    in_loop(work)


def test_a_client_that_takes_nothing_is_cut_and_one_that_does_again_is_not() -> None:
    async def work() -> None:
        room = Room(hold=True, write_timeout_s=5)
        room.connection.data_received(get(b"/"))
        room.connection.pause_writing()
        room.connection.sweep(1000.0)
        room.connection.sweep(1004.0)
        room.connection.resume_writing()
        room.connection.sweep(1008.0)
        room.connection.pause_writing()
        room.connection.sweep(1012.0)
        room.connection.sweep(1016.0)
        assert not room.wire.closed
        room.connection.sweep(1017.1)
        assert room.wire.closed
        await room.settled()

    in_loop(work)


def test_one_request_has_one_answer_also_when_its_body_goes_wrong_after_it() -> None:
    async def work() -> None:
        for wrong in (b"ZZ\r\n", b""):
            room = Room(early=True, body_timeout_s=5)
            room.connection.data_received(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
            await room.settled()
            assert room.statuses == [b"200"]
            if wrong:
                room.connection.data_received(wrong)
            else:
                room.connection.sweep(1000.0)
                room.connection.sweep(1006.0)
            assert room.statuses == [b"200"]
            assert room.wire.closed
            await room.settled()

    in_loop(work)


def test_a_trailer_that_closes_the_connection_closes_it() -> None:
    async def work() -> None:
        for early in (False, True):
            room = Room(early=early)
            room.connection.data_received(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
            await room.settled()
            room.connection.data_received(b"0\r\nconnection: close\r\n\r\n" + get(b"/never"))
            await room.settled()
            assert room.statuses == [b"200"]
            assert room.wire.closed

    in_loop(work)


def test_a_client_that_waits_to_send_its_body_is_not_kept_when_nobody_wants_that() -> None:
    """What it sends next may be the body or another request; nobody could tell."""

    async def work() -> None:
        room = Room(early=True)
        room.connection.data_received(
            b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 40\r\n\r\n"
        )
        await room.settled()
        assert room.statuses == [b"200"]
        assert b"connection: close\r\n" in room.wire.sent
        assert room.wire.closed

    in_loop(work)


def test_only_a_client_that_knows_interim_answers_and_has_more_to_send_gets_one() -> None:
    async def work() -> None:
        for version, length, statuses in (
            (b"1.1", 1, [b"100", b"200"]),
            (b"1.1", 0, [b"200"]),
            (b"1.0", 1, [b"200"]),
        ):
            room = Room()
            room.connection.data_received(
                b"POST / HTTP/%b\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n" % (version, length)
            )
            await room.settled()
            room.connection.data_received(b"x") if length else None
            await room.settled()
            assert room.statuses == statuses

    in_loop(work)


def test_a_client_that_does_not_take_the_last_bytes_of_a_closed_connection_is_cut() -> None:
    async def work() -> None:
        room = Room(write_timeout_s=5)
        room.wire.takes = False
        room.connection.data_received(get(b"/", b"connection: close\r\n"))
        await room.settled()
        assert room.wire.closed
        for now in (1000.0, 1005.0):
            room.connection.sweep(now)
            assert not room.wire.aborted
        room.connection.sweep(1005.1)
        assert room.wire.aborted
        await room.settled()
        assert not room.clients.connections

    in_loop(work)
