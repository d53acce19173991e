"""`Idempotency-Key`: a request that comes twice is answered once.

What it is not: the answering; the gateway passes that in. Invariants: among all processes that share the store, one
makes the call; who comes while it runs hears the same bytes from their beginning, also from another process of this
machine; who comes after it hears the kept answer, or which request it was; the platform is cut off when all have gone.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Protocol

import msgspec

from trimtab.errors import Conflict, RequestError, StoreError, TrimtabError, Unavailable
from trimtab.gateway.http import Exchange
from trimtab.gateway.tape import Message, Tape
from trimtab.providers import Headers
from trimtab.store.idempotency import Earlier

HEADER = b"idempotency-key"
TOLD = b"x-trimtab-idempotency"
"""Response header: `joined` or `replayed`."""

MAX_KEY_CHARS = 255
MAX_KEPT_BYTES = 4 * 1024 * 1024
"""A longer answer is not kept."""

HTTP_OK = 200

CUT_S = 1.0
"""How long a call that nobody hears any more may take to be settled."""

_log = logging.getLogger("trimtab.gateway")

Answer = Callable[[Exchange], Awaitable[None]]


class Kept(msgspec.Struct, frozen=True):
    """A whole answer as the store keeps it."""

    status: int
    headers: Headers
    body: bytes


class Claims(Protocol):
    """What all processes know together. Each call has a deadline of its own and raises `StoreError`."""

    async def claim(self, scope: str, body_hash: str, request_id: str) -> Earlier | None:
        """Begin, or hear of the one that began before."""
        ...

    async def finish(self, scope: str, request_id: str, answer: bytes | None) -> None:
        """It has been answered whole."""
        ...

    async def release(self, scope: str, request_id: str) -> None:
        """It may be tried again."""
        ...

    def listen(self, worker: str, scope: str) -> AsyncGenerator[Message, None]:
        """The messages of a call that another process of this machine makes; none where it cannot be reached."""
        ...


class _Call:
    """One request in flight and all who wait for it."""

    def __init__(self, body_hash: str) -> None:
        self.body_hash = body_hash
        self.tape = Tape(self._give_up)
        self.task: asyncio.Task[None] | None = None
        self.given_up = False
        """Nobody hears it any more."""

    @property
    def over(self) -> bool:
        """Too late to join: it only has to be told to the others how it ended."""
        return self.given_up or self.tape.ended

    def _give_up(self) -> None:
        self.given_up = True
        if self.task is not None:
            self.task.cancel()


class Once:
    """The requests with idempotency keys of one process."""

    def __init__(self, claims: Claims, *, keep_answers: bool) -> None:
        self._claims = claims
        self.keep_answers = keep_answers
        """Whether whole answers are kept; a reload may change it."""
        self._calls: dict[str, _Call] = {}

    async def answer(self, http: Exchange, body: bytes, make: Answer) -> None:
        """Answer through `make`, or with what an earlier request with this key is or was answered.

        Raises `RequestError` for a key that cannot be used; other errors are answers too.
        """
        scope, body_hash = _scope(http), hashlib.sha256(body).hexdigest()
        while (call := self._calls.get(scope)) is not None and call.over and call.task is not None:
            await asyncio.wait([call.task])
        joins = call is not None
        if call is None:
            call = self._calls[scope] = _Call(body_hash)
            call.task = asyncio.create_task(self._run(scope, call, http, make))
        elif call.body_hash != body_hash:
            raise _other_body()
        try:
            async with contextlib.aclosing(call.tape.play()) as messages:
                async for message in messages:
                    http.started = True
                    await http.send(_joined(message) if joins else message)
        finally:
            if call.given_up and call.task is not None:
                await asyncio.wait([call.task], timeout=CUT_S)
        if not http.started:
            raise Unavailable("the request that this one joined was given up; try again", 1)

    async def _run(self, scope: str, call: _Call, http: Exchange, make: Answer) -> None:
        """Make the call, whoever hears it, and tell the others how it ended."""
        tape = call.tape
        inner = http.onto(tape.send)
        mine = False
        try:
            mine = await self._begin(scope, call.body_hash, inner)
            if mine:
                await make(inner)
        except TrimtabError as problem:
            if not inner.started:
                await inner.fail(problem)
        finally:
            tape.cut()
            if mine:
                await self._end(scope, tape, inner)
            if self._calls.get(scope) is call:
                del self._calls[scope]

    async def _begin(self, scope: str, body_hash: str, inner: Exchange) -> bool:
        """Whether the call is ours to make; if not, it is answered here. Raises `TrimtabError`."""
        try:
            earlier = await self._claims.claim(scope, body_hash, inner.id)
        except StoreError:
            raise Unavailable(
                "Idempotency-Key: whether this request came before cannot be looked up now; try again", 1
            ) from None
        if earlier is None:
            return True
        if earlier.body_hash != body_hash:
            raise _other_body()
        if earlier.answer is not None:
            await _replay(inner, msgspec.msgpack.decode(earlier.answer, type=Kept))
            return False
        if earlier.state == "running":
            async with contextlib.aclosing(self._claims.listen(earlier.worker, scope)) as messages:
                async for message in messages:
                    inner.started = True
                    await inner.send(_joined(message))
            if inner.started:
                return False
        raise Conflict(_TOLD_OF[earlier.state].format(earlier.request_id))

    async def _end(self, scope: str, tape: Tape, inner: Exchange) -> None:
        """Only a whole answer stands; after anything else the request may be tried again."""
        try:
            if tape.whole and tape.status == HTTP_OK:
                await self._claims.finish(scope, inner.id, self._kept(tape))
            else:
                await self._claims.release(scope, inner.id)
        except StoreError as problem:
            _log.warning("request %s: its idempotency key is not up to date: %s", inner.id, problem)

    def _kept(self, tape: Tape) -> bytes | None:
        if not self.keep_answers:
            return None
        body = tape.body()
        if len(body) > MAX_KEPT_BYTES:
            return None
        return msgspec.msgpack.encode(Kept(tape.status, tape.head(), body))

    def tape(self, scope: str) -> Tape | None:
        """The call of this scope that is in flight here, for other processes of this machine."""
        call = self._calls.get(scope)
        return None if call is None else call.tape


_TOLD_OF = {
    "running": "Idempotency-Key: request {} came before with this key and is being answered elsewhere; wait for it",
    "done": "Idempotency-Key: request {} came before with this key and was answered; its answer is not kept",
    "lost": (
        "Idempotency-Key: request {} came before with this key, and the process that answered it ended: what came of "
        "it is unknown; look at its record, or use another key to try again"
    ),
}


def _other_body() -> RequestError:
    return RequestError("Idempotency-Key: was used for another body before; use a new key for a new request")


def _scope(http: Exchange) -> str:
    keys = [value for name, value in http.headers if name == HEADER]
    text = keys[0].decode("latin-1")
    if len(keys) > 1 or not 0 < len(text) <= MAX_KEY_CHARS or not (text.isascii() and text.isprintable()):
        raise RequestError(f"Idempotency-Key: send one, of 1 to {MAX_KEY_CHARS} printable ASCII characters")
    query = http.scope["query_string"].decode("latin-1")
    return hashlib.sha256("\0".join((http.caller.key, http.path, query, text)).encode()).hexdigest()


def _joined(message: Message) -> Message:
    if message["type"] != "http.response.start" or any(name == TOLD for name, _ in message["headers"]):
        return message
    return {**message, "headers": [*message["headers"], (TOLD, b"joined")]}


async def _replay(inner: Exchange, kept: Kept) -> None:
    await inner.start(kept.status, [*kept.headers, (TOLD, b"replayed")])
    await inner.finish(kept.body)
