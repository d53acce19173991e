"""What a supervisor and its workers say to each other over a socket pair.

What it is not: a way for anything but small control messages; requests never pass here.
Invariants: a frame is 4 bytes of length, big-endian, and that many bytes of MessagePack; messages arrive in order;
the end of the stream means that the other process is gone.
"""

import asyncio
import logging
import socket
import struct
from typing import TypeAlias

import msgspec

from trimtab.app.settings import Held, Origin
from trimtab.telemetry.exposition import Family

MAX_FRAME_BYTES = 64 * 1024 * 1024
"""Twice a configuration and its overlay at their largest come to 16 MiB; more is not one of our messages."""

CLOSE_S = 2.0

_log = logging.getLogger("trimtab.app")
_LENGTH = struct.Struct(">I")


# --- From the supervisor ---


class Configure(msgspec.Struct, frozen=True, tag=True):
    """Build this configuration. The first one starts the worker with it; a later one waits for its `Commit`."""

    turn: int
    """Counts up; the answer names it."""
    origin: Origin
    held: Held


class Commit(msgspec.Struct, frozen=True, tag=True):
    """Put in force what this turn built; every worker could build it."""

    turn: int


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Finish what is in flight, then end."""

    alone: bool
    """Others go on serving: let go of the listening socket at once, but answer what open connections bring."""


class CutOff(msgspec.Struct, frozen=True, tag=True):
    """End now; what is in flight is cut, settled and recorded."""


class Scrape(msgspec.Struct, frozen=True, tag=True):
    """Say what your metrics are."""

    ask: int


class Exposed(msgspec.Struct, frozen=True, tag=True):
    """The metrics of the whole server, for a client of the worker that asked."""

    ask: int
    text: bytes


# --- From a worker ---


class Prepared(msgspec.Struct, frozen=True, tag=True):
    """This configuration is built and waits for its `Commit`; the old one is still in force."""

    turn: int


class Acknowledged(msgspec.Struct, frozen=True, tag=True):
    """This configuration is in force here for every new request."""

    turn: int
    version: str
    worker_id: str


class Refused(msgspec.Struct, frozen=True, tag=True):
    """This configuration cannot be used here, and why; one line."""

    turn: int
    problem: str


class Draining(msgspec.Struct, frozen=True, tag=True):
    """No new request is taken; so many are still in flight."""

    in_flight: int


class Measured(msgspec.Struct, frozen=True, tag=True):
    """The worker's metrics: the answer to a `Scrape`, or unasked (0) so that a crash loses little."""

    ask: int
    families: list[Family]


class Expose(msgspec.Struct, frozen=True, tag=True):
    """A client of this worker wants the metrics of the whole server."""

    ask: int


class Ended(msgspec.Struct, frozen=True, tag=True):
    """The worker's last word: everything is settled and stored, as far as it could be."""

    cut: int
    lost: int
    families: list[Family]


ToWorker: TypeAlias = Configure | Commit | Drain | CutOff | Scrape | Exposed
ToSupervisor: TypeAlias = Prepared | Acknowledged | Refused | Draining | Measured | Expose | Ended


class Channel:
    """One end of the pair in a running event loop. Decodes what it receives as one of `kinds`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kinds: object) -> None:
        self._reader, self._writer = reader, writer
        self._decoder: msgspec.msgpack.Decoder[object] = msgspec.msgpack.Decoder(kinds)
        self._encoder = msgspec.msgpack.Encoder()

    @classmethod
    async def open(cls, end: socket.socket, kinds: object) -> "Channel":
        """Take over one end of a socket pair."""
        end.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=end), kinds)

    def send(self, message: ToWorker | ToSupervisor) -> None:
        """Queue a message; never waits and never raises. To a process that is gone it says nothing."""
        if self._writer.is_closing():
            return
        body = self._encoder.encode(message)
        self._writer.write(_LENGTH.pack(len(body)) + body)

    async def receive(self) -> object | None:
        """The next message; `None` when the other side is gone or speaks nonsense."""
        try:
            (size,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if size > MAX_FRAME_BYTES:
                return None
            return self._decoder.decode(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, OSError):
            return None
        except msgspec.DecodeError as problem:
            _log.error("a message between supervisor and worker cannot be read: %s", problem)
            return None

    async def aclose(self) -> None:
        """Close this end, once the other side has taken what was sent or had `CLOSE_S` for it."""
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()
