"""Idempotency keys over the store, and the private socket by which workers of one machine share calls in flight."""

import asyncio
import contextlib
import os
import socket
import struct
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from trimtab.app.housekeeping import Chore, Turn
from trimtab.errors import StoreError
from trimtab.gateway import Message, Once, Piece
from trimtab.store import Database, Transaction
from trimtab.store.idempotency import PURGE_ROWS, Earlier, claim, finish, is_seen, purge, release
from trimtab.store.records.journal import SOCKET

_LENGTH = struct.Struct(">I")
_SCOPE_CHARS = 64

CONNECT_S = 1.0
"""Connecting to another process of this machine, and its first word: one that is stopped must not delay others."""

LOOK_S = 10.0
"""So long a silence makes a listener look whether the process that it listens to still runs."""

RELAY_S = 180.0
"""How long another process may take nothing of an answer. More than a client may (`server.write_timeout_s`), for which
it may be waiting."""

T = TypeVar("T")


class _Attempt:
    """A claim for which somebody waits, or waits no more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given_up = False
        self._done = False

    def give_up(self) -> bool:
        """Wait no more; whether that was said in time for the claim to be taken back by who makes it."""
        with self._lock:
            self._given_up = True
            return not self._done

    def done(self) -> bool:
        """It is made; whether somebody still waits for it."""
        with self._lock:
            self._done = True
            return not self._given_up


class StoreClaims:
    """Implements `gateway.Claims`."""

    def __init__(self, database: Database, worker: str, root: Path, *, wait_s: float) -> None:
        """`wait_s`: what a request waits for the store, it waits for so long at the most."""
        self._database = database
        self._worker = worker
        self._root = root
        self._wait_s = wait_s
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="trimtab-idempotency")
        self._late: dict[str, Future[Any]] = {}
        """Claims that came too late and are being taken back: the next one for such a scope must come after that."""

    async def claim(self, scope: str, body_hash: str, request_id: str, key: str) -> Earlier | None:
        """See `Claims.claim`."""
        give_up_at = asyncio.get_running_loop().time() + self._wait_s
        if (late := self._late.get(scope)) is not None:
            with contextlib.suppress(Exception):  # what came of it shows in the claim
                await _until(give_up_at, late)
            if not late.done():
                raise _late()
            del self._late[scope]
        attempt = _Attempt()

        def work() -> Earlier | None:
            earlier = self._database.write(
                lambda t: claim(t, scope, body_hash, request_id, self._worker, key)
            )
            if not attempt.done() and earlier is None:
                self._database.write(lambda t: release(t, scope, request_id))
            return earlier

        asked: Future[Any] = self._submit(work)
        try:
            return await _until(give_up_at, asked)
        except (TimeoutError, asyncio.CancelledError) as problem:
            if not asked.cancel():  # it has begun
                if not attempt.give_up():
                    asked = self._submit(
                        lambda: self._database.write(lambda t: release(t, scope, request_id))
                    )
                self._late = {key: other for key, other in self._late.items() if not other.done()}
                self._late[scope] = asked
            if isinstance(problem, asyncio.CancelledError):
                raise
            raise _late() from None

    async def finish(self, scope: str, request_id: str, answer: bytes | None) -> None:
        """See `Claims.finish`."""
        await self._change(lambda t: finish(t, scope, request_id, answer))

    async def release(self, scope: str, request_id: str) -> None:
        """See `Claims.release`."""
        await self._change(lambda t: release(t, scope, request_id))

    async def _change(self, work: Callable[[Transaction], None]) -> None:
        asked = self._submit(lambda: self._database.write(work))
        await asyncio.shield(asyncio.wrap_future(asked))  # it is done also when the call is cut meanwhile

    def _submit(self, work: Callable[[], T]) -> "Future[T]":
        try:
            return self._threads.submit(work)
        except RuntimeError:
            raise StoreError("the server is stopping") from None

    async def listen(self, worker: str, scope: str) -> AsyncGenerator[Message, None]:
        """See `Claims.listen`. Ends early when that process has not been seen for 30 s."""
        if worker == self._worker:
            return
        try:
            with _in_directory(self._root / worker) as place:
                async with asyncio.timeout(CONNECT_S):
                    reader, writer = await asyncio.open_unix_connection(place)
        except OSError:
            return
        try:
            writer.write(scope.encode())
            while True:
                (length,) = _LENGTH.unpack(await self._read(reader, _LENGTH.size, worker))
                content = await self._read(reader, length, worker)
                message: Message = msgspec.msgpack.decode(content, type=Message)
                yield message
                if isinstance(message, Piece) and message.last:
                    return
        except (OSError, asyncio.IncompleteReadError, msgspec.DecodeError):
            return  # that process has ended, or is of another version
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, size: int, worker: str) -> bytes:
        """So many bytes, however long they take, as long as the process that writes them is seen."""
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    return await reader.readexactly(size)
            except TimeoutError:
                if not await self._seen(worker):
                    raise ConnectionAbortedError from None

    async def _seen(self, worker: str) -> bool:
        asked = self._submit(lambda: self._database.read(lambda t: is_seen(t, worker)))
        try:
            async with asyncio.timeout(LOOK_S):
                return await asyncio.wrap_future(asked)
        except (TimeoutError, StoreError):
            return True  # while the store is away, nobody can show itself

    def close(self) -> None:
        """End the threads; claims that came too late are taken back before."""
        self._threads.shutdown(wait=True)


async def _until(at: float, asked: "Future[T]") -> T:
    """What a thread makes; it goes on when the wait is over. Raises `TimeoutError`."""
    async with asyncio.timeout_at(at):
        return await asyncio.shield(asyncio.wrap_future(asked))


def _late() -> StoreError:
    return StoreError("the store did not answer in time")


def forgetting(database: Database) -> Chore:
    """The chore that deletes keys of more than a day ago."""

    def work(turn: Turn) -> bool:
        while database.write(purge) == PURGE_ROWS:
            if turn.rest(0.05):
                return False
        return True

    return Chore("idempotency keys", work)


async def share(once: Once, home: Path) -> asyncio.Server:
    """Let other workers of this machine listen to calls in flight here, by a socket in our private directory."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                tape = await once.tape((await reader.readexactly(_SCOPE_CHARS)).decode("latin-1"))
            if tape is None:
                return
            gone = asyncio.create_task(_until_gone(reader, asyncio.current_task()))
            try:
                with once.relaying():
                    async with contextlib.aclosing(tape.play()) as messages:
                        async for message in messages:
                            content = msgspec.msgpack.encode(message)
                            writer.write(_LENGTH.pack(len(content)) + content)
                            async with asyncio.timeout(RELAY_S):
                                await writer.drain()
                    writer.close()
                    async with asyncio.timeout(RELAY_S):
                        await writer.wait_closed()  # what it still holds is on its way
            finally:
                gone.cancel()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()

    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _in_directory(home) as place:
        bound.bind(place)
    return await asyncio.start_unix_server(serve, sock=bound)


async def _until_gone(reader: asyncio.StreamReader, listener: "asyncio.Task[None] | None") -> None:
    """The other side sends nothing more: the end of its stream means that nobody hears us."""
    await reader.read(1)
    if listener is not None:
        listener.cancel()


class _in_directory:
    """A path to the socket in a directory that is short enough for the system's limit of 107 bytes."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._descriptor = -1

    def __enter__(self) -> str:
        self._descriptor = os.open(self._home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._descriptor}/{SOCKET}"

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
