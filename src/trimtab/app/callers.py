"""Keys for a serving process, and the door through which they change.

What it is not: their logic (`identity`, `admin`). Invariant: a server that other machines can reach does not start
without a key that somebody could use.
"""

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trimtab.admin import BudgetAdmin, FileBudgets, KeyAdmin, KeyRules
from trimtab.app.clock import unix_ms
from trimtab.app.opening import open_named
from trimtab.app.settings import Settings
from trimtab.catalogue import Catalogue, CatalogueSettings
from trimtab.config import load_document
from trimtab.errors import ConfigError
from trimtab.gateway import Access, ServerSettings, check_server
from trimtab.identity import Keys
from trimtab.store import StoreSettings, serving_address

UNCONFIGURED_PLATFORMS = ("claude", "simulator")
"""The entries that there are without a section; which of them depends on the environment of the server."""


class Callers:
    """The keys of one process, on a database connection of their own, so that nothing else holds up a renewal."""

    def __init__(self, settings: Settings) -> None:
        """Load all keys. Blocks. Raises `StoreError`, and `ConfigError` where callers need keys and there are none."""
        self._database = open_named(settings.store, settings.document, create=True)
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
        rules = KeyRules(settings.catalogue, tuple(settings.platforms))
        return KeyAdmin(self._database, rules, secrets.token_bytes)

    def budget_admin(self, settings: Settings) -> BudgetAdmin:
        """The door for budgets, with those of this configuration."""
        return BudgetAdmin(self._database, FileBudgets(settings.document.name, settings.budgets))

    def close(self) -> None:
        """End the renewal and close the database. Blocks, up to two seconds where the store hangs."""
        self.keys.stop()
        self._database.close()


class KeyDoor(msgspec.Struct, frozen=True):
    """The door for keys, for one command."""

    admin: KeyAdmin
    store_url: str
    """Where the keys are, for people."""
    base_url: str
    """Where the server is reached, for people: the one that runs, or one with this configuration."""


@contextlib.contextmanager
def opened_key_door(config: Path | None, *, create: bool = False) -> Iterator[KeyDoor]:
    """Open the store that a configuration names, or `create` it; also beside a running server. Blocks.

    Reads what keys depend on and no more, so that no platform's credential is needed. Raises `ConfigError`,
    `StoreError`.
    """
    document = load_document(config)
    server = document.section("server", ServerSettings)
    listen = check_server(server, lambda key: document.where(f"server.{key}"))
    store = document.section("store", StoreSettings)
    overlay = document.section("catalogue", CatalogueSettings).overlay
    beside = config.parent if config is not None else Path()
    catalogue = Catalogue.load(None if overlay is None else beside / overlay)
    platforms = tuple(document.section("platforms", dict[str, Any])) or UNCONFIGURED_PLATFORMS
    with contextlib.closing(open_named(store, document, create=create)) as database:
        yield KeyDoor(
            KeyAdmin(database, KeyRules(catalogue, platforms), secrets.token_bytes),
            store.url,
            serving_address(store) or listen.advice,
        )


def _no_key(settings: Settings) -> ConfigError:
    path = settings.origin.path
    option = "" if path in (None, "trimtab.toml") else f" --config {path}"
    address = settings.listen.url.removeprefix("http://")
    return ConfigError(
        "--listen or server.listen",
        f"{address!r}: other machines can reach this address, so callers need keys, and the store "
        f"has none that works; make one first: trimtab keys add NAME{option}",
    )
