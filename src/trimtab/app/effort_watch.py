"""Keeps what a process knows of published tables of effort up to date: whether another model comes before more effort.

What it is not: the tables (`app.efforts` publishes them), or what they say (`efforts.stepping`). Invariant: a table
that a newer program published, or that is damaged, is left alone.
"""

import time
from collections.abc import Callable

import msgspec

from trimtab.app.efforts import KINDS
from trimtab.app.learnt import Watch
from trimtab.efforts import EffortTable
from trimtab.efforts.stepping import Stepping
from trimtab.efforts.table import decoded
from trimtab.store import Database


class EffortWatch:
    """The newest tables of one store."""

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.stepping = Stepping()
        self._watch = Watch(database, KINDS, _read, self._take, monotonic)
        self.look = self._watch.look
        """Called over and over by a thread that has another use. Blocks. Raises `StoreError`."""

    def _take(self, table: EffortTable, simulated: bool) -> None:
        self.stepping.now_is(msgspec.structs.replace(table, simulated=simulated))


def _read(content: bytes) -> EffortTable | None:
    try:
        return decoded(content, "")
    except msgspec.DecodeError:
        return None
