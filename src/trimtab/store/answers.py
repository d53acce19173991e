"""The tables of answers that are kept to be given again: finding, adding, making room, counting.

What it is not: what may be kept, or what is asked alike (`cache`). Invariants: what a deletion covers, what the key
that asked for it was revoked for, what is over or comes from the future is not found; what is removed is overwritten in
a SQLite file, as kept content is.
"""

import functools
import zlib
from collections.abc import Sequence

import msgspec

from trimtab.store.content.covering import any_deletion, is_covered, overwriting
from trimtab.store.database import Database, Row, Transaction, Value

PACK_LEVEL = 1
"""As kept content is; 53 KB take 0.4 ms and 47 % of their size, a stream of plain deltas 2 %."""

UNPACKED_MAX = 64 * 1024 * 1024
"""More than is ever kept; a row that unpacks to more was not written by us."""

FUTURE_MS = 5_000
"""An answer that was made so much later than now, by the clock of the database, was made before that was set back: how
old it is is not known, and it is not given."""

KEPT_PART = 0.9
"""Room is made down to this part of it, so that not every answer that comes has to make room."""

HOUR_MS = 3_600_000
FOR_EVER_MS = 253_402_300_800_000
"""The year 10,000."""

ROWS = 40
"""Rows of one transaction that removes; a typical one has some KB, which SQLite overwrites."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it is kept."""

    digest: str
    request_id: str
    """The request that it was first given to."""
    at_ms: int
    """When that one arrived: what is deleted is deleted by it."""
    simulated: bool
    place: str
    """Which platform entry made it, and how that was configured."""
    key: str
    user: str
    team: str
    organisation: str
    model: str
    cost_nanousd: int
    """What it cost then."""
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Found(msgspec.Struct, frozen=True):
    """An answer that is there now."""

    answer: Answer
    age_ms: int
    left_ms: int
    """Until it is over."""


class Tally(msgspec.Struct, frozen=True):
    """What asking for kept answers came to, for one row of `cache_by_hour`."""

    hour_ms: int
    simulated: bool
    organisation: str
    key: str
    model: str
    hits: int
    misses: int
    saved_nanousd: int


class KeptSummary(msgspec.Struct, frozen=True):
    """How much is kept."""

    answers: int
    stored_bytes: int
    oldest_ms: int | None


class Asked(msgspec.Struct, frozen=True):
    """How often answers were asked for since a moment, on one side."""

    hits: int = 0
    misses: int = 0
    saved_nanousd: int = 0


Packed = tuple[Value, ...]
"""A row of the table without its moments."""


class New(msgspec.Struct, frozen=True):
    """An answer to keep."""

    row: Packed
    ttl_ms: int
    replaces: bool = False
    """Whether it takes the place of one that could be given still."""


_COLUMNS = (
    "digest, request_id, at_ms, simulated, place, key_id, user_name, team_id, organisation, model, cost_nanousd, "
    "size, answer"
)
_REPLACES = ", ".join(
    f"{name} = excluded.{name}" for name in (*_COLUMNS.split(", ")[1:], "made_ms", "used_ms", "expires_ms")
)
_ADD = (
    f"INSERT INTO cached_answers ({_COLUMNS}, made_ms, used_ms, expires_ms, hits) "  # noqa: S608 (our own names)
    f"VALUES ({', '.join('?' * 16)}, 0) ON CONFLICT (digest) DO UPDATE SET {_REPLACES}, hits = 0"
)
_ADD_NEW = (
    f"{_ADD} WHERE cached_answers.expires_ms <= excluded.made_ms OR cached_answers.place <> excluded.place "  # noqa: S608
    "OR cached_answers.simulated <> excluded.simulated OR EXISTS (SELECT 1 FROM keys k WHERE "
    "k.id = cached_answers.key_id AND k.revoked_ms IS NOT NULL) "
    f"OR cached_answers.made_ms > excluded.made_ms + {FUTURE_MS}"
)
"""What can be given still stands: of several that ask the same at once, each of whom missed, the first one's answer is
the one that all hear later."""
_FIND = (
    "SELECT a.digest, a.request_id, a.at_ms, a.simulated, a.place, a.key_id, a.user_name, a.team_id, a.organisation, "
    "a.model, a.cost_nanousd, a.answer, a.made_ms, a.expires_ms FROM cached_answers a "
    "LEFT JOIN keys k ON k.id = a.key_id WHERE a.digest = ? AND k.revoked_ms IS NULL"
)
_PART = msgspec.msgpack.Decoder(tuple[list[tuple[bytes, bytes]], bytes])


