"""One HTTP request and its answer on top of ASGI, with the header rules of a gateway."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Any, Protocol

from trimtab.errors import (
    AuthenticationFailed,
    Conflict,
    InFlight,
    MethodNotAllowed,
    PermissionDenied,
    RateLimited,
    RequestError,
    RequestTooLarge,
    Stopping,
    TrimtabError,
    Unavailable,
    UpstreamError,
    shortened,
)
from trimtab.gateway.answering import BODY_FOLLOWS
from trimtab.gateway.surroundings import Surroundings
from trimtab.messages import error_body
from trimtab.providers import Headers
from trimtab.records import NOBODY, Caller

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CONNECTION = "trimtab.connection"
"""Scope key: the `Connection` of this request, where it came over one of ours."""


NAMED = "trimtab.named"
"""Scope key: the request's headers `by_name`."""


class Connection(Protocol):
    """What the application may ask of the protocol besides ASGI. When the client's connection is lost, the protocol
    cancels the task that answers."""

    def gone(self) -> bool:
        """Whether the client's connection was lost before the answer was complete."""
        ...

    def push(self, piece: bytes) -> bool:
        """Send a piece of a body that has begun, without waiting; whether more may come just now."""
        ...

    async def drain(self) -> None:
        """Wait until the client has caught up."""
        ...


_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Source: RFC 9110 section 7.6.1."""

_NEVER_UPSTREAM = _HOP_BY_HOP | {
    b"host",
    b"content-length",
    b"accept-encoding",
    b"expect",
    b"forwarded",
    b"via",
    b"origin",
    b"referer",
}
"""Framing is made anew, and where the client is stays here. Credentials: `_SECRET_WORDS`."""

_SECRET_WORDS = (b"key", b"token", b"secret", b"auth", b"password", b"cookie", b"credential")
"""A header with one of these in its name is taken for a credential of the caller's, unless it is the vendor's own
(`anthropic-`) or an idempotency key."""

_NEVER_TO_CLIENT = _HOP_BY_HOP | {b"content-length", b"set-cookie", b"alt-svc"}

KNOWN_NAMES = 512
KNOWN_NAME_BYTES = 64
"""Header names whose verdict is kept: about 60 KB at the most, whatever names clients invent."""

DISCARD_BYTES = 256_000_000
"""A body over the limit is read and thrown away up to here, so that the client can hear the answer."""


class ClientGone(Exception):
    """The client's connection is lost; there is nobody to answer."""


