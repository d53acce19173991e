"""Idempotency keys over the store, and the private socket by which workers of one machine share calls in flight."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from trimtab.app.housekeeping import Chore, Turn
from trimtab.errors import StoreError
from trimtab.gateway import Message, Once
from trimtab.store import Database, Transaction
from trimtab.store.idempotency import PURGE_ROWS, Earlier, claim, finish, purge, release

CLAIM_DEADLINE_S = 0.05
"""Source: DESIGN, invariant 3: what a request waits for the store, it waits for so long at the most."""

SOCKET = "join"

_LENGTH = struct.Struct(">I")
_SCOPE_CHARS = 64

T = TypeVar("T")


class StoreClaims:
    """Implements `gateway.Claims`."""

    def __init__(self, database: Database, worker: str, root: Path) -> None:
        self._database = database
        self._worker = worker
        self._root = root
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="trimtab-idempotency")

    async def claim(self, scope: str, body_hash: str, request_id: str) -> Earlier | None:
        """See `Claims.claim`."""
        asked = self._submit(lambda t: claim(t, scope, body_hash, request_id, self._worker))
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(asked)), CLAIM_DEADLINE_S)
        except (TimeoutError, asyncio.CancelledError) as problem:
            asked.add_done_callback(lambda late: self._undo(late, scope, request_id))
            if isinstance(problem, asyncio.CancelledError):
                raise
            raise StoreError("the store did not answer in time") from None

    def _undo(self, late: "Future[Earlier | None]", scope: str, request_id: str) -> None:
        """A claim that came too late for its request must not stand in the way of the next."""
        if not late.cancelled() and late.exception() is None and late.result() is None:
            try:
                self._submit(lambda t: release(t, scope, request_id))
            except RuntimeError:  # the process is closing; the claim runs out in a day
                return

    async def finish(self, scope: str, request_id: str, answer: bytes | None) -> None:
        """See `Claims.finish`."""
        await asyncio.wrap_future(self._submit(lambda t: finish(t, scope, request_id, answer)))

    async def release(self, scope: str, request_id: str) -> None:
        """See `Claims.release`."""
        await asyncio.wrap_future(self._submit(lambda t: release(t, scope, request_id)))

    def _submit(self, work: Callable[[Transaction], T]) -> "Future[T]":
        return self._threads.submit(self._database.write, work)

    async def listen(self, worker: str, scope: str) -> AsyncGenerator[Message, None]:
        """See `Claims.listen`."""
        try:
            with _in_directory(self._root / worker) as place:
                reader, writer = await asyncio.open_unix_connection(place)
        except OSError:
            return
        try:
            writer.write(scope.encode())
            while True:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                message: Message = msgspec.msgpack.decode(await reader.readexactly(length))
                if message["type"] == "http.response.start":
                    message["headers"] = [(bytes(name), bytes(value)) for name, value in message["headers"]]
                yield message
                if message["type"] == "http.response.body" and not message["more_body"]:
                    return
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True)


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
            tape = once.tape((await reader.readexactly(_SCOPE_CHARS)).decode("latin-1"))
            if tape is None:
                return
            listener = asyncio.current_task()
            gone = asyncio.create_task(_until_gone(reader, listener))
            try:
                async with contextlib.aclosing(tape.play()) as messages:
                    async for message in messages:
                        content = msgspec.msgpack.encode(message)
                        writer.write(_LENGTH.pack(len(content)) + content)
                        await writer.drain()
            finally:
                gone.cancel()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
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
