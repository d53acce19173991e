"""Keys for a serving process, and the door through which they change.

What it is not: their logic (`identity`, `admin`). Invariant: a server that other machines can reach does not start
without a key that somebody could use.
"""

import contextlib
import secrets
import time
from collections.abc import Iterator

from trimtab.admin import KeyAdmin, KeyRules
from trimtab.app.clock import unix_ms
from trimtab.app.settings import Settings
from trimtab.errors import ConfigError
from trimtab.gateway import Access
from trimtab.identity import Keys
from trimtab.store import Database, open_database


class Callers:
    """The keys of one process, on a database connection of their own, so that nothing else holds up a renewal."""

    def __init__(self, settings: Settings) -> None:
        """Load all keys. Blocks. Raises `StoreError`, and `ConfigError` where callers need keys and there are none."""
        self._database = _open(settings)
        try:
            self.keys = Keys(self._database, clock_ms=unix_ms, monotonic=time.monotonic)
            self.keys.load()
            if not settings.listen.is_local and not self.keys.usable():
                raise _no_key(settings)
        except BaseException:
            self._database.close()
            raise

    def start(self) -> None:
        """Begin to renew."""
        self.keys.start()

    def access(self, settings: Settings) -> Access:
        """Who is let in under this configuration."""
        local = settings.listen.is_local
        return Access(
            keys=self.keys,
            required=settings.server.require_keys or not local,
            local=local,
            origins=frozenset(origin.encode() for origin in settings.server.allowed_origins),
        )

    def admin(self, settings: Settings) -> KeyAdmin:
        """The door for keys, with the rules of this configuration."""
        return _admin(settings, self._database)

    def close(self) -> None:
        """End the renewal and close the database. Blocks, up to two seconds where the store hangs."""
        self.keys.stop()
        self._database.close()


@contextlib.contextmanager
def opened_key_admin(settings: Settings) -> Iterator[KeyAdmin]:
    """The door for keys, for one command; also beside a running server. Raises `ConfigError`, `StoreError`."""
    with contextlib.closing(_open(settings)) as database:
        yield _admin(settings, database)


def _admin(settings: Settings, database: Database) -> KeyAdmin:
    return KeyAdmin(database, KeyRules(settings.catalogue, tuple(settings.platforms)), secrets.token_bytes)


def _open(settings: Settings) -> Database:
    try:
        return open_database(settings.store, clock_ms=unix_ms)
    except ConfigError as problem:
        raise ConfigError(settings.document.where(problem.where), problem.problem) from None


def _no_key(settings: Settings) -> ConfigError:
    path = settings.origin.path
    option = "" if path in (None, "trimtab.toml") else f" --config {path}"
    listen = settings.listen
    return ConfigError(
        "--listen or server.listen",
        f"'{listen.host}:{listen.port}': other machines can reach this address, so callers need keys, and the store "
        f"has none that works; make one first: trimtab keys add NAME{option}",
    )
