"""The tables of organisations, teams, users, keys and their secrets.

What it is not: what a change means or who may make it (`admin`), or who calls (`identity`).
Invariants: a secret is here as its SHA-256 only; no row is ever deleted; a changed key or secret carries the number of
the audit row that was written in the same transaction, so a reader finds all changes after a number that it has seen.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from trimtab.records import Limits
from trimtab.store.database import Row, Transaction

PAGE_ROWS = 5000
"""Of 100,000 keys, as many rows in memory at a time as take 6 MB."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key, less its secrets. Times in Unix milliseconds."""

    id: str
    name: str
    organisation: str
    team: str = ""
    """Empty: of no team."""
    user: str = ""
    """Empty: of no user."""
    created_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None
    models: tuple[str, ...] | None = None
    tiers: tuple[str, ...] | None = None
    platforms: tuple[str, ...] | None = None
    default_tier: str | None = None
    admin: bool = False
    limits: Limits = Limits()
    labels: Mapping[str, str] = {}


class KeySecret(msgspec.Struct, frozen=True, kw_only=True):
    """One secret that opens a key, as far as the store knows it."""

    digest: bytes
    """SHA-256 of the secret."""
    key_id: str
    prefix: str
    """The first characters of the secret, by which people tell secrets apart."""
    created_ms: int
    ends_ms: int | None = None
    """From then on it opens nothing; `None` for a secret that is not being replaced."""


_KEY = """id, name, organisation, team, user_name, created_ms, expires_ms, revoked_ms, models, tiers, platforms,
default_tier, admin, limits, labels"""
_SECRET = "digest, key_id, prefix, created_ms, ends_ms"  # noqa: S105 - names of columns


class RowReader:
    """Turns rows into keys. Equal lists and limits become one object: most keys of an installation are alike."""

    def __init__(self) -> None:
        self._lists: dict[str, tuple[str, ...]] = {}
        self._limits: dict[str, Limits] = {}
        self._words: dict[str, str] = {}

    def key(self, row: Row) -> Key:
        """One row of `keys`."""
        word = self._words.setdefault
        return Key(
            id=row[0],
            name=row[1],
            organisation=word(row[2], row[2]),
            team=word(row[3], row[3]),
            user=word(row[4], row[4]),
            created_ms=row[5],
            expires_ms=row[6],
            revoked_ms=row[7],
            models=self._list(row[8]),
            tiers=self._list(row[9]),
            platforms=self._list(row[10]),
            default_tier=None if row[11] is None else word(row[11], row[11]),
            admin=bool(row[12]),
            limits=self._limits.get(row[13]) or self._read_limits(row[13]),
            labels={} if row[14] == "{}" else msgspec.json.decode(row[14], type=dict[str, str]),
        )

    def _list(self, text: str | None) -> tuple[str, ...] | None:
        if text is None:
            return None
        found = self._lists.get(text)
        if found is None:
            found = self._lists[text] = msgspec.json.decode(text, type=tuple[str, ...])
        return found

    def _read_limits(self, text: str) -> Limits:
        found = self._limits[text] = msgspec.json.decode(text, type=Limits)
        return found


def _secret(row: Row) -> KeySecret:
    return KeySecret(digest=row[0], key_id=row[1], prefix=row[2], created_ms=row[3], ends_ms=row[4])


