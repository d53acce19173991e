"""From a backup file to a store on either engine; with `making` also the way from one engine to the other.

What it is not: a merge. What the store held is replaced, or there was nothing.
Invariants: the store is as before or holds the whole backup, whatever kills the process; every row is checked against
the manifest before it counts; what running processes had on loan when the backup was made belongs to nobody
afterwards, and money on loan counts as spent.
"""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from trimtab.store.backup.file import Manifest, Progress, opened
from trimtab.store.backup.own_files import refuse_own_file
from trimtab.store.backup.restore_postgres import into_postgres
from trimtab.store.backup.restore_sqlite import into_sqlite
from trimtab.store.instance import hold_instance
from trimtab.store.opening import is_postgres, postgres_url, sqlite_path
from trimtab.store.seam import StoreSettings


class Restored(msgspec.Struct, frozen=True):
    """What a restore did."""

    manifest: Manifest
    kept: Path | None
    """The store that was replaced, on SQLite."""
    changed_texts: int
    """Texts that held the character NUL, which PostgreSQL does not take; it is U+FFFD there now."""


def restore_backup(
    settings: StoreSettings,
    source: Path,
    *,
    clock_ms: Callable[[], int],
    force: bool = False,
    progress: Progress = lambda doing, done, unit: None,
) -> Restored:
    """Make the store what the backup `source` says, in the newest schema. Blocks; reads and writes every row.

    With `force` a store that holds something is replaced. Raises `ConfigError`; `StoreLocked` while the store is in
    use; `StoreError` for a store that holds something, a file that is no backup, damaged or newer than this program.
    """
    refuse_own_file(settings, source)
    with opened(source, progress) as backup:
        if is_postgres(settings):
            changed = into_postgres(postgres_url(settings), backup, clock_ms, force)
            return Restored(backup.manifest, None, changed)
        lock = hold_instance(settings)
        try:
            path = Path(os.path.realpath(sqlite_path(settings.url)))
            return Restored(backup.manifest, into_sqlite(path, backup, clock_ms, force), 0)
        finally:
            lock.release()
