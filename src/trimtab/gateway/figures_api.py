"""`/trimtab/v1/overview`, `requests`, `live` and `platforms`: the console's figures for programs.

What it is not: the figures, or what a key may see of them; the door that `app` gives us knows that.
Invariant: nothing here waits for the store in the event loop, or keeps a request to a model waiting.
"""

from collections.abc import Awaitable, Callable

from trimtab.errors import NotFound
from trimtab.gateway.figures_seam import FiguresDoor
from trimtab.gateway.http import Exchange

Handler = Callable[[Exchange], Awaitable[None]]


def figures_handler(path: str) -> Handler | None:
    """Who answers this path; `None` where it is none of ours."""
    return _HANDLERS.get(path)


def _door(http: Exchange) -> FiguresDoor:
    http.require("GET")
    figures = http.around.figures
    if figures is None:
        raise NotFound(f"{http.path}: this server keeps no figures")
    return figures


async def _overview(http: Exchange) -> None:
    door = _door(http)
    now_ms = http.around.clock_ms()
    http.reply(200, await door.overview(http.query, http.caller, now_ms))


async def _requests(http: Exchange) -> None:
    http.reply(200, await _door(http).requests(http.query, http.caller))


async def _live(http: Exchange) -> None:
    http.reply(200, await _door(http).live(http.query, http.caller))


async def _platforms(http: Exchange) -> None:
    http.reply(200, await _door(http).platforms(http.query, http.caller))


_HANDLERS: dict[str, Handler] = {
    "/trimtab/v1/overview": _overview,
    "/trimtab/v1/requests": _requests,
    "/trimtab/v1/live": _live,
    "/trimtab/v1/platforms": _platforms,
}
