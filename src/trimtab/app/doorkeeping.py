"""Who may look at the console: the doorkeeper of a serving process, and the door through which users change.

What it is not: their logic (`identity`, `console`, `admin`).
"""

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from trimtab.admin import UserAdmin
from trimtab.app.opening import open_named
from trimtab.app.settings import Settings
from trimtab.config import load_document
from trimtab.console.doorkeeper import LoginDoorkeeper
from trimtab.gateway import Listen, ServerSettings, check_server
from trimtab.identity import Keys
from trimtab.identity.logins import Logins
from trimtab.store import Database, StoreSettings, serving_address, store_identity


def open_doorkeeper(settings: Settings, database: Database, keys: Keys) -> LoginDoorkeeper:
    """The doorkeeper under this configuration. Blocks on one small read. Raises `StoreError`."""
    return LoginDoorkeeper(
        Logins(database, secrets.token_bytes),
        keys,
        may_be_open=may_be_open(settings.server, settings.listen),
        instance=store_identity(database),
        monotonic=time.monotonic,
    )


def may_be_open(server: ServerSettings, listen: Listen) -> bool:
    """Whether the console may be looked at without a login while there is no user: where callers need no key either."""
    return listen.is_local and not server.require_keys


class UserDoor(msgspec.Struct, frozen=True):
    """The door for users, for one command."""

    admin: UserAdmin
    store_url: str
    """Where the users are, for people."""
    base_url: str
    """Where the server is reached, for people: the one that runs, or one with this configuration."""


@contextlib.contextmanager
def opened_user_door(config: Path | None, *, create: bool = False) -> Iterator[UserDoor]:
    """Open the store that a configuration names, or `create` it; also beside a running server. Blocks.

    Reads what users depend on and no more. Raises `ConfigError`, `StoreError`.
    """
    document = load_document(config)
    server = document.section("server", ServerSettings)
    listen = check_server(server, lambda key: document.where(f"server.{key}"))
    store = document.section("store", StoreSettings)
    with contextlib.closing(open_named(store, document, create=create)) as database:
        yield UserDoor(UserAdmin(database), store.url, serving_address(store) or listen.advice)


def console_words(settings: Settings) -> str:
    """How the console can be used now, in a few words for people. Blocks. Raises `ConfigError`, `StoreError`."""
    with contextlib.closing(open_named(settings.store, settings.document, create=False)) as database:
        if Logins(database, secrets.token_bytes).any_user():
            return "people log in"
    if may_be_open(settings.server, settings.listen):
        return "open to this machine: no user is configured"
    return "closed: no user is configured; make one: trimtab users add NAME --role admin"
