"""Answers as people corrected them: content, which is kept, found and deleted as prompts and answers are.

What it is not: the choice of what is kept (`content`), or the word that it came with (`feedback`). Invariant: where a
deletion names the request, or its content would be too old, an edited answer is neither kept nor found.
"""

import zlib
from typing import Any

import msgspec

from trimtab.records import Outcome
from trimtab.store.content.covering import any_deletion, is_covered, overwriting
from trimtab.store.content.tables import PACK_LEVEL, UNPACKED_MAX
from trimtab.store.database import Transaction

EDITED_BYTES_MAX = 256 * 1024
"""Of one, as JSON: twice what 32,000 output tokens come to."""

DAY_MS = 86_400_000

_ROOM = 200
"""Levels that whoever shows one puts around it, frames of the program included."""


class Edited(msgspec.Struct, frozen=True):
    """One, as the policy lets it be kept."""

    answer: bytes | None = None
    """JSON; `None`: nothing of it is kept."""
    mode: str = ""
    """`redacted` or `full`."""
    simulated: bool = True
    """Whether that of a simulated request is kept, too."""
    days: int = 0
    """How old the request may be; 0: whatever it is."""


def written(value: Any) -> bytes:
    """One as JSON, such that it can be read and shown wherever it is. Raises `RecursionError` where it is nested too
    deeply for that, by some 800 levels."""
    around = value
    for _ in range(_ROOM):
        around = [around]
    return msgspec.json.encode(around)[_ROOM:-_ROOM]


def keep_edited(
    tx: Transaction, request_id: str, source: str, edited: Edited | None, waiting: bytes | None = None
) -> bool:
    """Put it in the place of what this source told before, which nothing does too; whether anything changed. `waiting`
    is the request's record where that may not be written yet."""
    before = tx.row(
        "SELECT answer FROM edited_answers WHERE request_id = ? AND source = ?", (request_id, source)
    )
    owner = None if edited is None or edited.answer is None else _owner(tx, request_id, edited, waiting)
    if owner is None or edited is None or edited.answer is None:
        if before is None:
            return False
        with overwriting(tx):
            tx.change("DELETE FROM edited_answers WHERE request_id = ? AND source = ?", (request_id, source))
        return True
    packed = zlib.compress(edited.answer, PACK_LEVEL)
    if before is not None and bytes(before[0]) == packed:
        return False
    with overwriting(tx):
        tx.change(
            "INSERT INTO edited_answers (request_id, source, at_ms, key_id, user_name, organisation, mode, answer) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (request_id, source) DO UPDATE SET mode = excluded.mode, "
            "answer = excluded.answer",
            (request_id, source, owner.at_ms, owner.key, owner.user, owner.organisation, edited.mode, packed),
        )
    return True


def edited_of(view: Transaction, request_id: str) -> dict[str, Any]:
    """What is kept for a request, by source, as JSON values."""
    rows = view.rows(
        "SELECT source, answer, at_ms, key_id, user_name, organisation FROM edited_answers WHERE request_id = ?",
        (request_id,),
    )
    if not rows or (any_deletion(view) and is_covered(view, request_id, *_subject(rows[0]))):
        return {}
    return {row[0]: _read(bytes(row[1])) for row in rows}


def _subject(row: tuple[Any, ...]) -> tuple[int, str, str, str]:
    """As `is_covered` takes it."""
    _, _, at_ms, key, user, organisation = row
    return at_ms, key, organisation, user


def _owner(tx: Transaction, request_id: str, edited: Edited, waiting: bytes | None) -> Outcome | None:
    """The request, where an edited answer of it may be kept."""
    row = tx.row("SELECT detail FROM requests WHERE id = ?", (request_id,))
    detail = waiting if row is None else row[0]
    if detail is None:
        return None
    record = msgspec.json.decode(detail, type=Outcome)
    if record.simulated and not edited.simulated:
        return None
    if edited.days and record.at_ms < tx.now_ms() - edited.days * DAY_MS:
        return None
    named = (record.at_ms, record.key, record.organisation, record.user)
    if any_deletion(tx) and is_covered(tx, request_id, *named):
        return None
    return record


def _read(packed: bytes) -> Any:
    return msgspec.json.decode(zlib.decompressobj().decompress(packed, UNPACKED_MAX))
