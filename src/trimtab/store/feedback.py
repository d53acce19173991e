"""What became of requests, as those who asked tell it: one word for each request and source; the last one counts.

What it is not: who may tell (`gateway`), what is made of it (`efforts`), or the record, which never changes.
Invariants: telling the same twice changes nothing; what was told before is kept, the latest `EARLIER_MAX` of it; what
was told goes with the request that it was told of, and its note and edited answer go where that request's content is
deleted.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from trimtab.errors import Conflict, NotFound, shortened
from trimtab.store.content.covering import overwriting
from trimtab.store.database import Database, Row, Transaction, Value
from trimtab.store.edited_answers import Edited, edited_of, keep_edited

Covers = Literal["request", "session", "task"]
"""What was judged: the answer to this request, or all that its session or its task came to."""

EARLIER_MAX = 8
"""Words kept beside the one that counts. Who changes their mind more often than that is a program in a loop."""

SOURCES_MAX = 8
"""Sources that may tell of one request, as `user`, `tests`, `review`."""

SOURCE_CHARS_MAX = 64
NOTE_CHARS_MAX = 1000
LABEL_CHARS_MAX = 40

_PURPOSES = "purpose IN ('live', 'task', 'eval') AND endpoint <> 'count_tokens'"


class Word(msgspec.Struct, frozen=True):
    """What was told before."""

    score: float
    covers: Covers
    teller: str
    at_ms: int
    label: str = ""


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody says."""

    request: str
    source: str
    score: float
    """From 0, it failed, to 1, it succeeded."""
    covers: Covers = "request"
    note: str = ""
    label: str = ""
    """A short plain name for what was wrong or right, as `wrong_format`."""
    teller: str = ""
    """`key:<id>`, `cli:<account>`, or empty: on this machine, without a key."""


class Told(_Said, frozen=True, kw_only=True):
    """What somebody tells."""

    edited: bytes | None = None
    """The answer as it should have been, JSON; what is kept of it is the policy's matter."""


class Feedback(_Said, frozen=True, kw_only=True):
    """The word that counts."""

    at_ms: int
    """When it was told."""
    earlier: tuple[Word, ...] = ()
    """The oldest first."""
    edited_kept: bool | None = None
    """Whether the edited answer that came with it is kept; `None`: none came."""
    edited: Any = msgspec.UNSET
    """It, as JSON values, where it was asked for."""


Keep = Callable[[bytes], Edited]
"""What the policy in force lets be kept of an edited answer, JSON. Takes milliseconds: it may search it for secrets."""


class Noted(NamedTuple):
    """What came of several words."""

    changed: int
    """The others had been told before."""
    unkept: int
    """Edited answers of which nothing is kept."""
    problems: dict[int, str]
    """Why others were left out, by their places."""


