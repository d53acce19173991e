"""What people write for a key, a session or a model, looked up in the store.

What it is not: the rules by which one of several is chosen (`console.meaning`). Every function blocks and raises
`StoreError`.
"""

from collections.abc import Sequence

import msgspec

from trimtab.store.database import Database, Transaction, Value
from trimtab.store.figures.listing import Within


class KeyCalled(msgspec.Struct, frozen=True):
    """A key that somebody may mean."""

    id: str
    organisation: str
    revoked: bool


def keys_called(database: Database, text: str, within: Within) -> list[KeyCalled]:
    """Keys with this id or name, revoked ones too; a few at the most are told."""
    owned, values = _owned(within)
    rows = database.read(
        lambda view: view.rows(
            "SELECT id, organisation, revoked_ms FROM keys "  # noqa: S608 (our own words)
            f"WHERE (id = ? OR name = ?){owned} ORDER BY revoked_ms IS NOT NULL, id LIMIT 10",
            (text, text, *values),
        )
    )
    return [KeyCalled(row[0], row[1], row[2] is not None) for row in rows]


def key_ids(database: Database, within: Within, most: int) -> list[str]:
    """The ids of keys, `most` of them."""
    owned, values = _owned(within)
    rows = database.read(
        lambda view: view.rows(
            f"SELECT id FROM keys WHERE true{owned} ORDER BY id LIMIT ?",  # noqa: S608 (our own words)
            (*values, most),
        )
    )
    return [row[0] for row in rows]


def sessions_recorded(database: Database, names: Sequence[str]) -> list[str]:
    """Which of these sessions some record has. Cost: 10 us for each name."""
    listed = msgspec.json.encode(names).decode()

    def work(view: Transaction) -> list[str]:
        rows = view.rows(
            f"WITH asked(name) AS {view.words.texts} "  # noqa: S608 (our own words)
            "SELECT name FROM asked WHERE EXISTS (SELECT 1 FROM requests WHERE session = asked.name)",
            (listed,),
        )
        return [row[0] for row in rows]

    return database.read(work)


def model_recorded(database: Database, model: str) -> bool:
    """Whether any request went to this model, also one that the catalogue has no more. Cost: reads the roll-ups."""
    found = database.read(
        lambda view: view.row("SELECT 1 FROM usage_by_hour WHERE model = ? LIMIT 1", (model,))
    )
    return found is not None


def key_recorded(database: Database, key: str) -> bool:
    """Whether any request was this key's, also one that is in no list of keys. Cost: one look at an index."""
    found = database.read(
        lambda view: view.row("SELECT 1 FROM requests WHERE key_id = ? AND key_id <> '' LIMIT 1", (key,))
    )
    return found is not None


def _owned(within: Within) -> tuple[str, list[Value]]:
    text = ""
    values: list[Value] = []
    for column, value in (
        ("organisation", within.organisation),
        ("team", within.team),
        ("id", within.key),
    ):
        if value is not None:
            text += f" AND {column} = ?"
            values.append(value)
    return text, values
