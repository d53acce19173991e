"""The simulator as an ASGI application, for `trimtab simulate` and for anybody's tests over real HTTP.

Invariants: at a scripted cut the application leaves a response that began unfinished, and the server drops the
connection without a proper end (uvicorn logs one line); a client that goes away ends its generation.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from trimtab.providers.seam import Headers
from trimtab.providers.simulator.core import MAX_BODY_BYTES
from trimtab.providers.simulator.response import SimResponse, SimulatedCut, Sleep

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Answering(Protocol):
    """The simulated API, or all platforms' (`faces.Front`)."""

    def handle(self, method: str, path: str, query: bytes, headers: Headers, body: bytes) -> SimResponse:
        """Answer one request. The path is percent-encoded as it came."""
        ...


def simulator_asgi(simulator: Answering, *, sleep: Sleep = asyncio.sleep) -> App:
    """An application that serves this simulator. It takes `http` and `lifespan`, nothing else."""

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            body = await _body(receive)
            if body is not None:
                response = simulator.handle(
                    scope["method"],
                    scope["raw_path"].decode("latin-1"),
                    scope["query_string"],
                    list(scope["headers"]),
                    body,
                )
                await _respond(response, receive, send, sleep)

    return app


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _body(receive: Receive) -> bytes | None:
    """The whole body; one byte over the limit is enough to refuse it. `None` when the client went away."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False) or len(body) > MAX_BODY_BYTES:
            return bytes(body)


async def _respond(response: SimResponse, receive: Receive, send: Send, sleep: Sleep) -> None:
    """Play the response; stop when the client goes away, and, unfinished, at a scripted cut."""
    playing = asyncio.ensure_future(_play(response, send, sleep))
    gone = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((playing, gone), return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            playing.result()
    except SimulatedCut:
        return
    finally:
        gone.cancel()
        playing.cancel()
        await asyncio.gather(gone, playing, return_exceptions=True)


async def _play(response: SimResponse, send: Send, sleep: Sleep) -> None:
    if response.before_head_s > 0:
        await sleep(response.before_head_s)
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    # Empty, so that the head leaves before a stall that follows it.
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    async for chunk in response.chunks(sleep):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