class Exchange:
    """One request on its way in and its answer on the way out."""

    __slots__ = (
        "_receive",
        "around",
        "caller",
        "connection",
        "failed",
        "headers",
        "id",
        "last",
        "method",
        "named",
        "path",
        "scope",
        "send",
        "started",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, around: Surroundings) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: Headers = scope["headers"]
        self.named: Mapping[bytes, bytes] = scope.get(NAMED) or by_name(self.headers)
        self.around = around
        """What this request uses to its end, also when another configuration comes into force meanwhile."""
        self.id = around.new_id()
        self.caller: Caller = NOBODY
        """Who sends it, once that has been found out."""
        self.started = False
        self.failed = False
        """An answer that has begun ends in an error."""
        self.last = False
        """The connection is closed after this answer."""
        self._receive = receive
        self.send = send
        """Takes an ASGI message as it is."""
        self.connection: Connection | None = scope.get(CONNECTION)
        """Where the answer goes straight to a client's connection."""

    def onto(self, send: Send) -> "Exchange":
        """The same request, its body read already, answered to somebody else."""
        inner = Exchange(self.scope, self._receive, send, self.around)
        inner.id, inner.caller, inner.last = self.id, self.caller, self.last
        inner.connection = None
        return inner

    def header(self, name: bytes) -> bytes | None:
        """The first request header of this (lower-case) name."""
        return self.named.get(name)

    def require(self, *methods: str) -> None:
        """Refuse other methods."""
        if self.method not in methods:
            raise MethodNotAllowed(self.method, self.path, ", ".join(methods))

    def declared_length(self) -> int | None:
        """Content-Length, where the client gave one; the parser has checked that it is a number."""
        value = self.header(b"content-length")
        return int(value) if value is not None else None

    async def body(self, limit: int) -> bytes:
        """The whole request body. Raises `RequestTooLarge` or `ClientGone`."""
        declared = self.declared_length() or 0
        if declared > DISCARD_BYTES:
            raise _too_large(declared, limit)
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size > DISCARD_BYTES:
                raise _too_large(size, limit)
            if size <= limit:
                parts.append(piece)
            if not message.get("more_body", False):
                break
        if size > limit:
            raise _too_large(size, limit)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def body_pieces(self) -> AsyncIterator[bytes]:
        """The request body as it arrives. Raises `ClientGone`."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            if piece := message.get("body", b""):
                yield piece
            if not message.get("more_body", False):
                return

    async def start(self, status: int, headers: Headers) -> None:
        """Send the response head."""
        self.started = True
        if self.last and (b"connection", b"close") not in headers:
            headers = [*headers, (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer; head and body leave together. `headers` must have the content-length."""
        self.started = True
        if self.last and (b"connection", b"close") not in headers:
            headers = [*headers, (b"connection", b"close")]
        start = {"type": "http.response.start", "status": status, "headers": headers, BODY_FOLLOWS: True}
        await self.send(start)
        await self.send({"type": "http.response.body", "body": body})

    async def write(self, piece: bytes) -> None:
        """Send a piece of the body; waits while the client lags."""
        await self.send({"type": "http.response.body", "body": piece, "more_body": True})

    async def finish(self, piece: bytes = b"") -> None:
        """Send the last piece."""
        await self.send({"type": "http.response.body", "body": piece, "more_body": False})

    async def reply(
        self,
        status: int,
        body: bytes,
        content_type: bytes = b"application/json",
        extra: Headers | None = None,
    ) -> None:
        """Send a whole answer of our own."""
        headers = [
            (b"content-type", content_type),
            (b"content-length", b"%d" % len(body)),
            *(extra or []),
        ]
        if status >= 400 or self.path.startswith("/v1/"):  # what may be looked up, in the records or the log
            headers.append((b"x-trimtab-request", self.id.encode()))
        await self.answer(status, headers, b"" if self.method == "HEAD" else body)

    async def fail(self, error: TrimtabError) -> None:
        """Send an error in the vendor's shape."""
        extra: Headers = [(b"request-id", self.id.encode())]
        if isinstance(error, Unavailable | RateLimited | InFlight):
            extra.append((b"retry-after", b"%d" % error.retry_after_s))
        elif isinstance(error, Conflict):
            extra.append((b"x-should-retry", b"false"))  # the vendor's SDKs try a 409 again
        if isinstance(error, Stopping):
            extra.append((b"connection", b"close"))
        elif isinstance(error, UpstreamError):
            extra.append((b"x-should-retry", b"true" if error.retryable else b"false"))
        elif isinstance(error, AuthenticationFailed):
            extra.append((b"www-authenticate", b"Bearer"))
        elif isinstance(error, MethodNotAllowed):
            extra.append((b"allow", error.allowed.encode()))
        elif isinstance(error, RequestTooLarge):
            extra.append((b"connection", b"close"))
        await self.reply(error.status, error_body(error.anthropic_type, str(error), self.id), extra=extra)