class FeedbackStore:
    """The table, on either engine. Safe to use from any thread. Blocks; raises `StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tell(self, told: Told, keep: Keep | None = None, waiting: bytes | None = None) -> Feedback:
        """Note it, for a request that is known: `waiting` is its record where that may not be written yet. Idempotent.
        Raises `Conflict` where too many sources have told.

        The last moments may be lost with the machine's power, as with records.
        """
        edited = _kept(told, keep)
        return self._database.write(lambda tx: _tell(tx, told, edited, waiting)[0], durable=False)

    def of(self, request_id: str) -> tuple[Feedback, ...]:
        """What was told of a request, by source."""
        if not request_id.isascii() or "\0" in request_id:
            return ()
        return self._database.read(lambda view: feedback_of(view, request_id))

    def with_edited(self, words: Sequence[Feedback]) -> tuple[Feedback, ...]:
        """The same words with the edited answers that are kept of them, for whoever may read content."""
        names = {word.request for word in words if word.edited_kept}
        if not names:
            return tuple(words)
        found = self._database.read(lambda view: {name: edited_of(view, name) for name in names})
        return tuple(
            msgspec.structs.replace(word, edited=found[word.request][word.source])
            if word.source in found.get(word.request, {})
            else word
            for word in words
        )

    def of_whole(self, request_id: str, task: str) -> tuple[Feedback, ...]:
        """What was told of a request, by source, and then what was told of its task with other requests of it."""

        def work(view: Transaction) -> tuple[Feedback, ...]:
            own = feedback_of(view, request_id)
            of_task = words_of_tasks(view, [task]).get(task, ()) if task else ()
            return (*own, *(word for word in of_task if word.request != request_id))

        return self._database.read(work)

    def tell_found(
        self, told: Sequence[Told], simulated: bool | None = None, keep: Keep | None = None
    ) -> Noted:
        """Note all of which the request is found, in one transaction.

        `request` is the id or name of what `covers` says; of a session or task the outcome lies with its last request.
        Of a session with real and simulated requests `simulated` says which are meant.
        """

        edited = [_kept(one, keep) for one in told]

        def work(tx: Transaction) -> Noted:
            changed, unkept, problems = 0, 0, {}
            for place, one in enumerate(told):
                try:
                    found = _request_of(tx, one.covers, one.request, simulated)
                    word, is_new = _tell(tx, msgspec.structs.replace(one, request=found), edited[place])
                except (NotFound, Conflict) as problem:
                    problems[place] = str(problem)
                else:
                    changed += is_new
                    unkept += word.edited_kept is False
            return Noted(changed, unkept, problems)

        return self._database.write(work, durable=False)


_COLUMNS = "request_id, source, covers, score, note, teller, at_ms, earlier, label, edited"
_KEPT = "(SELECT count(*) FROM edited_answers e WHERE e.request_id = f.request_id AND e.source = f.source)"
_READ = ", ".join([*(f"f.{name}" for name in _COLUMNS.split(", ")), _KEPT])


def _kept(told: Told, keep: Keep | None) -> Edited | None:
    """What may be kept of the edited answer that came with a word; `None`: none came."""
    if told.edited is None:
        return None
    return Edited() if keep is None else keep(told.edited)


def _tell(
    tx: Transaction, told: Told, edited: Edited | None, waiting: bytes | None = None
) -> tuple[Feedback, bool]:
    """The word that counts now, and whether that is a change."""
    row = tx.row(
        f"SELECT {_COLUMNS}, 0 FROM feedback WHERE request_id = ? AND source = ? {tx.words.lock_row}",  # noqa: S608 (our own words)
        (told.request, told.source),
    )
    if row is None:
        there = tx.row("SELECT count(*) FROM feedback WHERE request_id = ?", (told.request,))
        assert there is not None
        if there[0] >= SOURCES_MAX:
            raise Conflict(
                f"source {shortened(told.source, 80)!r}: {SOURCES_MAX} other sources have told of request "
                f"{shortened(told.request, 80)!r} already; use one of their names"
            )
    kept_anew = keep_edited(tx, told.request, told.source, edited, waiting)
    earlier: tuple[Word, ...] = ()
    if row is not None:
        before = _read(row)
        same = all(
            getattr(before, name) == getattr(told, name) for name in ("score", "covers", "note", "label")
        )
        if same and not kept_anew and (before.edited_kept is None) == (edited is None):
            return _with_kept(tx, before), False
        word = Word(before.score, before.covers, before.teller, before.at_ms, before.label)
        earlier = (*before.earlier, word)[-EARLIER_MAX:]
    now = Feedback(
        request=told.request,
        source=told.source,
        score=told.score,
        covers=told.covers,
        note=told.note,
        label=told.label,
        teller=told.teller,
        at_ms=tx.now_ms(),
        earlier=earlier,
        edited_kept=None if edited is None else False,
    )
    values: tuple[Value, ...] = (
        now.request,
        now.source,
        now.covers,
        now.score,
        now.note,
        now.teller,
        now.at_ms,
        msgspec.json.encode(now.earlier).decode(),
        now.label,
        int(edited is not None),
    )
    with overwriting(tx):
        tx.change(
            f"INSERT INTO feedback ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608 (our own names)
            "ON CONFLICT (request_id, source) DO UPDATE SET covers = excluded.covers, score = excluded.score, "
            "note = excluded.note, teller = excluded.teller, at_ms = excluded.at_ms, earlier = excluded.earlier, "
            "label = excluded.label, edited = excluded.edited",
            values,
        )
    return _with_kept(tx, now), True


def _with_kept(tx: Transaction, word: Feedback) -> Feedback:
    """The word, saying whether its edited answer is kept."""
    if word.edited_kept is None:
        return word
    return msgspec.structs.replace(word, edited_kept=word.source in edited_of(tx, word.request))


def feedback_of(view: Transaction, request_id: str) -> tuple[Feedback, ...]:
    """What was told of a request, by source."""
    found = view.rows(
        f"SELECT {_READ} FROM feedback f WHERE f.request_id = ? ORDER BY f.source",  # noqa: S608 (our own names)
        (request_id,),
    )
    return tuple(_read(row) for row in found)


def words_of_tasks(view: Transaction, tasks: Sequence[str]) -> dict[str, tuple[Feedback, ...]]:
    """What was told of tasks as wholes, by task, the oldest first, with whichever of its requests it lies. A word on a
    session is none on a task: there may be several in it. Each request of the tasks costs some microseconds."""
    told: dict[str, list[Feedback]] = {}
    for task, *word in view.rows(
        f"SELECT r.task, {_READ} FROM requests r CROSS JOIN feedback f "  # noqa: S608 (our own names)
        f"WHERE f.request_id = r.id AND r.task <> '' AND r.task IN {view.words.texts} AND f.covers = 'task' "
        "ORDER BY f.at_ms, f.request_id, f.source",
        (msgspec.json.encode(tasks).decode(),),
    ):
        told.setdefault(task, []).append(_read(tuple(word)))
    return {task: tuple(words) for task, words in told.items()}


def delete_feedback_of(tx: Transaction, ids: str) -> None:
    """Remove what was told of these requests, a JSON array of ids: their records go."""
    with overwriting(tx):
        tx.change(f"DELETE FROM feedback WHERE request_id IN {tx.words.texts}", (ids,))  # noqa: S608 (our own words)


def _request_of(view: Transaction, covers: Covers, name: str, simulated: bool | None) -> str:
    if not name or not name.isprintable() or len(name) > 1024:
        raise NotFound(
            f"{covers} {shortened(name, 80)!r}: no such {covers} can be; use the id or name as recorded"
        )
    column = {"request": "id", "session": "session", "task": "task"}[covers]
    side = "" if simulated is None else f" AND simulated = {int(simulated)}"
    found = view.rows(
        f"SELECT max(id), simulated FROM requests WHERE {column} = ? AND {_PURPOSES}{side} GROUP BY simulated",  # noqa: S608
        (name,),
    )
    if not found:
        raise NotFound(f"{covers} {shortened(name, 80)!r}: no answered request of it is recorded here")
    if len(found) > 1:
        raise Conflict(
            f"{covers} {shortened(name, 80)!r}: has real and simulated requests; name the request by its id"
        )
    return str(found[0][0])


def _read(row: Row) -> Feedback:
    return Feedback(
        request=row[0],
        source=row[1],
        covers=row[2],
        score=row[3],
        note=row[4],
        teller=row[5],
        at_ms=row[6],
        earlier=_EARLIER.decode(row[7]),
        label=row[8],
        edited_kept=bool(row[10]) if row[9] else None,
    )


_EARLIER: msgspec.json.Decoder[tuple[Word, ...]] = msgspec.json.Decoder(tuple[Word, ...])
