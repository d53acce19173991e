"""From `store.url` to a store or a database: the one place that knows which engines there are.

What it is not: an engine. Invariant: a URL is never echoed beyond its scheme when it could hold a password.
"""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from trimtab.config import Secret, fail
from trimtab.errors import ConfigError
from trimtab.store.database import Database
from trimtab.store.engines import PostgresDatabase, Readers, SQLiteDatabase
from trimtab.store.engines.postgres import has_schema
from trimtab.store.records import (
    Journal,
    PostgresRecords,
    Reader,
    RecordEngine,
    RecordStore,
    SQLiteRecords,
)
from trimtab.store.seam import StoreSettings

_WHERE = "store.url"
_SQLITE = "sqlite:///"
_FORM = "write it as 'sqlite:///relative/path.db' or 'sqlite:////absolute/path.db'"
_POSTGRES = ("postgresql", "postgres")


def open_store(
    settings: StoreSettings,
    *,
    clock_ms: Callable[[], int],
    on_problem: Callable[[str], None] | None,
    worker: str = "",
    journal: Journal | None = None,
) -> RecordStore:
    """Open the store, creating and migrating its tables as needed, and start its writer thread.

    `on_problem` gets one line when trouble begins and one when it is over, from the writer thread. `worker` names the
    process in `key_leases`; with a `journal`, calls outlive the process. Blocks. Raises `ConfigError` for the URL (or a
    missing extra) and `StoreError` (`StoreLocked`) with one line for everything else.
    """
    engine: RecordEngine
    reader: Reader
    if is_postgres(settings):
        url = postgres_url(settings)
        reader = PostgresDatabase(url, clock_ms)
        engine = PostgresRecords(url, clock_ms=clock_ms)
    else:
        path = sqlite_path(settings.url)
        reader = readers = Readers(path, clock_ms)
        engine = SQLiteRecords(path, clock_ms=clock_ms, on_reopen=readers.renew)
    return RecordStore(
        engine, reader, settings, clock_ms=clock_ms, on_problem=on_problem, worker=worker, journal=journal
    )


def journal_root(settings: StoreSettings) -> Path:
    """Where the journals of all processes of this store on this machine are. Raises `ConfigError`."""
    if settings.journal is not None:
        if "\0" in settings.journal or not settings.journal:
            fail("store.journal", settings.journal, "names no directory")
        return Path(settings.journal).absolute()
    if is_postgres(settings):
        return Path("trimtab.journal").absolute()
    path = sqlite_path(settings.url)
    return path.with_name(path.name + ".journal")


def open_database(settings: StoreSettings, *, clock_ms: Callable[[], int]) -> Database:
    """The tables that are not records, creating and migrating them as needed. Blocks.

    Raises `ConfigError` for the URL (or a missing extra) and `StoreError` for everything else.
    """
    if is_postgres(settings):
        return PostgresDatabase(postgres_url(settings), clock_ms)
    return SQLiteDatabase(sqlite_path(settings.url), clock_ms)


def store_exists(settings: StoreSettings) -> bool:
    """Whether there is a store already, whatever state it is in; creates nothing. Blocks.

    Raises `ConfigError` for the URL (or a missing extra), `StoreError` where the server does not answer.
    """
    if is_postgres(settings):
        return has_schema(postgres_url(settings))
    path = sqlite_path(settings.url)
    return path.exists() and not (path.is_file() and path.stat().st_size == 0)


def is_postgres(settings: StoreSettings) -> bool:
    """Whether the store is a PostgreSQL database. Raises `ConfigError`."""
    return _resolved(settings.url).partition("://")[0] in _POSTGRES


def postgres_url(settings: StoreSettings) -> str:
    """The URL with its password, for the driver only. Raises `ConfigError`."""
    url = _resolved(settings.url)
    parts = urlsplit(url)
    if parts.password is not None and url == settings.url:
        raise ConfigError(
            _WHERE,
            "holds a password; give it by reference: password = 'env:NAME' beside the URL, "
            "or the whole URL as 'env:DATABASE_URL'",
        )
    if settings.password is None:
        return url
    if parts.username is None:
        raise ConfigError(
            _WHERE, "names no user, but store.password is set; write postgresql://user@host/database"
        )
    at = parts.netloc.rpartition("@")[2]
    named = f"{parts.username}:{quote(settings.password.reveal(), safe='')}@{at}"
    return urlunsplit(parts._replace(netloc=named))


def _resolved(url: str) -> str:
    if not url.startswith(("env:", "file:")):
        return url
    try:
        return Secret.resolve(url).reveal()
    except ValueError as problem:
        raise ConfigError(_WHERE, str(problem)) from None


def sqlite_path(url: str) -> Path:
    """The file that a URL names, absolute. Raises `ConfigError`."""
    url = _resolved(url)
    scheme, colon, _ = url.partition("://")
    if colon and scheme != "sqlite":
        fail(
            _WHERE,
            f"{scheme}://...",
            f"no such engine; write 'postgresql://user@host/database', or {_FORM[9:]}",
        )
    name = url.removeprefix(_SQLITE)
    if not url.startswith(_SQLITE) or not name or name.endswith("/"):
        fail(_WHERE, url, f"names no file; {_FORM}")
    if name == ":memory:":
        fail(_WHERE, url, f"records must outlive the process; {_FORM}")
    if "?" in name or "#" in name or "\0" in name:
        fail(_WHERE, url, f"takes no options, and no '?' or '#' in the name; {_FORM}")
    return Path(name).absolute()
