"""`Idempotency-Key`: a request that comes twice is answered once.

What it is not: the answering; the gateway passes that in. Invariants: among all processes that share the store, one
makes the call; who comes while it runs hears the same bytes from their beginning, also from another process of this
machine; who comes after it hears the kept answer, or which request it was; the platform is cut off when all have gone;
who listens to another process listens to the one that makes the call, so that none can wait for itself.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Protocol

import msgspec

from trimtab.errors import Conflict, InFlight, RequestError, StoreError, TrimtabError, Unavailable
from trimtab.gateway.http import Exchange, values_of
from trimtab.gateway.state import ServingState
from trimtab.gateway.tape import Message, Tape, tell
from trimtab.providers import Headers
from trimtab.records import RequestId
from trimtab.store.idempotency import KEEP_MS, Earlier

HEADER = b"idempotency-key"
TOLD = b"x-trimtab-idempotency"
"""Response header: `joined` or `replayed`."""
JOINED, REPLAYED = (TOLD, b"joined"), (TOLD, b"replayed")

MAX_KEY_CHARS = 255
MAX_KEPT_BYTES = 4 * 1024 * 1024
"""A longer answer is not kept."""

HTTP_OK = 200

CUT_S = 1.0
"""How long a call that nobody hears any more may take to be settled."""

MAX_UNSAID = 10_000
"""Whole answers that the store could not be told of."""

_log = logging.getLogger("trimtab.gateway")

Answer = Callable[[Exchange], Awaitable[None]]


class Kept(msgspec.Struct, frozen=True):
    """A whole answer as the store keeps it."""

    status: int
    headers: Headers
    body: bytes


class Claims(Protocol):
    """What all processes know together. Each call has a deadline of its own and raises `StoreError`."""

    async def claim(self, scope: str, body_hash: str, request_id: str, key: str) -> Earlier | None:
        """Begin for a caller's key (its id), or hear of the one that began before."""
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

    def __init__(self, request_id: RequestId, body_hash: str) -> None:
        self.request_id = request_id
        self.body_hash = body_hash
        self.tape = Tape(self._give_up)
        self.task: asyncio.Task[None] | None = None
        self.given_up = False
        """Nobody hears it any more."""
        self.mine = False
        """It is made here."""
        self.decided = asyncio.Event()
        """Whether it is made here has been found out."""

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

    def __init__(self, claims: Claims, state: ServingState, *, keep_answers: bool) -> None:
        self._claims = claims
        self._state = state
        self.keep_answers = keep_answers
        """Whether whole answers are kept; a reload may change it."""
        self._calls: dict[str, _Call] = {}
        self._unsaid: dict[str, tuple[RequestId, str, float]] = {}
        """Request, body hash and moment of calls answered whole that the store could not be told of: until their
        records are written, only this process knows that they must not be made again."""

    async def answer(self, http: Exchange, body: bytes, make: Answer) -> None:
        """Answer through `make`, or with what an earlier request with this key is or was answered.

        Raises `RequestError` for a key that cannot be used; other errors are answers too.
        """
        scope, body_hash = _scope(http), hashlib.sha256(body).hexdigest()
        while (call := self._calls.get(scope)) is not None and call.over and call.task is not None:
            await asyncio.wait([call.task])
        joins = call is not None
        if call is None:
            call = self._start(scope, _Call(http.id, body_hash), http, make)
        elif call.body_hash != body_hash:
            raise _other_body()
        elif not call.tape.joinable:
            raise InFlight(_TOO_LONG.format(call.request_id), 1)
        try:
            async with contextlib.aclosing(call.tape.play()) as messages:
                async for message in messages:
                    await tell(message, http.to, JOINED if joins else None)
        finally:
            if call.given_up and call.task is not None:
                await asyncio.wait([call.task], timeout=CUT_S)
        if not http.to.started:
            raise Unavailable("the request that this one joined was given up; try again", 1)

    def _start(self, scope: str, call: _Call, http: Exchange, make: Answer) -> _Call:
        """Start a call, which counts as in flight until it has ended and the store has been told how."""
        self._calls[scope] = call
        task = call.task = asyncio.create_task(self._run(scope, call, http, make))
        self._state.calls[call.request_id] = task
        task.add_done_callback(lambda _: self._state.calls.pop(call.request_id, None))
        return call

    async def _run(self, scope: str, call: _Call, http: Exchange, make: Answer) -> None:
        """Make the call, whoever hears it, and tell the others how it ended."""
        tape = call.tape
        inner = http.onto(tape)
        try:
            earlier = await self._claim(scope, call, http.caller.key)
            call.mine = earlier is None
            call.decided.set()
            if earlier is None:
                await make(inner)
            else:
                await self._repeat(scope, call, earlier, inner)
        except TrimtabError as problem:
            if not tape.started:
                inner.fail(problem)
        finally:
            call.decided.set()
            tape.cut()
            try:
                if call.mine:
                    await self._end(scope, call, inner)
            finally:
                if self._calls.get(scope) is call:
                    del self._calls[scope]

    async def _claim(self, scope: str, call: _Call, key: str) -> Earlier | None:
        """`None`: the call is ours to make. Raises `TrimtabError`."""
        if (unsaid := self._unsaid.get(scope)) is not None:
            request_id, body_hash, at = unsaid
            if asyncio.get_running_loop().time() - at < KEEP_MS / 1000:
                if body_hash != call.body_hash:
                    raise _other_body()
                raise Conflict(_TOLD_OF["done"].format(request_id))
        try:
            return await self._claims.claim(scope, call.body_hash, call.request_id, key)
        except StoreError as problem:
            _log.warning("request %s: its idempotency key cannot be looked up: %s", call.request_id, problem)
            raise Unavailable(
                "Idempotency-Key: whether this request came before cannot be looked up now; try again", 1
            ) from None

    async def _repeat(self, scope: str, call: _Call, earlier: Earlier, inner: Exchange) -> None:
        """Answer as an earlier request is, or was, answered. Raises `TrimtabError`."""
        if earlier.body_hash != call.body_hash:
            raise _other_body()
        if earlier.answer is not None:
            kept = msgspec.msgpack.decode(earlier.answer, type=Kept)
            # What an earlier version kept says its length itself.
            headers = [pair for pair in kept.headers if pair[0] != b"content-length"]
            inner.to.answer(kept.status, [*headers, REPLAYED], kept.body)
            return
        if earlier.state != "lost" and not earlier.settled:
            async with contextlib.aclosing(self._claims.listen(earlier.worker, scope)) as messages:
                async for message in messages:
                    await tell(message, inner.to, JOINED)
            if inner.to.started:
                return
        problem = _TOLD_OF[earlier.state].format(earlier.request_id)
        if earlier.state == "running" or (
            earlier.state == "done" and not earlier.settled and self.keep_answers
        ):
            raise InFlight(problem, 1)
        raise Conflict(problem)

    async def _end(self, scope: str, call: _Call, inner: Exchange) -> None:
        """Only a whole answer stands; after anything else the request may be tried again."""
        tape = call.tape
        whole = tape.whole and tape.head is not None and tape.head.status == HTTP_OK and not inner.failed
        try:
            if whole:
                await self._claims.finish(scope, call.request_id, self._kept(tape))
            else:
                await self._claims.release(scope, call.request_id)
        except StoreError as problem:
            _log.warning("request %s: its idempotency key is not up to date: %s", call.request_id, problem)
            if whole:
                while len(self._unsaid) >= MAX_UNSAID:
                    del self._unsaid[next(iter(self._unsaid))]
                self._unsaid[scope] = (call.request_id, call.body_hash, asyncio.get_running_loop().time())

    def _kept(self, tape: Tape) -> bytes | None:
        body = tape.body(MAX_KEPT_BYTES) if self.keep_answers else None
        if body is None or tape.head is None:
            return None
        return msgspec.msgpack.encode(Kept(tape.head.status, tape.head.headers, body))

    @contextlib.contextmanager
    def relaying(self) -> Iterator[None]:
        """While in it, this task hands an answer to another process; stopping waits for it."""
        task = asyncio.current_task()
        assert task is not None
        self._state.relays.add(task)
        try:
            yield
        finally:
            self._state.relays.discard(task)

    async def tape(self, scope: str) -> Tape | None:
        """The call of this scope that is made here, for other processes of this machine.

        `None` for one that is itself heard from another process: each listens to the one that makes the call. Waits
        until that is known, at most as long as a claim may take.
        """
        call = self._calls.get(scope)
        if call is None:
            return None
        await call.decided.wait()
        return call.tape if call.mine and not call.given_up and call.tape.joinable else None


_TOLD_OF = {
    "running": "Idempotency-Key: request {} came before with this key and is being answered elsewhere; wait for it",
    "done": "Idempotency-Key: request {} came before with this key and was answered; its answer is not kept",
    "lost": (
        "Idempotency-Key: request {} came before with this key, and the process that answered it ended: what came of "
        "it is unknown; look at its record, or use another key to try again"
    ),
}


_TOO_LONG = (
    "Idempotency-Key: request {} came before with this key, and too much of its answer has gone by for another to join "
    "it; wait for its end"
)


def _other_body() -> RequestError:
    return RequestError("Idempotency-Key: was used for another body before; use a new key for a new request")


def _scope(http: Exchange) -> str:
    keys = values_of(http.headers, http.named, HEADER)
    text = keys[0].decode("latin-1")
    if len(keys) > 1 or not 0 < len(text) <= MAX_KEY_CHARS or not (text.isascii() and text.isprintable()):
        raise RequestError(f"Idempotency-Key: send one, of 1 to {MAX_KEY_CHARS} printable ASCII characters")
    query = http.query.decode("latin-1")
    return hashlib.sha256("\0".join((http.caller.key, http.path, query, text)).encode()).hexdigest()
