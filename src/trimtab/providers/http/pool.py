"""A pool of connections to one target: last in, first out, so that warm connections are used and old ones age."""

import asyncio
import ssl
from collections import OrderedDict

import httptools

from trimtab.errors import UpstreamBroken, UpstreamRefused, UpstreamTimeout
from trimtab.providers.http.connection import Connection, Deadlines, Exchange
from trimtab.providers.http.target import Proxy, Target
from trimtab.providers.seam import Call

KEEP_ALIVE_S = 30.0
"""An idle connection older than this is not used again: load balancers close idle ones after 60 s and more, and a
request that meets such a close could not be repeated safely."""

KNOWN_STARTS = 64
KNOWN_START_BYTES = 512
"""Beginnings of requests that are kept, 70 KB at the most, however callers vary path and query."""

_NOT_IN_A_REQUEST_LINE = bytes(range(0x21)) + b"\x7f"
"""Controls and space: each would end the line or the target, and what follows would be a request of the caller's."""


class HttpClient:
    """Sends calls to one target. Bound to one event loop; `aclose` when done.

    Invariants: sockets and the right to open one (`_all` and `_opening`) are never more than `max_connections`. What
    comes free is handed to the caller that waits longest, in its future, so that no newcomer can take it and no
    wake-up is lost: while a caller waits, nothing is free.
    """

    def __init__(
        self,
        target: Target,
        deadlines: Deadlines,
        *,
        tls: ssl.SSLContext | None,
        proxy: Proxy | None = None,
        max_connections: int = 4096,
    ) -> None:
        self._target = target
        self._deadlines = deadlines
        self._tls = tls if target.scheme == "https" else None
        self._proxy = proxy
        self._max = max_connections
        self._free: list[Connection] = []
        self._all: set[Connection] = set()
        self._opening = 0
        self._waiters: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        """In the order in which they are served; gets a connection, or None for a slot counted in `_opening`."""
        self._host_line = f"host: {target.authority}\r\n".encode()
        self._starts: dict[tuple[str, str, bytes], bytes] = {}
        """How requests begin, by method, path and query."""

    async def send(self, call: Call, authentication: bytes) -> Exchange:
        """Send a call, with ready-made header lines for authentication.

        Raises as `Provider.send` does, what an iterator body raises, and `ValueError` for a call that is not HTTP.
        """
        head = self._head(call, authentication)
        connection = await self._acquire()
        return await connection.request(head, call.body, self._deadlines, stream=call.stream)

    async def aclose(self) -> None:
        """Cut every connection."""
        for connection in list(self._all):
            connection.abort()
        self._free.clear()
        for _ in range(100):  # the loop tells each connection of its end in its next turns
            if not self._all:
                return
            await asyncio.sleep(0)

    def _head(self, call: Call, authentication: bytes) -> bytes:
        line = (call.method, call.path, call.query)
        start = self._starts.get(line) or self._start(*line)
        length = len(call.body) if isinstance(call.body, bytes) else call.content_length
        if length is None:
            raise ValueError("a streamed body needs its content_length")
        lines = [b": ".join(pair) for pair in call.headers]
        if length or call.method in ("POST", "PUT", "PATCH"):
            lines.append(b"content-length: %d" % length)
        lines.append(b"accept-encoding: identity\r\n\r\n")
        return start + authentication + b"\r\n".join(lines)

    def _start(self, method: str, path: str, query: bytes) -> bytes:
        """The request line and the host. Kept: a platform is asked in few ways, over and over."""
        target = f"{self._target.base_path}{path}".encode("ascii")
        if query:
            target += b"?" + query
        if len(target.translate(None, _NOT_IN_A_REQUEST_LINE)) != len(target):
            raise ValueError(
                f"a path or query with spaces or control characters is never sent: {target[:100]!r}"
            )
        start = b"%b %b HTTP/1.1\r\n%b" % (method.encode("ascii"), target, self._host_line)
        if len(start) <= KNOWN_START_BYTES:
            if len(self._starts) >= KNOWN_STARTS:
                self._starts.clear()
            self._starts[method, path, query] = start
        return start

    # The pool

    async def _acquire(self) -> Connection:
        connection = self._idle()
        if connection is not None:
            return connection
        limit_s = self._deadlines.connect_s
        try:
            async with asyncio.timeout(limit_s):
                again = False
                while len(self._all) + self._opening >= self._max:
                    connection = await self._turn(first=again)
                    if connection is None:
                        return await self._open()
                    if not connection.closed:
                        return connection
                    # It ended between being handed over and now; its slot comes free in a later turn of the loop.
                    again = True
                    connection = self._idle()
                    if connection is not None:
                        return connection
                self._opening += 1
                return await self._open()
        except TimeoutError:
            raise UpstreamTimeout(
                f"could not connect to {self._target.authority} within {limit_s:g} s", "connect"
            ) from None

    def _idle(self) -> Connection | None:
        while self._free:
            connection = self._free.pop()
            if connection.closed:
                continue
            if connection.loop.time() - connection.idle_since < KEEP_ALIVE_S:
                return connection
            connection.abort()
        return None

    async def _turn(self, *, first: bool) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        if first:
            self._waiters.move_to_end(waiter, last=False)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._waiters.pop(waiter, None)
            if waiter.done() and not waiter.cancelled():  # cancelled in the very turn in which it was served
                connection = waiter.result()
                if connection is None:
                    self._opening -= 1
                    self._offer_slot()
                else:
                    self._offer(connection)
            raise

    def _next_waiter(self) -> "asyncio.Future[Connection | None] | None":
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                return waiter
        return None

    def _offer(self, connection: Connection) -> None:
        if connection.closed:
            return  # the end of its socket, reported by the loop, offers the slot
        waiter = self._next_waiter()
        if waiter is None:
            self._free.append(connection)
        else:
            waiter.set_result(connection)

    def _offer_slot(self) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            self._opening += 1
            waiter.set_result(None)

    def _released(self, connection: Connection) -> None:
        connection.idle_since = connection.loop.time()
        self._offer(connection)

    def _lost(self, connection: Connection) -> None:
        if connection in self._all:  # else it is still being opened, and `_open` sees to its slot
            self._all.remove(connection)
            self._offer_slot()

    async def _open(self) -> Connection:
        """Open a connection in a slot that is counted in `_opening`, and see to the slot if that fails."""
        connection = Connection(self._released, self._lost)
        try:
            await self._connect(connection)
        except BaseException:
            # Its socket, if there was one, is closed by now: uvloop does so without a word to the protocol.
            connection.abort()
            self._opening -= 1
            self._offer_slot()
            raise
        self._opening -= 1
        if connection.holds_socket:
            self._all.add(connection)
        else:
            self._offer_slot()
        if connection.closed:
            raise UpstreamRefused(f"{self._target.authority} closed the connection as soon as it was made")
        return connection

    async def _connect(self, connection: Connection) -> None:
        try:
            if self._proxy is None:
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    self._target.host,
                    self._target.port,
                    ssl=self._tls,
                    server_hostname=self._target.host if self._tls else None,
                )
            else:
                await self._tunnel(connection, self._proxy)
        except TimeoutError:
            raise
        except ssl.SSLCertVerificationError as problem:
            raise UpstreamRefused(
                f"cannot verify the TLS certificate of {self._target.authority}: {problem.verify_message}; "
                "set ca_file if it is signed by your own authority"
            ) from None
        except (OSError, UnicodeError) as problem:  # UnicodeError: a host name that DNS cannot carry
            through = f" through the proxy {self._proxy.host}:{self._proxy.port}" if self._proxy else ""
            reason = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
            raise UpstreamRefused(f"cannot connect to {self._target.authority}{through}: {reason}") from None

    async def _tunnel(self, connection: Connection, proxy: Proxy) -> None:
        loop = asyncio.get_running_loop()
        transport, tunnel = await loop.create_connection(_Tunnel, proxy.host, proxy.port)
        try:
            host = f"[{self._target.host}]" if ":" in self._target.host else self._target.host
            where = f"{host}:{self._target.port}"
            lines = [f"CONNECT {where} HTTP/1.1", f"host: {where}"]
            if proxy.authorization:
                lines.append(f"proxy-authorization: {proxy.authorization}")
            transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            await tunnel.established
            transport.set_protocol(connection)
            if self._tls is None:
                connection.adopt(transport)
                return
            secured = await loop.start_tls(
                transport, connection, self._tls, server_hostname=self._target.host
            )
            if secured is None:
                raise ConnectionError("the proxy closed the tunnel")
            connection.adopt(secured)
        except BaseException:
            transport.abort()
            raise


class _Tunnel(asyncio.Protocol):
    """Waits for a proxy's answer to CONNECT."""

    def __init__(self) -> None:
        self.established: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as problem:
            self._end(UpstreamBroken(f"the proxy's answer is not HTTP: {problem}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(UpstreamRefused("the proxy closed the connection"))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 200 <= status < 300:
            if not self.established.done():
                self.established.set_result(None)
        else:
            self._end(UpstreamRefused(f"the proxy refused the tunnel with status {status}"))

    def _end(self, error: Exception) -> None:
        if not self.established.done():
            self.established.set_exception(error)
