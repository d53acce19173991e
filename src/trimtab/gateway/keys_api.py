"""`/trimtab/v1/keys` and `/trimtab/v1/audit`: the door for keys over HTTP, for keys that have admin set.

What it is not: rules or rights beyond "an admin key, for its own organisation"; those are in `admin`.
Invariant: nobody without such a key gets in, also not on a loopback address where no key is required: a web page or a
program that can reach the port must not be able to make keys. There, `trimtab keys` is the way.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec

from trimtab.admin import Actor, KeyAdmin, NewKey, SecretMade
from trimtab.budgets.tasks import NewPhase
from trimtab.errors import PermissionDenied, RequestError, StoreError, Unavailable, printable, shortened
from trimtab.gateway.http import Exchange
from trimtab.records import Limits

MAX_BODY_BYTES = 64 * 1024
MAX_PAGE = 1000
DEFAULT_PAGE = 100
RETRY_S = 5

KEYS = "/trimtab/v1/keys"
AUDIT = "/trimtab/v1/audit"

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)
Handler = Callable[[Exchange], Awaitable[None]]
_log = logging.getLogger("trimtab.gateway")


class _Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    grace_s: int = 86_400


def keys_handler(path: str) -> Handler | None:
    """Who answers this path; `None` where it is none of ours."""
    if path == KEYS:
        return _keys
    if path == AUDIT:
        return _audit
    if not path.startswith(KEYS + "/"):
        return None
    name, slash, action = path.removeprefix(KEYS + "/").partition("/")
    if not name:
        return None
    if not slash:
        return _show
    return {"revoke": _revoke, "rotate": _rotate, "limits": _limits}.get(action)


async def _keys(http: Exchange) -> None:
    http.require("GET", "POST")
    admin, actor = _door(http)
    if http.method == "POST":
        wanted = await body_of(http, NewKey, required=True)
        made = await blocking(lambda: admin.add(actor, wanted))
        http.reply(201, _made(made))
        return
    asked = query_of(http, "after", "limit")
    most = number_of(asked, "limit", DEFAULT_PAGE, MAX_PAGE)
    found = await blocking(lambda: admin.keys(actor, after=asked.get("after", ""), most=most + 1))
    http.reply(200, _json({"data": found[:most], "has_more": len(found) > most}))


async def _show(http: Exchange) -> None:
    http.require("GET")
    admin, actor = _door(http)
    http.reply(200, _json(await blocking(lambda: admin.show(actor, _name(http)))))


async def _revoke(http: Exchange) -> None:
    http.require("POST")
    admin, actor = _door(http)
    http.reply(200, _json(await blocking(lambda: admin.revoke(actor, _name(http)))))


async def _rotate(http: Exchange) -> None:
    http.require("POST")
    admin, actor = _door(http)
    wanted = await body_of(http, _Rotation, required=False)
    made = await blocking(lambda: admin.rotate(actor, _name(http), wanted.grace_s * 1000))
    http.reply(200, _made(made))


async def _limits(http: Exchange) -> None:
    http.require("POST")
    admin, actor = _door(http)
    limits = await body_of(http, Limits, required=True)
    http.reply(200, _json(await blocking(lambda: admin.set_limits(actor, _name(http), limits))))


async def _audit(http: Exchange) -> None:
    http.require("GET")
    admin, actor = _door(http)
    asked = query_of(http, "key", "before", "limit")
    most = number_of(asked, "limit", DEFAULT_PAGE, MAX_PAGE)
    before = number_of(asked, "before", 0, 2**53) or None
    found = await blocking(lambda: admin.audit(actor, key=asked.get("key"), before=before, most=most + 1))
    http.reply(200, _json({"data": found[:most], "has_more": len(found) > most}))


def _door(http: Exchange) -> tuple[KeyAdmin, Actor]:
    """The door, and who stands before it. Raises `PermissionDenied`."""
    return http.around.key_admin, actor_of(http, "trimtab keys")


def actor_of(http: Exchange, command: str) -> Actor:
    """Who changes things with an admin key; `command` is the way without one. Raises `PermissionDenied`."""
    caller = http.caller
    if not caller.key:
        raise PermissionDenied(
            f"{shortened(http.path)}: needs a key that was made with --admin; on this machine use `{command}`"
        )
    if not caller.admin:
        raise PermissionDenied(f"{shortened(http.path)}: this key ({caller.key}) was not made with --admin")
    return Actor(f"key:{caller.key}", caller.organisation, caller.key)


def _name(http: Exchange) -> str:
    return http.path.removeprefix(KEYS + "/").partition("/")[0]


async def blocking(work: Callable[[], T]) -> T:
    """Work on the store, in a thread. Raises `Unavailable` where the store cannot be used."""
    try:
        return await asyncio.to_thread(work)
    except StoreError as problem:
        _log.warning("the store: %s", problem)
        raise Unavailable("the store cannot be used now; try again", RETRY_S) from None


async def body_of(http: Exchange, kind: type[S], *, required: bool) -> S:
    """The body of a request for a change. Raises `RequestError`."""
    content = await http.body(MAX_BODY_BYTES)
    if not content and not required:
        return kind()
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        # The decoder names the place and what was expected there, never a value.
        raise RequestError(f"body: {printable(str(problem), 300)}{_permitted(problem, kind)}") from None


def _permitted(problem: Exception, kind: type[msgspec.Struct]) -> str:
    """Which fields there are, after the name of one that there is not; and how phases are written."""
    text = str(problem)
    if text.endswith("`$.phases`"):
        return '; phases are a list, in order, as [{"name": "plan", "percent": 20}, {"name": "do", "percent": 80}]'
    if "unknown field" not in text:
        return ""
    inner = Limits if text.endswith("`$.limits`") else NewPhase if "`$.phases[" in text else kind
    return f"; permitted are {', '.join(inner.__struct_encode_fields__)}"


def query_of(http: Exchange, *known: str) -> dict[str, str]:
    """The parameters of the query, each at most once. Raises `RequestError` for others."""
    asked = parse_qs(http.query.decode("latin-1"), keep_blank_values=True)
    for name, values in asked.items():
        if name not in known or len(values) > 1:
            raise RequestError(f"{shortened(name, 80)}: must be one of {', '.join(known)}, each at most once")
    return {name: values[0] for name, values in asked.items()}


def number_of(asked: dict[str, str], name: str, default: int, most: int) -> int:
    """A whole number of the query, from 1. Raises `RequestError`."""
    text = asked.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 16 or not 1 <= int(text) <= most:
        raise RequestError(f"{name}: {shortened(text, 80)!r}: must be a whole number from 1 to {most}")
    return int(text)


def _made(made: SecretMade) -> bytes:
    """The only answer that ever holds a secret."""
    return _json({**msgspec.to_builtins(made.key), "secret": made.secret.reveal()})


def _json(content: Any) -> bytes:
    return msgspec.json.encode(content)
