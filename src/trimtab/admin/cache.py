"""Clearing answers that are kept to be given again; each clearing is audited.

What it is not: the deletion of content (`content`), which deletes these too and is remembered, so that nothing that is
still on its way is kept. Invariant: there is no clearing without its audit row, written before the first answer goes.
"""

import msgspec

from trimtab.admin.keys import check_still_admin, find_key
from trimtab.admin.words import Actor
from trimtab.store import Database, Transaction
from trimtab.store.answers import AnswerStore, count_kept
from trimtab.store.keys import audit as chain


class CacheAdmin:
    """The door for clearing. Keeps nothing; safe to use from any thread. Blocks; raises `StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._answers = AnswerStore(database)

    def clear(self, actor: Actor, key: str | None = None) -> int:
        """Remove all kept answers, or those that a key asked for, by its id, also of one that was revoked, or its name;
        how many there were. In small transactions: what is kept meanwhile may stay.

        Raises `NotFound`, `Conflict` for an unclear name.
        """

        def work(tx: Transaction) -> tuple[str | None, int]:
            check_still_admin(tx, actor)
            found = None if key is None else find_key(tx, actor, key)
            answers = count_kept(tx, None if found is None else found.id)
            chain.add_row(
                tx,
                actor=actor.name,
                action="cache.clear",
                organisation="" if found is None else found.organisation,
                subject="everything" if found is None else found.id,
                before=None,
                after=msgspec.json.encode({"answers": answers}).decode(),
            )
            return None if found is None else found.id, answers

        key_id, answers = self._database.write(work)
        while self._answers.remove(key_id):
            pass
        self._database.fold()
        return answers

    def key_id(self, actor: Actor, name: str) -> str:
        """The id of a key, by its id or name. Raises `NotFound`, `Conflict`."""
        return self._database.read(lambda tx: find_key(tx, actor, name)).id