def pack(answer: Answer) -> Packed:
    """A row of it. Lets go of the interpreter lock while it packs."""
    packed = zlib.compress(msgspec.msgpack.encode((answer.headers, answer.body)), PACK_LEVEL)
    return (
        answer.digest,
        answer.request_id,
        answer.at_ms,
        int(answer.simulated),
        answer.place,
        answer.key,
        answer.user,
        answer.team,
        answer.organisation,
        answer.model,
        answer.cost_nanousd,
        len(packed),
        packed,
    )


def count_kept(tx: Transaction, key: str | None) -> int:
    """How many there are, over or not, of all or of what one key asked for."""
    where, values = ("", ()) if key is None else (" WHERE key_id = ?", (key,))
    row = tx.row(f"SELECT count(*) FROM cached_answers{where}", values)  # noqa: S608 (our own words)
    return 0 if row is None else int(row[0])


class AnswerStore:
    """Kept answers on either engine. Safe to use from any thread; each call blocks and raises `StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, digest: str) -> Found | None:
        """The answer of this digest, where there is one that may be given now."""

        def work(view: Transaction) -> tuple[Row, int] | None:
            row = view.row(_FIND, (digest,))
            if row is None:
                return None
            now_ms, made_ms, expires_ms = view.now_ms(), row[12], row[13]
            if not made_ms - FUTURE_MS <= now_ms < expires_ms:
                return None
            if any_deletion(view) and is_covered(view, row[1], row[2], row[5], row[8], row[6]):
                return None
            return row, now_ms

        found = self._database.read(work)
        if found is None:
            return None
        row, now_ms = found
        return Found(_read(row), max(0, now_ms - row[12]), row[13] - now_ms)

    def add(self, rows: Sequence[New]) -> None:
        """Keep these, unless they are deleted already. The last moments may be lost with the machine's power."""

        def work(tx: Transaction) -> None:
            deletions = any_deletion(tx)
            now_ms = tx.now_ms()
            with overwriting(tx):
                for new in sorted(
                    rows, key=lambda one: str(one.row[0])
                ):  # in one order: no two wait in a ring
                    if not (deletions and _covered(tx, new.row)):
                        statement = _ADD if new.replaces else _ADD_NEW
                        tx.change(statement, (*new.row, now_ms, now_ms, now_ms + new.ttl_ms))

        self._database.write(work, durable=False)

    def make_room(self, most_bytes: int) -> int:
        """Remove what was used longest ago, where all together is more than this; how many. In small transactions."""
        row = self._database.read(lambda view: view.row("SELECT coalesce(sum(size), 0) FROM cached_answers"))
        over = 0 if row is None else int(row[0]) - most_bytes
        if over <= 0:
            return 0
        over += int(most_bytes * (1 - KEPT_PART))
        removed = 0
        while over > 0:
            sizes = self._database.write(functools.partial(_remove_oldest, over), durable=False)
            if not sizes:
                break
            removed += len(sizes)
            over -= sum(sizes)
        return removed

    def remove_old(self) -> int:
        """Remove some that are over; how many."""

        def work(tx: Transaction) -> int:
            with overwriting(tx):
                return tx.change(
                    "DELETE FROM cached_answers WHERE digest IN "
                    "(SELECT digest FROM cached_answers WHERE expires_ms <= ? LIMIT ?)",
                    (tx.now_ms(), ROWS),
                )

        return self._database.write(work, durable=False)

    def remove_of_revoked(self) -> int:
        """Remove some that a key that was revoked asked for; how many."""

        def work(tx: Transaction) -> int:
            with overwriting(tx):
                return tx.change(
                    "DELETE FROM cached_answers WHERE digest IN (SELECT a.digest FROM cached_answers a "
                    "JOIN keys k ON k.id = a.key_id WHERE k.revoked_ms IS NOT NULL LIMIT ?)",
                    (ROWS,),
                )

        return self._database.write(work, durable=False)

    def remove(self, key: str | None) -> int:
        """Remove some, of all or of what one key asked for; how many."""
        where, values = ("", ()) if key is None else ("WHERE key_id = ? ", (key,))

        def work(tx: Transaction) -> int:
            with overwriting(tx):
                return tx.change(
                    "DELETE FROM cached_answers WHERE digest IN "  # noqa: S608 (our own words)
                    f"(SELECT digest FROM cached_answers {where}LIMIT {ROWS})",
                    values,
                )

        return self._database.write(work, durable=False)

    def count(self, tallies: Sequence[Tally], used: Sequence[tuple[str, int]]) -> None:
        """Add to the sums, and note which answers were given how often."""

        def work(tx: Transaction) -> None:
            now_ms = tx.now_ms()
            tx.change_many(
                "INSERT INTO cache_by_hour "
                "(hour_ms, simulated, organisation, key_id, model, hits, misses, saved_nanousd) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (hour_ms, simulated, organisation, key_id, model) "
                "DO UPDATE SET hits = cache_by_hour.hits + excluded.hits, "
                "misses = cache_by_hour.misses + excluded.misses, "
                "saved_nanousd = cache_by_hour.saved_nanousd + excluded.saved_nanousd",
                sorted(
                    (
                        t.hour_ms,
                        int(t.simulated),
                        t.organisation,
                        t.key,
                        t.model,
                        t.hits,
                        t.misses,
                        t.saved_nanousd,
                    )
                    for t in tallies
                ),
            )
            tx.change_many(
                "UPDATE cached_answers SET used_ms = ?, hits = hits + ? WHERE digest = ?",
                [(now_ms, times, digest) for digest, times in sorted(used)],
            )

        self._database.write(work, durable=False)

    def summary(self, key: str | None = None) -> KeptSummary:
        """How much is kept now, of all or of what one key asked for."""
        where, values = ("", ()) if key is None else (" AND key_id = ?", (key,))
        row = self._database.read(
            lambda view: view.row(
                "SELECT count(*), coalesce(sum(size), 0), min(made_ms) FROM cached_answers "  # noqa: S608
                f"WHERE expires_ms > ?{where}",
                (view.now_ms(), *values),
            )
        )
        assert row is not None
        return KeptSummary(int(row[0]), int(row[1]), None if row[2] is None else int(row[2]))

    def asked(
        self,
        since_ms: int,
        *,
        simulated: bool,
        key: str | None = None,
        organisation: str | None = None,
        until_ms: int = FOR_EVER_MS,
    ) -> Asked:
        """How often answers were asked for, from the beginning of the first moment's hour to the end of the last one's;
        of all, or of one key or organisation."""
        where, values = "", list[Value]()
        for column, value in (("key_id", key), ("organisation", organisation)):
            if value is not None:
                where += f" AND {column} = ?"
                values.append(value)
        row = self._database.read(
            lambda view: view.row(
                "SELECT coalesce(sum(hits), 0), coalesce(sum(misses), 0), coalesce(sum(saved_nanousd), 0) "  # noqa: S608
                f"FROM cache_by_hour WHERE hour_ms >= ? AND hour_ms < ? AND simulated = ?{where}",
                (since_ms - since_ms % HOUR_MS, until_ms, int(simulated), *values),
            )
        )
        assert row is not None
        return Asked(*map(int, row))


