"""`/trimtab/v1/feedback`: what became of a request, told by whoever sent it.

What it is not: what is made of it (`efforts`). Invariants: a key tells of its own requests, an admin key of all of its
organisation, who shows no key of those that were sent without one; of another's request nothing is said, not even that
it is there; an edited answer is content: kept under the policy in force, and shown to whoever may read content.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec

from trimtab.errors import NotFound, RequestError, printable, shortened
from trimtab.gateway.http import Exchange
from trimtab.gateway.keys_api import blocking, query_of
from trimtab.gateway.opinion import Opinion
from trimtab.records import NOBODY, Caller
from trimtab.store.edited_answers import EDITED_BYTES_MAX, written
from trimtab.store.feedback import LABEL_CHARS_MAX, NOTE_CHARS_MAX, SOURCE_CHARS_MAX, Covers, Told

FEEDBACK = "/trimtab/v1/feedback"

MAX_BODY_BYTES = EDITED_BYTES_MAX + 16 * 1024

WAITS_S = (0.0, 0.1, 0.2, 0.3, 0.4)
"""A record is written 0.1 s after its answer's end, perhaps by another worker than the one that is told of it."""

FRESH_MS = 60_000
"""Only for a request that may just have ended is there a wait."""


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    request: str
    success: bool | None = None
    score: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    covers: Covers = "request"
    note: Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)] = ""
    source: Annotated[
        str, msgspec.Meta(min_length=1, max_length=SOURCE_CHARS_MAX, pattern=r"^[A-Za-z0-9._:-]+\Z")
    ] = "user"
    label: Annotated[str, msgspec.Meta(max_length=LABEL_CHARS_MAX, pattern=r"^[A-Za-z0-9._:-]*\Z")] = ""
    edited: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def feedback_handler(path: str) -> Callable[[Exchange], Awaitable[None]] | None:
    """Who answers this path; `None` where it is none of ours."""
    return _feedback if path == FEEDBACK else None


async def _feedback(http: Exchange) -> None:
    http.require("GET", "POST")
    store = http.around.feedback
    if http.method == "GET":
        name = query_of(http, "request").get("request", "")
        await _own(http, name)
        reads = http.caller is not NOBODY or await http.around.is_open()
        found = await blocking(lambda: store.with_edited(store.of(name)) if reads else store.of(name))
        http.reply(200, msgspec.json.encode({"data": found}))
        return
    said = read_feedback(await http.body(MAX_BODY_BYTES))
    record, detail = await _own(http, said.request)
    teller = f"key:{http.caller.key}" if http.caller.key else ""
    told = msgspec.structs.replace(said, teller=teller)
    word = await blocking(lambda: store.tell(told, http.around.keep_edited, detail))
    http.around.on_opinion(
        Opinion(
            word.request,
            record.session,
            record.key,
            word.covers,
            word.score,
            word.label,
            told.edited is not None,
        )
    )
    http.reply(200, msgspec.json.encode(word))


def read_feedback(body: bytes) -> Told:
    """What a body tells. Raises `RequestError`."""
    try:
        said = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        permitted = ""
        if "unknown field" in str(problem):
            permitted = f"; permitted are {', '.join(_Body.__struct_encode_fields__)}"
        told, matching, _ = str(problem).partition(" matching regex")
        if matching:
            place = "label" if str(problem).endswith("`$.label`") else "source"
            told = f"{place}: takes letters, digits and . _ : - only"
        raise RequestError(f"body: {printable(told, 300)}{permitted}") from None
    edited = _edited(said.edited)
    score = said.score if said.success is None else float(said.success)
    if score is None or None not in (said.success, said.score):
        raise RequestError("body: say success (true or false) or score (0 to 1), one of them")
    return Told(
        request=said.request,
        source=said.source,
        score=score + 0.0,  # no negative zero
        covers=said.covers,
        note=said.note.replace("\0", "\ufffd"),
        label=said.label,
        edited=edited,
    )


def _edited(raw: msgspec.Raw | msgspec.UnsetType) -> bytes | None:
    """An edited answer as JSON; `null` is none."""
    if raw is msgspec.UNSET:
        return None
    sent = bytes(raw)
    if len(sent) > EDITED_BYTES_MAX:
        raise RequestError(
            f"body: edited: has {len(sent):,} bytes; at most {EDITED_BYTES_MAX:,} are taken; send what matters"
        )
    try:
        value = msgspec.json.decode(sent)
        return None if value is None else written(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise RequestError(f"body: edited: {printable(str(problem), 300)}") from None


async def _own(http: Exchange, name: str) -> tuple["_Owner", bytes]:
    """Whose it is, and its record, which may not be written yet.

    Raises `NotFound` unless the request is recorded and the caller's to tell of.
    """
    unknown = NotFound(
        f"no request {shortened(name, 80)!r} of this key is recorded here; use the id of an x-trimtab-request "
        "header; one that is still being answered has no record"
    )
    if len(name) != 32 or not name.isascii() or not name.isalnum():
        raise unknown
    for wait_s in WAITS_S if _is_fresh(name, http.around.clock_ms()) else WAITS_S[:1]:
        await asyncio.sleep(wait_s)
        found = await blocking(lambda: http.around.find_record(name))
        if found is not None:
            owner = msgspec.json.decode(found, type=_Owner)
            if not _may_tell(owner, http.caller):
                raise unknown
            return owner, found
    raise unknown


class _Owner(msgspec.Struct, frozen=True):
    key: str = ""
    organisation: str = ""
    session: str = ""


def _may_tell(record: _Owner, caller: Caller) -> bool:
    if caller.admin:
        return record.organisation == caller.organisation
    return record.key == caller.key


def _is_fresh(name: str, now_ms: int) -> bool:
    """Whether the request of this id came just now: ids begin with the moment (`records.ids`)."""
    try:
        return abs(now_ms - int(name[:12], 16)) < FRESH_MS
    except ValueError:
        return False
