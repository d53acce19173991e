"""One HTTP request and its answer, with the header rules of a gateway."""

import copy
import functools
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Literal, Protocol

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
    TaskBudgetSpent,
    TaskEnded,
    TrimtabError,
    Unavailable,
    UpstreamError,
    shortened,
)
from trimtab.gateway.request import ClientRequest
from trimtab.gateway.surroundings import Surroundings
from trimtab.messages import error_body
from trimtab.messages.chat import chat_error_body
from trimtab.providers import Headers
from trimtab.records import NOBODY, Caller


class Outlet(Protocol):
    """Where an answer goes: to a client, or to all who hear it."""

    @property
    def started(self) -> bool:
        """Whether its head has gone."""
        ...

    @property
    def gone(self) -> bool:
        """Whether nobody hears it any more."""
        ...

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer; head and body leave together. The content-length is added."""
        ...

    def start(self, status: int, headers: Headers, length: int | None = None) -> None:
        """Send the head of an answer whose body is to be pushed; `length` of that where it is known."""
        ...

    def push(self, piece: bytes) -> bool:
        """Send a piece of the body, without waiting; whether more may come just now. If not, `drain`."""
        ...

    async def drain(self) -> None:
        """Wait until more may come."""
        ...

    def finish(self, piece: bytes = b"") -> None:
        """Send the last piece."""
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

STOP_REASON = b"x-trimtab-stop-reason"
"""Why a task goes no further, as a word for programs."""

CHAT_PATH = "/v1/chat/completions"
"""The path whose clients speak the OpenAI API."""

KNOWN_NAMES = 512
KNOWN_NAME_BYTES = 64
"""Header names whose verdict is kept: about 60 KB at the most, whatever names clients invent."""

DISCARD_BYTES = 256_000_000
"""A body over the limit is read and thrown away up to here, so that the client can hear the answer."""


class Exchange:
    """One request on its way in and its answer on the way out."""

    __slots__ = (
        "around",
        "arrived",
        "arrived_ms",
        "caller",
        "failed",
        "headers",
        "id",
        "method",
        "named",
        "path",
        "query",
        "request",
        "to",
    )

    def __init__(self, request: ClientRequest, around: Surroundings) -> None:
        self.request = request
        self.to: Outlet = request
        """Takes the answer."""
        self.method = request.method
        self.path = request.target.path
        self.query = request.target.query
        self.headers = request.headers
        self.named = request.named
        self.around = around
        """What this request uses to its end, also when another configuration comes into force meanwhile."""
        self.id = around.new_id()
        self.arrived_ms, self.arrived = around.clock_ms(), around.monotonic()
        self.caller: Caller = NOBODY
        """Who sends it, once that has been found out."""
        self.failed = False
        """An answer that has begun ends in an error."""

    def onto(self, to: Outlet) -> "Exchange":
        """The same request, its body read already, answered to somebody else."""
        other = copy.copy(self)
        other.to = to
        return other

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
        request = self.request
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            piece = await request.read()
            more = request.more
            size += len(piece)
            if size > DISCARD_BYTES:
                raise _too_large(size, limit)
            if size <= limit:
                parts.append(piece)
        if size > limit:
            raise _too_large(size, limit)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def body_pieces(self) -> AsyncIterator[bytes]:
        """The request body as it arrives. Raises `ClientGone`."""
        request, more = self.request, True
        while more:
            piece = await request.read()
            more = request.more
            if piece:
                yield piece

    def reply(
        self,
        status: int,
        body: bytes,
        content_type: bytes = b"application/json",
        extra: Headers | None = None,
    ) -> None:
        """Send a whole answer of our own."""
        headers = [(b"content-type", content_type), *(extra or [])]
        if status >= 400 or self.path.startswith("/v1/"):  # what may be looked up, in the records or the log
            headers.append((b"x-trimtab-request", self.id.encode()))
        self.to.answer(status, headers, body)

    def fail(self, error: TrimtabError) -> None:
        """Send an error in the shape of the API that the path belongs to."""
        on_chat = self.path == CHAT_PATH
        extra: Headers = [(b"x-request-id" if on_chat else b"request-id", self.id.encode())]
        if isinstance(error, Unavailable | RateLimited | InFlight):
            extra.append((b"retry-after", b"%d" % error.retry_after_s))
        elif isinstance(error, Conflict):
            extra.append((b"x-should-retry", b"false"))  # the vendor's SDKs try a 409 again
        if isinstance(error, Stopping | RequestTooLarge):
            self.request.keep_alive = False
        elif isinstance(error, UpstreamError):
            extra.append((b"x-should-retry", b"true" if error.retryable else b"false"))
        elif isinstance(error, AuthenticationFailed):
            extra.append((b"www-authenticate", b"Bearer"))
        elif isinstance(error, MethodNotAllowed):
            extra.append((b"allow", error.allowed.encode()))
        named, text = error.anthropic_type, str(error)
        body = chat_error_body(error) if on_chat else error_body(named, text, self.id, error.more)
        if isinstance(error, TaskEnded | TaskBudgetSpent):
            extra.append((STOP_REASON, error.reason.encode()))
        self.reply(error.status, body, extra=extra)


def _too_large(size: int, limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The request body has {size:,} bytes or more; the limit is {limit:,} bytes")


def by_name(headers: Headers) -> dict[bytes, bytes]:
    """The first value of each name. Shorter than `headers` where a name stands twice."""
    named = dict(headers)
    return named if len(named) == len(headers) else dict(reversed(headers))


def values_of(headers: Headers, named: Mapping[bytes, bytes], name: bytes) -> list[bytes]:
    """All values of one name; `named` is `by_name(headers)`."""
    if name not in named:
        return []
    if len(named) == len(headers):
        return [named[name]]
    return [value for other, value in headers if other == name]


def sorted_headers(headers: Headers) -> tuple[Headers, dict[str, str]]:
    """The client's headers that go to the platform (all but framing, credentials, addresses and our own), and our own.

    Raises `RequestError` where one of our own is repeated.
    """
    goes: Headers = []
    own: dict[str, str] = {}
    options: set[bytes] = set()
    for pair in headers:
        verdict = _UPSTREAM[pair[0]]
        if verdict == "goes":
            goes.append(pair)
        elif verdict == "stays":
            continue
        elif verdict == "own":
            name = pair[0].decode("latin-1")
            if name in own:
                raise RequestError(f"{name}: sent twice; send it once")
            own[name] = pair[1].decode("latin-1")
        else:
            options |= _options(pair[1])
    return ([pair for pair in goes if pair[0] not in options] if options else goes), own


def client_headers(headers: Headers) -> Headers:
    """The platform's headers that go to the client: all but framing, cookies and anything in our own name."""
    goes: Headers = []
    options: set[bytes] = set()
    for pair in headers:
        verdict = _DOWNSTREAM[pair[0]]
        if verdict == "goes":
            goes.append(pair)
        elif verdict == "connection":
            options |= _options(pair[1])
    return [pair for pair in goes if pair[0] not in options] if options else goes