def _too_large(size: int, limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The request body has {size:,} bytes or more; the limit is {limit:,} bytes")


def by_name(headers: Headers) -> dict[bytes, bytes]:
    """The first value of each name. Shorter than `headers` where a name stands twice."""
    named = dict(headers)
    return named if len(named) == len(headers) else dict(reversed(headers))


def upstream_headers(headers: Headers) -> Headers:
    """The client's headers that go to the platform: all but framing, credentials, addresses and our own."""
    goes = _GOES_UPSTREAM
    named = _connection_options(headers)
    if named:
        return [pair for pair in headers if goes[pair[0]] and pair[0] not in named]
    return [pair for pair in headers if goes[pair[0]]]


class _Verdicts(dict[bytes, bool]):
    """What a rule says of each header name. Clients send few, so they are judged once; how many are kept is bounded."""

    def __init__(self, rule: Callable[[bytes], bool]) -> None:
        super().__init__()
        self._rule = rule

    def __missing__(self, name: bytes) -> bool:
        verdict = self._rule(name)
        if len(self) < KNOWN_NAMES and len(name) < KNOWN_NAME_BYTES:
            self[name] = verdict
        return verdict


def _goes_upstream(name: bytes) -> bool:
    if name in _NEVER_UPSTREAM or name.startswith((b"x-trimtab-", b"x-forwarded-", b"sec-")):
        return False
    if name.startswith(b"anthropic-") or name == b"idempotency-key":
        return True
    return not name.endswith(b"-ip") and not any(word in name for word in _SECRET_WORDS)


def _goes_to_client(name: bytes) -> bool:
    return name not in _NEVER_TO_CLIENT and not name.startswith(b"x-trimtab-")


_GOES_UPSTREAM = _Verdicts(_goes_upstream)
_GOES_TO_CLIENT = _Verdicts(_goes_to_client)


def client_headers(headers: Headers) -> Headers:
    """The platform's headers that go to the client: all but framing, cookies and anything in our own name."""
    goes = _GOES_TO_CLIENT
    named = _connection_options(headers)
    if named:
        return [pair for pair in headers if goes[pair[0]] and pair[0] not in named]
    return [pair for pair in headers if goes[pair[0]]]


def _connection_options(headers: Headers) -> set[bytes]:
    """Header names that a Connection header declares hop-by-hop."""
    values = [value for name, value in headers if name == b"connection"]
    if not values or values in _PLAIN_CONNECTION:
        return set()
    return {option.strip().lower() for value in values for option in value.split(b",")} - {
        b"",
        b"close",
        b"keep-alive",
    }


_PLAIN_CONNECTION = ([b"keep-alive"], [b"close"])


def own_headers(headers: Headers) -> dict[str, str]:
    """The `x-trimtab-` request headers. A repeated one is refused."""
    own: dict[str, str] = {}
    for name, value in headers:
        if name[:10] == b"x-trimtab-":
            text = name.decode("latin-1")
            if text in own:
                raise RequestError(f"{text}: sent twice; send it once")
            own[text] = value.decode("latin-1")
    return own


def check_local(headers: Headers, origins: Collection[bytes] = ()) -> None:
    """Refuse requests that a web page made: a foreign Host means DNS rebinding, a foreign Origin a cross-site call.

    `origins` may call besides this machine's own. Raises `PermissionDenied`.
    """
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1 or not _is_local(hosts[0]):
        shown = shortened(b", ".join(hosts).decode("latin-1"))
        raise PermissionDenied(
            f"Host {shown!r} is not this machine; use http://127.0.0.1 or http://localhost"
        )
    for name, value in headers:
        if name == b"origin" and not _is_local_origin(value) and value not in origins:
            raise PermissionDenied(f"Origin {shortened(value.decode('latin-1'))!r} may not call this server")


@functools.lru_cache(maxsize=64)
def _is_local(authority: bytes) -> bool:
    """Whether `host` or `host:port` names this machine."""
    if authority.startswith(b"["):
        host, _, rest = authority[1:].partition(b"]")
        port = rest.removeprefix(b":")
        if rest and not rest.startswith(b":"):
            return False
    else:
        host, _, port = authority.partition(b":")
    return host.lower() in (b"127.0.0.1", b"localhost", b"::1") and (not port or port.isdigit())


def _is_local_origin(origin: bytes) -> bool:
    scheme, separator, rest = origin.partition(b"://")
    return bool(separator) and scheme in (b"http", b"https") and _is_local(rest)
