"""From `store.url` to a store: the one place that knows which engines there are.

What it is not: an engine. Invariant: a URL is never echoed beyond its scheme when it could hold a password.
"""

from collections.abc import Callable
from pathlib import Path

from trimtab.config import fail
from trimtab.store.seam import Store, StoreSettings
from trimtab.store.sqlite import SQLiteStore

_WHERE = "store.url"
_SQLITE = "sqlite:///"
_FORM = "write it as 'sqlite:///relative/path.db' or 'sqlite:////absolute/path.db'"


def open_store(
    settings: StoreSettings,
    *,
    clock_ms: Callable[[], int],
    on_problem: Callable[[str], None] | None,
) -> Store:
    """Open the store, creating and migrating the file as needed, and start its writer thread.

    `on_problem` gets one line when trouble begins and one when it is over, from the writer thread. Blocks.
    Raises `ConfigError` for the URL and `StoreError` (`StoreLocked`) with one line for everything else.
    """
    return SQLiteStore(sqlite_path(settings.url), settings, clock_ms=clock_ms, on_problem=on_problem)


def sqlite_path(url: str) -> Path:
    """The file that a URL names, absolute. Raises `ConfigError`."""
    scheme, colon, _ = url.partition("://")
    if colon and scheme != "sqlite":
        shown = f"{scheme}://..."
        if scheme.partition("+")[0] in ("postgres", "postgresql"):
            fail(_WHERE, shown, f"this version has SQLite only; {_FORM}")
        fail(_WHERE, shown, f"no such engine; {_FORM}")
    name = url.removeprefix(_SQLITE)
    if not url.startswith(_SQLITE) or not name or name.endswith("/"):
        fail(_WHERE, url, f"names no file; {_FORM}")
    if name == ":memory:":
        fail(_WHERE, url, f"records must outlive the process; {_FORM}")
    if "?" in name or "#" in name or "\0" in name:
        fail(_WHERE, url, f"takes no options, and no '?' or '#' in the name; {_FORM}")
    return Path(name).absolute()