def _json(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def _optional(value: Sequence[str] | None) -> str | None:
    return None if value is None else _json(value)


def insert_organisation(tx: Transaction, name: str, now_ms: int) -> bool:
    """Whether it is new."""
    return (
        tx.change(
            "INSERT INTO organisations (name, created_ms) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (name, now_ms),
        )
        > 0
    )


def has_organisation(tx: Transaction, name: str) -> bool:
    """Whether anything was ever made in it."""
    return tx.row("SELECT 1 FROM organisations WHERE name = ?", (name,)) is not None


def insert_team(tx: Transaction, organisation: str, name: str, now_ms: int) -> bool:
    """Whether it is new."""
    return (
        tx.change(
            "INSERT INTO teams (organisation, name, created_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (organisation, name, now_ms),
        )
        > 0
    )


def insert_user(tx: Transaction, organisation: str, name: str, now_ms: int) -> bool:
    """Whether it is new."""
    return (
        tx.change(
            "INSERT INTO users (organisation, name, created_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (organisation, name, now_ms),
        )
        > 0
    )


def insert_key(tx: Transaction, key: Key, version: int) -> None:
    """Add a key; its name must be free (`key_named`)."""
    tx.change(
        f"INSERT INTO keys (version, {_KEY}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 (our own names)
        (
            version,
            key.id,
            key.name,
            key.organisation,
            key.team,
            key.user,
            key.created_ms,
            key.expires_ms,
            key.revoked_ms,
            _optional(key.models),
            _optional(key.tiers),
            _optional(key.platforms),
            key.default_tier,
            int(key.admin),
            _json(key.limits),
            _json(key.labels),
        ),
    )


def update_key(tx: Transaction, key: Key, version: int) -> None:
    """Store what may change of a key: when it was revoked, and its limits."""
    tx.change(
        "UPDATE keys SET version = ?, revoked_ms = ?, limits = ? WHERE id = ?",
        (version, key.revoked_ms, _json(key.limits), key.id),
    )


def insert_secret(tx: Transaction, secret: KeySecret, version: int) -> None:
    """Add a secret."""
    tx.change(
        f"INSERT INTO key_secrets (version, {_SECRET}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 (our own names)
        (version, secret.digest, secret.key_id, secret.prefix, secret.created_ms, secret.ends_ms),
    )


def end_secrets(tx: Transaction, key_id: str, ends_ms: int, version: int) -> None:
    """Let the secrets that a key has so far end at a moment, unless they end earlier."""
    tx.change(
        "UPDATE key_secrets SET version = ?, ends_ms = ? WHERE key_id = ? AND (ends_ms IS NULL OR ends_ms > ?)",
        (version, ends_ms, key_id, ends_ms),
    )


def key_by_id(tx: Transaction, key_id: str) -> Key | None:
    """One key, revoked or not."""
    row = tx.row(f"SELECT {_KEY} FROM keys WHERE id = ?", (key_id,))  # noqa: S608 (our own names)
    return None if row is None else RowReader().key(row)


def keys_named(tx: Transaction, name: str, organisation: str | None) -> list[Key]:
    """Keys of this name that are not revoked, in one organisation or all; at most one in each."""
    rows = tx.rows(
        f"SELECT {_KEY} FROM keys WHERE name = ? AND revoked_ms IS NULL ORDER BY organisation",  # noqa: S608 (our own names)
        (name,),
    )
    reader = RowReader()
    return [key for row in rows if organisation in (None, (key := reader.key(row)).organisation)]


def list_keys(tx: Transaction, organisation: str | None, *, after: str, most: int) -> list[Key]:
    """Keys of one organisation or all, in the order of their ids, from behind `after`."""
    where = "" if organisation is None else "organisation = ? AND"
    values = () if organisation is None else (organisation,)
    rows = tx.rows(
        f"SELECT {_KEY} FROM keys WHERE {where} id > ? ORDER BY id LIMIT ?",  # noqa: S608 (our own names)
        (*values, after, most),
    )
    reader = RowReader()
    return [reader.key(row) for row in rows]


def secrets_of(tx: Transaction, key_ids: Iterable[str]) -> dict[str, list[KeySecret]]:
    """All secrets of these keys, the newest last."""
    rows = tx.rows(
        f"SELECT {_SECRET} FROM key_secrets WHERE key_id IN {tx.words.texts} "  # noqa: S608 (our own names)
        "ORDER BY created_ms, version",
        (_json(list(key_ids)),),
    )
    found: dict[str, list[KeySecret]] = {}
    for row in rows:
        secret = _secret(row)
        found.setdefault(secret.key_id, []).append(secret)
    return found


def changed_keys(tx: Transaction, version: int, dead_ms: int) -> Iterator[Key]:
    """Keys that changed after a version, less those that expired or were revoked before `dead_ms`.

    Read in pages, so that few rows are in memory at a time; to be used up before the transaction ends.
    """
    reader = RowReader()
    version, last = version + 1, ""
    while True:
        rows = tx.rows(
            f"SELECT {_KEY}, version FROM keys WHERE (version, id) > (?, ?) "  # noqa: S608 (our own names)
            "AND coalesce(revoked_ms, expires_ms, ?) >= ? ORDER BY version, id LIMIT ?",
            (version, last, dead_ms, dead_ms, PAGE_ROWS),
        )
        for row in rows:
            yield reader.key(row)
        if len(rows) < PAGE_ROWS:
            return
        version, last = rows[-1][-1], rows[-1][0]


def changed_secrets(tx: Transaction, version: int, dead_ms: int) -> Iterator[KeySecret]:
    """Secrets that changed after a version, less those that ended before `dead_ms`; in pages, as `changed_keys`."""
    version, last = version + 1, b""
    while True:
        rows = tx.rows(
            f"SELECT {_SECRET}, version FROM key_secrets WHERE (version, digest) > (?, ?) "  # noqa: S608
            "AND coalesce(ends_ms, ?) >= ? ORDER BY version, digest LIMIT ?",
            (version, last, dead_ms, dead_ms, PAGE_ROWS),
        )
        for row in rows:
            yield _secret(row)
        if len(rows) < PAGE_ROWS:
            return
        version, last = rows[-1][-1], rows[-1][0]
