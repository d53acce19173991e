"""Whoever is asked: the seam of evaluations, and a gateway behind it.

What it is not: retries or judgement. Invariant: whatever goes wrong on the way is an `Answer` that says so.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from trimtab.errors import UpstreamError
from trimtab.providers import Call, Headers
from trimtab.providers.http import HttpClient

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""As much as the gateway itself reads of one answer."""


class Question(msgspec.Struct, frozen=True):
    """A request to a path of the gateway."""

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    """Without credentials."""


class Answer(msgspec.Struct, frozen=True):
    """What came back, read to its end."""

    status: int
    """0 where no answer began."""
    headers: Mapping[str, str] = {}
    """Names in lower case."""
    body: bytes = b""
    first_byte_ms: float = 0.0
    """From sending to the first byte of the body."""
    total_ms: float = 0.0
    problem: str = ""
    """How it broke off; empty at a proper end."""

    def header(self, name: str) -> str:
        """Its value, empty where it is absent."""
        return self.headers.get(name, "")


class Subject(Protocol):
    """Answers questions. Spends money."""

    async def ask(self, question: Question) -> Answer:
        """Put one question. Never raises for what the other side does."""
        ...

    async def look_up(self, path: str) -> Answer:
        """GET a path: of records or models. Spends nothing."""
        ...


class Gateway:
    """A running gateway over HTTP."""

    def __init__(
        self, client: HttpClient, key: str | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`key` is one of the gateway's own, shown with each request."""
        self._client = client
        self._authentication = b"x-api-key: %b\r\n" % key.encode("ascii") if key else b""
        self._monotonic = monotonic

    async def ask(self, question: Question) -> Answer:
        """One exchange; spends money."""
        headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in question.headers]
        headers.append((b"content-type", b"application/json"))
        return await self._exchange(Call("POST", question.path, headers, question.body), self._authentication)

    async def look_up(self, path: str) -> Answer:
        """One exchange; spends nothing."""
        return await self._exchange(Call("GET", path, []), self._authentication)

    async def _exchange(self, call: Call, authentication: bytes) -> Answer:
        began = self._monotonic()

        def since() -> float:
            return round((self._monotonic() - began) * 1000, 3)

        status, headers, body, first = 0, {}, bytearray(), 0.0
        try:
            reply = await self._client.send(call, authentication)
            try:
                status, headers = reply.status, _by_name(reply.headers)
                while piece := await reply.read():
                    first = first or since()
                    body += piece
                    if len(body) > MAX_ANSWER_BYTES:
                        problem = f"the answer is over {MAX_ANSWER_BYTES} bytes"
                        return Answer(status, headers, bytes(body), first, since(), problem)
            finally:
                reply.close()
        except UpstreamError as broken:
            return Answer(status, headers, bytes(body), first, since(), str(broken))
        return Answer(status, headers, bytes(body), first or since(), since())


def _by_name(headers: Headers) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}


def json_of(body: bytes) -> Any:
    """A body as JSON values; `None` where it is none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
