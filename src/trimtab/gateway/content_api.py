"""`/trimtab/v1/requests/{id}/content` and `/trimtab/v1/content`: what is kept of prompts and answers, and its deletion.

What it is not: the policy (`content`), or rights beyond these: whose key may read a record may read its content;
without a key it is read only where the console is open without a login; who deletes shows an admin key, of the same
organisation, also on a loopback address (there, `trimtab content` is the way without).
Invariant: what a stranger wrote is served as JSON, as an event stream, or as bytes that no browser shows.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from trimtab.content import shown
from trimtab.errors import AuthenticationFailed, NotFound, RequestError, shortened
from trimtab.gateway.callers import may_read
from trimtab.gateway.http import Exchange
from trimtab.gateway.keys_api import actor_of, blocking, query_of
from trimtab.providers import Headers
from trimtab.records import NOBODY
from trimtab.store.content import Content

CONTENT = "/trimtab/v1/content"
REQUESTS = "/trimtab/v1/requests/"
OF_REQUEST = "/content"

COMMAND = "trimtab content"
TYPES = {"json": b"application/json", "sse": b"text/event-stream; charset=utf-8"}
UNTYPED = b"application/octet-stream"
NO_SNIFFING: Headers = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]

MAX_MOMENT_MS = 2**53 - 1


def content_handler(path: str) -> Callable[[Exchange], Awaitable[None]] | None:
    """Who answers this path; `None` where it is none of ours."""
    if path == CONTENT:
        return _delete_many
    if path.startswith(REQUESTS) and path.endswith(OF_REQUEST) and len(path) > len(REQUESTS + OF_REQUEST):
        return _of_request
    return None


async def _of_request(http: Exchange) -> None:
    http.require("GET", "DELETE")
    name = http.path.removeprefix(REQUESTS).removesuffix(OF_REQUEST)
    if http.method == "DELETE":
        query_of(http)
        actor = actor_of(http, COMMAND)
        deleted = await blocking(lambda: http.around.content_admin.delete_request(actor, name))
        http.reply(200, msgspec.json.encode(deleted))
        return
    part = query_of(http, "part").get("part")
    if part not in (None, "request", "answer"):
        raise RequestError(f"part: {shortened(str(part), 80)!r}: must be request or answer")
    if http.caller is NOBODY and not await http.around.is_open():
        raise AuthenticationFailed(
            "reading kept prompts and answers needs a key here, since the console has users: send one in the x-api-key "
            "header, or log in at /console as operator; on this machine `trimtab content show` needs neither"
        )
    found = await blocking(lambda: http.around.find_content(name))
    if found is None or not may_read(_owner(found), http.caller):
        raise NotFound(
            f"of request {shortened(name, 80)!r} no content is kept; content.keep says what is, for how long, and it "
            "comes within a second after the answer's end"
        )
    if part is None:
        # A long stream takes tens of milliseconds to put together: not on the event loop.
        body = await asyncio.to_thread(_described, found)
        http.reply(200, body, extra=NO_SNIFFING)
        return
    side = found.request if part == "request" else found.answer
    if side is None:
        raise NotFound(f"of request {shortened(name, 80)!r} no {part} is kept")
    kind = TYPES["json"] if part == "request" else TYPES.get(found.answer_kind, UNTYPED)
    extra = list(NO_SNIFFING)
    if part == "answer" and found.answer_encoding:
        extra.append((b"content-encoding", found.answer_encoding.encode("latin-1", "replace")))
    http.reply(200, side, kind, extra)


async def _delete_many(http: Exchange) -> None:
    http.require("DELETE")
    asked = query_of(http, "key", "user", "before_ms")
    actor, admin = actor_of(http, COMMAND), http.around.content_admin
    before_ms = _moment(asked.get("before_ms"))
    match asked.get("key"), asked.get("user"), before_ms:
        case str(key), None, _:
            deleted = await blocking(lambda: admin.delete_key(actor, key, before_ms=before_ms))
        case None, str(user), _:
            deleted = await blocking(lambda: admin.delete_user(actor, user, before_ms=before_ms))
        case None, None, int(before):
            deleted = await blocking(lambda: admin.delete_before(actor, before))
        case _:
            raise RequestError(
                "say whose content to delete: key or user, not both, or all of it by before_ms"
            )
    http.reply(200, msgspec.json.encode(deleted))


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 16 or int(text) > MAX_MOMENT_MS:
        raise RequestError(f"before_ms: {shortened(text, 80)!r}: must be a moment in Unix milliseconds")
    return int(text)


def _described(found: Content) -> bytes:
    return msgspec.json.format(msgspec.json.encode(shown(found)), indent=2)


def _owner(found: Content) -> dict[str, object]:
    return {"organisation": found.organisation, "team": found.team, "key": found.key}
