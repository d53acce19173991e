"""The files that a store is made of, so that a backup is never written over one of them or read from it.

Invariant: two names of one file are the same file: symbolic links are followed, and files that exist are compared by
device and inode as well.
"""

import os
from pathlib import Path

from trimtab.errors import StoreError
from trimtab.store.opening import is_postgres, journal_root, sqlite_path
from trimtab.store.seam import StoreSettings

_ENDS = ("", "-wal", "-shm", "-journal", ".lock", ".part")
"""What SQLite, the instance lock and a restore keep beside the file, and the file itself."""


def refuse_own_file(settings: StoreSettings, file: Path, *, also: str = "") -> None:
    """Raises `StoreError` if `file` (or the name with the ending `also`) is a part of the store. Only looks."""
    for name in (file, Path(f"{file}{also}")):
        what = _part_of(settings, name)
        if what is not None:
            raise StoreError(f"backup {file}: {what}; a backup is a file of its own, choose another name")


def _part_of(settings: StoreSettings, file: Path) -> str | None:
    real = Path(os.path.realpath(file))
    journal = Path(os.path.realpath(journal_root(settings)))
    if any(_same(folder, journal) for folder in (real, *real.parents)):
        return f"is in {journal}, the journal of the store"
    if is_postgres(settings):
        return None
    named = sqlite_path(settings.url).absolute()
    for store in {named, Path(os.path.realpath(named))}:
        for end in _ENDS:
            own = store.with_name(store.name + end)
            if _same(real, Path(os.path.realpath(own))) or _same(file.absolute(), own):
                return f"is the store itself ({store})" if not end else f"is a part of the store ({own})"
    return None


def _same(one: Path, other: Path) -> bool:
    if one == other:
        return True
    try:
        return one.samefile(other)
    except OSError:
        return False
