"""The table of kept prompts and answers: adding, finding, counting.

What it is not: the choice of what is kept (`content`), or the records, which stand without it. Invariants: content
that a deletion covers is neither added nor found, whenever it comes; what is removed is overwritten in a SQLite file.
"""

import zlib
from collections.abc import Sequence
from typing import Literal

import msgspec

from trimtab.store.content.covering import (
    Deletion,
    any_deletion,
    is_covered,
    latest_deletion,
    overwriting,
)
from trimtab.store.database import Database, Row, Transaction, Value

PACK_LEVEL = 1
"""53 KB of conversation take 0.4 ms and 47 % of their size; level 3 takes 0.9 ms for 43 %, level 6 3.3 ms for 41 %. A
stream of plain deltas takes 2 % at level 1."""

UNPACKED_MAX = 256 * 1024 * 1024
"""More than any setting lets in; a row that unpacks to more was not written by us."""

AnswerKind = Literal["", "json", "sse", "other"]


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one request. `None` for a side of which nothing is kept."""

    request_id: str
    at_ms: int
    """Arrival, Unix milliseconds, as in the record."""
    purpose: str
    simulated: bool
    key: str
    user: str
    team: str
    organisation: str
    mode: str
    """The policy under which it was kept: `redacted` or `full`."""
    request: bytes | None
    """`full`: as the client sent it. `redacted`: JSON again, other bytes."""
    request_bytes: int
    """How long it was."""
    request_cut: bool
    """More was sent than is kept."""
    answer: bytes | None
    """`full`: as the platform sent it and the client got it. `redacted`: JSON, also of a stream."""
    answer_bytes: int
    answer_cut: bool
    answer_kind: AnswerKind = ""
    """`sse`: the events of a stream, which `messages.assembled` reads. `other`: neither JSON nor events."""
    answer_encoding: str = ""
    """The content-encoding that the platform used all the same."""


class Summary(msgspec.Struct, frozen=True):
    """How much is kept."""

    requests: int
    stored_bytes: int
    oldest_ms: int | None


_COLUMNS = (
    "request_id, at_ms, purpose, simulated, key_id, user_name, team_id, organisation, mode, request, request_bytes, "
    "request_cut, answer, answer_bytes, answer_cut, answer_kind, answer_encoding"
)
_ADD = f"INSERT INTO content ({_COLUMNS}) VALUES ({', '.join('?' * 17)}) ON CONFLICT DO NOTHING"  # noqa: S608 (our own names)
_FIND = f"SELECT {_COLUMNS} FROM content WHERE request_id = ?"  # noqa: S608

Packed = tuple[Value, ...]
"""A row of the table."""


def pack(content: Content) -> Packed:
    """A row of it. Lets go of the interpreter lock; 53 KB take half a millisecond."""
    return (
        content.request_id,
        content.at_ms,
        content.purpose,
        int(content.simulated),
        content.key,
        content.user,
        content.team,
        content.organisation,
        content.mode,
        _packed(content.request),
        content.request_bytes,
        int(content.request_cut),
        _packed(content.answer),
        content.answer_bytes,
        int(content.answer_cut),
        content.answer_kind,
        content.answer_encoding,
    )


class ContentStore:
    """Kept prompts and answers on either engine. For the console, the gateway, commands, and who writes them.

    Which policy is in force is not here but in the configuration: `content.keep` of the settings.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, request_id: str) -> Content | None:
        """What is kept of a request; nothing for about the first half second after its end. Blocks.

        Raises `StoreError`.
        """
        if not request_id.isascii() or "\0" in request_id:
            return None

        def work(view: Transaction) -> Content | None:
            row = view.row(_FIND, (request_id,))
            if row is None:
                return None
            found = _read(row)
            return None if _is_deleted(view, found) else found

        return self._database.read(work)

    def deletion(
        self, request_id: str, at_ms: int, *, key: str, organisation: str, user: str
    ) -> Deletion | None:
        """The latest deletion of content that names a request; remembered for a week. Blocks. Raises `StoreError`."""
        return self._database.read(
            lambda view: latest_deletion(view, request_id, at_ms, key, organisation, user)
        )

    def add(self, rows: Sequence[Packed]) -> None:
        """Add in one transaction what is not there and not deleted. Blocks. Raises `StoreError`.

        The last moments may be lost with the machine's power, as with records.
        """

        def work(tx: Transaction) -> None:
            with overwriting(tx):
                kept = rows
                if any_deletion(tx):
                    kept = [row for row in rows if not _covers(tx, row)]
                for row in kept:
                    tx.change(_ADD, row)

        self._database.write(work, durable=False)

    def summary(self) -> Summary:
        """How much there is. Reads the whole table but for what was kept in it. Blocks. Raises `StoreError`."""
        row = self._database.read(
            lambda view: view.row(
                "SELECT count(*), coalesce(sum(coalesce(length(request), 0) + coalesce(length(answer), 0)), 0), "
                "min(at_ms) FROM content"
            )
        )
        assert row is not None
        return Summary(int(row[0]), int(row[1]), None if row[2] is None else int(row[2]))


def _covers(tx: Transaction, row: Packed) -> bool:
    request_id, at_ms, key, user, organisation = row[0], row[1], row[4], row[5], row[7]
    return is_covered(tx, str(request_id), int(at_ms or 0), str(key), str(organisation), str(user))


def _is_deleted(view: Transaction, found: Content) -> bool:
    return any_deletion(view) and is_covered(
        view, found.request_id, found.at_ms, found.key, found.organisation, found.user
    )


def _read(row: Row) -> Content:
    return Content(
        request_id=row[0],
        at_ms=row[1],
        purpose=row[2],
        simulated=bool(row[3]),
        key=row[4],
        user=row[5],
        team=row[6],
        organisation=row[7],
        mode=row[8],
        request=_unpacked(row[9]),
        request_bytes=row[10],
        request_cut=bool(row[11]),
        answer=_unpacked(row[12]),
        answer_bytes=row[13],
        answer_cut=bool(row[14]),
        answer_kind=row[15],
        answer_encoding=row[16],
    )


def _packed(side: bytes | None) -> bytes | None:
    return None if side is None else zlib.compress(side, PACK_LEVEL)


def _unpacked(packed: bytes | None) -> bytes | None:
    return None if packed is None else zlib.decompressobj().decompress(bytes(packed), UNPACKED_MAX)
