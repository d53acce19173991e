"""`/trimtab/v1/tasks`: budgets of tasks for whoever calls models here: made, read, extended, cancelled, followed live.

What it is not: the rules (`admin.TaskAdmin`), or calls of tasks, which are ordinary requests with two headers more.
Invariants: a caller sees the tasks of its own key, an admin key those of its organisation; who follows a task costs one
short look at the store every `LOOK_S`, ends when the task does, when the client goes or the server stops, and may come
back where it left off.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from trimtab.admin import Actor, TaskAdmin, Visitor
from trimtab.admin.task_words import EventView, Extension, NewTask, ProgressMade
from trimtab.admin.tasks import TaskEvents
from trimtab.errors import RequestError, StoreError, TrimtabError, shortened
from trimtab.gateway.http import Exchange
from trimtab.gateway.keys_api import blocking, body_of, number_of, query_of
from trimtab.messages import encode_event, error_event

TASKS = "/trimtab/v1/tasks"

LOOK_S = 0.25
"""How often a follower looks: what happens is told within half a second, while a few hundred follow in one process."""

QUIET_S = 15.0
"""After so long without an event a comment says that the line stands; proxies cut lines that are silent for 30 s."""

FOLLOW_S = 3600.0
"""A line is ended after an hour, so that none outlives a configuration for long; the client comes back with
`last-event-id`."""

DEFAULT_PAGE = 100
MAX_PAGE = 1000
MAX_EVENT = 2**53

STATES = ("open", "exhausted", "cancelled", "closed")

Handler = Callable[[Exchange], Awaitable[None]]


def tasks_handler(path: str) -> Handler | None:
    """Who answers this path; `None` where it is none of ours."""
    if path == TASKS:
        return _tasks
    if not path.startswith(TASKS + "/"):
        return None
    name, slash, action = path.removeprefix(TASKS + "/").partition("/")
    if not name:
        return None
    if not slash:
        return _show
    return {
        "extend": _extend,
        "progress": _progress,
        "cancel": _cancel,
        "close": _close,
        "events": _events,
    }.get(action)


async def _tasks(http: Exchange) -> None:
    http.require("GET", "POST")
    admin, visitor = _door(http)
    if http.method == "POST":
        query_of(http)
        wanted = await body_of(http, NewTask, required=True)
        made = await blocking(lambda: admin.add(visitor, wanted))
        http.reply(201, msgspec.json.encode(made))
        return
    asked = query_of(http, "state", "before", "limit")
    most = number_of(asked, "limit", DEFAULT_PAGE, MAX_PAGE)
    state = asked.get("state")
    if state is not None and state not in STATES:
        raise RequestError(f"state: {shortened(state, 80)!r}: must be one of {', '.join(STATES)}")
    before = asked.get("before", "")
    if not before.isprintable():
        raise RequestError(f"before: {before[:80]!r}: must be the id of a task")
    found = await blocking(lambda: admin.tasks(visitor, state=state, before=before, most=most + 1))
    http.reply(200, msgspec.json.encode({"data": found[:most], "has_more": len(found) > most}))


async def _show(http: Exchange) -> None:
    http.require("GET")
    query_of(http)
    admin, visitor = _door(http)
    http.reply(200, msgspec.json.encode(await blocking(lambda: admin.show(visitor, _name(http)))))


async def _extend(http: Exchange) -> None:
    http.require("POST")
    admin, visitor = _door(http)
    wanted = await body_of(http, Extension, required=True)
    http.reply(200, msgspec.json.encode(await blocking(lambda: admin.extend(visitor, _name(http), wanted))))


async def _progress(http: Exchange) -> None:
    http.require("POST")
    admin, visitor = _door(http)
    made = await body_of(http, ProgressMade, required=True)
    http.reply(200, msgspec.json.encode(await blocking(lambda: admin.progress(visitor, _name(http), made))))


async def _cancel(http: Exchange) -> None:
    http.require("POST")
    admin, visitor = _door(http)
    http.reply(200, msgspec.json.encode(await blocking(lambda: admin.cancel(visitor, _name(http)))))


async def _close(http: Exchange) -> None:
    http.require("POST")
    admin, visitor = _door(http)
    http.reply(200, msgspec.json.encode(await blocking(lambda: admin.close(visitor, _name(http)))))


async def _events(http: Exchange) -> None:
    """Server-sent events, from behind `last-event-id` on."""
    http.require("GET")
    asked = query_of(http, "after")
    admin, visitor = _door(http)
    name, after = _name(http), _after(http, asked)
    found = await blocking(lambda: admin.events(visitor, name, after))
    to = http.to
    to.start(200, [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")])
    loop = asyncio.get_running_loop()
    end_at, said_at = loop.time() + FOLLOW_S, loop.time()
    while True:
        if found.events:
            if not to.push(b"".join(map(_event, found.events))):
                await to.drain()
            said_at = loop.time()
        elif loop.time() - said_at > QUIET_S:
            to.push(b": still here\n\n")
            said_at = loop.time()
        if found.over or loop.time() > end_at:
            break
        if len(found.events) < _WHOLE_PAGE:
            await asyncio.sleep(LOOK_S)
        try:
            async with http.around.looks:
                found = await _next(admin, visitor, name, found.last)
        except TrimtabError as problem:  # it was deleted meanwhile
            to.finish(error_event(problem.anthropic_type, str(problem), http.id))
            return
    to.finish()


_WHOLE_PAGE = 1000


async def _next(admin: TaskAdmin, visitor: Visitor, name: str, last: int) -> TaskEvents:
    """A store that is away is waited for: the line stands."""
    try:
        return await asyncio.to_thread(lambda: admin.events(visitor, name, last))
    except StoreError:
        return TaskEvents((), last, over=False)


def _event(one: EventView) -> bytes:
    return b"id: %d\n%b" % (one.n, encode_event(one.event, msgspec.json.encode(one)))


def _after(http: Exchange, asked: dict[str, str]) -> int:
    sent = http.header(b"last-event-id")
    text = asked.get("after", "0") if sent is None else sent.decode("latin-1")
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= MAX_EVENT):
        name = "after" if sent is None else "last-event-id"
        raise RequestError(f"{name}: {shortened(text, 80)!r}: must be the number of an event")
    return int(text)


def _door(http: Exchange) -> tuple[TaskAdmin, Visitor]:
    caller = http.caller
    actor = (
        Actor(f"key:{caller.key}", caller.organisation, caller.key) if caller.key and caller.admin else None
    )
    return http.around.task_admin, Visitor(caller, actor)


def _name(http: Exchange) -> str:
    return http.path.removeprefix(TASKS + "/").partition("/")[0]