Verdict = Literal["goes", "stays", "own", "connection"]


class _Verdicts(dict[bytes, Verdict]):
    """What a rule says of each header name. Clients send few, so they are judged once; how many are kept is bounded."""

    def __init__(self, rule: Callable[[bytes], Verdict]) -> None:
        super().__init__()
        self._rule = rule

    def __missing__(self, name: bytes) -> Verdict:
        verdict = self._rule(name)
        if len(self) < KNOWN_NAMES and len(name) < KNOWN_NAME_BYTES:
            self[name] = verdict
        return verdict


def _upstream(name: bytes) -> Verdict:
    if name == b"connection":
        return "connection"
    if name.startswith(b"x-trimtab-"):
        return "own"
    if name in _NEVER_UPSTREAM or name.startswith((b"x-forwarded-", b"sec-")):
        return "stays"
    if name.startswith(b"anthropic-") or name == b"idempotency-key":
        return "goes"
    credential = name.endswith(b"-ip") or any(word in name for word in _SECRET_WORDS)
    return "stays" if credential else "goes"


def _downstream(name: bytes) -> Verdict:
    if name == b"connection":
        return "connection"
    return "stays" if name in _NEVER_TO_CLIENT or name.startswith(b"x-trimtab-") else "goes"


_UPSTREAM = _Verdicts(_upstream)
_DOWNSTREAM = _Verdicts(_downstream)


def _options(connection: bytes) -> set[bytes]:
    """Header names that a Connection header declares hop-by-hop."""
    if connection in (b"keep-alive", b"close"):
        return _NONE
    return {option.strip().lower() for option in connection.split(b",")} - {b"", b"close", b"keep-alive"}


_NONE: set[bytes] = set()


def check_local(hosts: list[bytes], origins: list[bytes], permitted: Collection[bytes] = ()) -> None:
    """Refuse requests that a web page made: a foreign Host means DNS rebinding, a foreign Origin a cross-site call.

    `permitted` origins may call besides this machine's own. Raises `PermissionDenied`.
    """
    if len(hosts) != 1 or not _is_local(hosts[0]):
        shown = shortened(b", ".join(hosts).decode("latin-1"))
        raise PermissionDenied(
            f"Host {shown!r} is not this machine; use http://127.0.0.1 or http://localhost"
        )
    for origin in origins:
        if not _is_local_origin(origin) and origin not in permitted:
            raise PermissionDenied(f"Origin {shortened(origin.decode('latin-1'))!r} may not call this server")


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
