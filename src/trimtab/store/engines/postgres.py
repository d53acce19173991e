"""Connections to PostgreSQL through psycopg 3 (the `postgres` extra), and what their failures mean in one line.

What it is not: the statements. Invariants: a password is never shown; all tables live in the schema `trimtab` of the
database, beside whatever else is there; a step of the schema is taken by one process at a time.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trimtab.errors import ConfigError, StoreError, StoreLocked
from trimtab.store.schema import FIRST_WITH_WORKS_WITH, check_newer
from trimtab.store.steps import Step, load_steps

if TYPE_CHECKING:
    import psycopg

CONNECT_TIMEOUT_S = 3
STATEMENT_TIMEOUT_MS = 5_000
"""No statement of the gateway's takes a second; one that does not end must not hold a thread for ever."""

MIGRATION_LOCK = 0x54524D54
"""The advisory lock ("TRMT") under which the schema changes."""

OLDEST_SERVER = 140_000

_LOCAL_DEAD_MS = 5_000
"""A connection whose other end does not acknowledge for so long is given up."""


def driver() -> Any:
    """The psycopg module. Raises `ConfigError` where the extra is not installed."""
    try:
        import psycopg  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise ConfigError(
            "store.url",
            "PostgreSQL needs the extra 'postgres': pip install 'trimtab[postgres]', or in a clone "
            ".venv/bin/pip install --require-hashes -r requirements/extras.txt",
        ) from None
    return psycopg


def connect(url: str, *, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> "psycopg.Connection[Any]":
    """A connection with our settings, outside any transaction. Blocks. Raises `StoreError`."""
    connection: psycopg.Connection[Any]
    try:
        connection = driver().connect(
            url,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="trimtab",
            tcp_user_timeout=_LOCAL_DEAD_MS,
            keepalives_idle=10,
            options=f"-c search_path=trimtab -c statement_timeout={statement_timeout_ms} -c timezone=UTC",
        )
    except Exception as problem:
        raise explain(url, problem) from None
    return connection


def explain(url: str, problem: Exception) -> StoreError:
    """The problem as one line for the operator, without the password."""
    if isinstance(problem, StoreError):
        return problem
    place = place_of(url)
    errors = driver().errors
    said = " ".join(str(problem).split()) or type(problem).__name__
    if isinstance(problem, errors.LockNotAvailable | errors.QueryCanceled):
        return StoreLocked(f"store {place}: another transaction holds what is needed; try again ({said})")
    if isinstance(problem, errors.InsufficientPrivilege):
        return StoreError(
            f"store {place}: the user lacks a right: {said}; grant CREATE on the database to it"
        )
    if isinstance(problem, errors.DiskFull):
        return StoreError(f"store {place}: the server's disk is full; free some space")
    if isinstance(problem, errors.OperationalError):
        return StoreError(f"store {place}: the server cannot be reached or gave up: {said}")
    return StoreError(f"store {place}: {type(problem).__name__}: {said}")


def place_of(url: str) -> str:
    """Where a URL leads, for people: host and database, never user or password."""
    try:
        parts: dict[str, Any] = driver().conninfo.conninfo_to_dict(url)
    except Exception:
        return "postgresql://..."
    host, port = parts.get("host") or "localhost", parts.get("port")
    return f"postgresql://{host}{f':{port}' if port else ''}/{parts.get('dbname') or ''}"


def migrate(
    connection: "psycopg.Connection[Any]", clock_ms: Callable[[], int], steps: tuple[Step, ...] | None = None
) -> None:
    """Bring the database to the newest schema. Blocks. Raises `StoreError`, `psycopg.Error`."""
    steps = steps or load_steps("postgresql")
    if connection.info.server_version < OLDEST_SERVER:
        raise StoreError(
            f"the server is {connection.info.server_version // 10000}; PostgreSQL 14 is the oldest"
        )
    version, works_with = version_of(connection)
    if version < len(steps):
        # Taken before the transactions begin: only a new transaction sees for certain what another process has made.
        connection.execute("SET statement_timeout = 0")
        connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        while (version := version_of(connection)[0]) < len(steps):
            with connection.transaction():
                _step(connection, clock_ms(), steps[version])
        works_with = version_of(connection)[1]
        connection.execute("SELECT pg_advisory_unlock(%s)", (MIGRATION_LOCK,))
        connection.execute("RESET statement_timeout")
    if version > len(steps):
        check_newer(version, works_with, len(steps))


def version_of(connection: "psycopg.Connection[Any]") -> tuple[int, int]:
    """The schema that the database holds (0: none), and the oldest that a program may know to use it."""
    if connection.execute("SELECT to_regclass('trimtab.schema_version')").fetchone() == (None,):
        return 0, 0
    version = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchone()
    assert version is not None
    if version[0] < FIRST_WITH_WORKS_WITH:
        return version[0], 0
    latest = connection.execute(
        "SELECT version, works_with FROM schema_version ORDER BY version DESC LIMIT 1"
    ).fetchone()
    assert latest is not None
    return latest[0], latest[1]


def has_schema(url: str) -> bool:
    """Whether the database holds a store of ours; changes nothing. Blocks. Raises `ConfigError`, `StoreError`."""
    connection = connect(url)
    try:
        return version_of(connection)[0] > 0
    except Exception as problem:
        raise explain(url, problem) from None
    finally:
        connection.close()


def _step(connection: "psycopg.Connection[Any]", at_ms: int, step: Step) -> None:
    if step.number == 1:
        connection.execute("CREATE SCHEMA IF NOT EXISTS trimtab")
        connection.execute("CREATE TABLE schema_version (version BIGINT PRIMARY KEY, at_ms BIGINT NOT NULL)")
    connection.execute(step.sql.encode())
    connection.execute("INSERT INTO schema_version (version, at_ms) VALUES (%s, %s)", (step.number, at_ms))
    if step.number >= FIRST_WITH_WORKS_WITH:
        connection.execute(
            "UPDATE schema_version SET works_with = %s WHERE version = %s", (step.works_with, step.number)
        )
