"""Published artefacts: what was learnt from records, in versions that never change, loaded by their names.

What it is not: what is in them, or which of them is in force. Invariants: the version is a hash of kind and content, so
what is published twice is there once, and nobody can put something else in the place of a version.
"""

import hashlib

import msgspec

from trimtab.store.database import Database, Row, Transaction


class Artefact(msgspec.Struct, frozen=True):
    """One version."""

    kind: str
    version: str
    """16 hexadecimal digits."""
    made_ms: int
    """When it was first published."""


class ArtefactStore:
    """The table, on either engine. Safe to use from any thread. Blocks; raises `StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def publish(self, kind: str, content: bytes) -> Artefact:
        """Keep it for good. What is there already stays as it is."""
        version = hashlib.sha256(kind.encode() + b"\0" + content).hexdigest()[:16]

        def work(tx: Transaction) -> Artefact:
            tx.change(
                "INSERT INTO artefacts (kind, version, made_ms, content) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (kind, version, tx.now_ms(), content),
            )
            row = tx.row(
                "SELECT kind, version, made_ms FROM artefacts WHERE kind = ? AND version = ?", (kind, version)
            )
            assert row is not None
            return Artefact(*row)

        return self._database.write(work)

    def keep_newest(self, kind: str, most: int) -> None:
        """Drop all older versions of a kind that is published often and that nobody names by its version."""
        self._database.write(
            lambda tx: tx.change(
                "DELETE FROM artefacts WHERE kind = ? AND version NOT IN "
                "(SELECT version FROM artefacts WHERE kind = ? ORDER BY made_ms DESC, version LIMIT ?)",
                (kind, kind, most),
            ),
            durable=False,
        )

    def content(self, kind: str, version: str) -> bytes | None:
        """What was published under this version."""
        row = self._database.read(
            lambda view: view.row(
                "SELECT content FROM artefacts WHERE kind = ? AND version = ?", (kind, version)
            )
        )
        return None if row is None else bytes(row[0])

    def versions(self, kind: str, most: int = 100) -> tuple[Artefact, ...]:
        """The newest first."""
        found: list[Row] = self._database.read(
            lambda view: view.rows(
                "SELECT kind, version, made_ms FROM artefacts WHERE kind = ? ORDER BY made_ms DESC, version LIMIT ?",
                (kind, most),
            )
        )
        return tuple(Artefact(*row) for row in found)


def newest_content(view: Transaction, kind: str) -> bytes | None:
    """What was published last; `None` where nothing was."""
    row = view.row(
        "SELECT content FROM artefacts WHERE kind = ? ORDER BY made_ms DESC, version LIMIT 1", (kind,)
    )
    return None if row is None else bytes(row[0])