def _covered(tx: Transaction, row: Packed) -> bool:
    return is_covered(tx, str(row[1]), int(row[2] or 0), str(row[5]), str(row[8]), str(row[6]))


def _remove_oldest(over: int, tx: Transaction) -> list[int]:
    """Remove some that were used longest ago, as many as take so many bytes at the most; their sizes."""
    rows = tx.rows(
        f"SELECT digest, size FROM cached_answers ORDER BY used_ms LIMIT {ROWS} {tx.words.skip_locked}"  # noqa: S608
    )
    gone: list[str] = []
    sizes: list[int] = []
    for digest, size in rows:
        if sum(sizes) >= over:
            break
        gone.append(digest)
        sizes.append(int(size))
    with overwriting(tx):
        tx.change(
            f"DELETE FROM cached_answers WHERE digest IN {tx.words.texts}",  # noqa: S608 (our own words)
            (msgspec.json.encode(gone).decode(),),
        )
    return sizes


def _read(row: Row) -> Answer:
    headers, body = _PART.decode(zlib.decompressobj().decompress(bytes(row[11]), UNPACKED_MAX))
    return Answer(
        digest=row[0],
        request_id=row[1],
        at_ms=row[2],
        simulated=bool(row[3]),
        place=row[4],
        key=row[5],
        user=row[6],
        team=row[7],
        organisation=row[8],
        model=row[9],
        cost_nanousd=row[10],
        headers=headers,
        body=body,
    )
