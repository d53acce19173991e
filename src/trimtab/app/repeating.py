"""The cache of answers: of one configuration, and its door for one command."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from trimtab.admin import CacheAdmin
from trimtab.app.opening import open_named
from trimtab.app.platform_settings import PlatformSettings
from trimtab.app.settings import Settings
from trimtab.cache import CacheSettings, Repeats, Shelves
from trimtab.config import Secret, load_document
from trimtab.store import StoreSettings
from trimtab.store.answers import AnswerStore


def open_repeats(settings: Settings, shelves: Shelves) -> Repeats:
    """What requests under this configuration are given again and keep."""
    return Repeats(
        settings.cache, shelves, {name: _stamp(entry) for name, entry in settings.platforms.items()}
    )


def _stamp(entry: PlatformSettings) -> str:
    """How an entry is configured but for its secrets: a key that is rotated makes no other answers."""
    said = {name: value for name in entry.__struct_fields__ if not _is_secret(value := getattr(entry, name))}
    text = repr((type(entry).__name__, sorted(said.items())))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_secret(value: object) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_is_secret, value))
    if isinstance(value, dict):
        return any(map(_is_secret, value.values()))
    return isinstance(value, Secret)


class CacheDoor(msgspec.Struct, frozen=True):
    """What a command may do."""

    admin: CacheAdmin
    store: AnswerStore
    settings: CacheSettings
    store_url: str
    """Where it is, for people."""


@contextlib.contextmanager
def opened_cache_door(config: Path | None) -> Iterator[CacheDoor]:
    """Open the store that a configuration names. Blocks. Raises `ConfigError`, `StoreError`."""
    document = load_document(config)
    settings = document.section("cache", CacheSettings)
    store = document.section("store", StoreSettings)
    with contextlib.closing(open_named(store, document, create=False)) as database:
        yield CacheDoor(CacheAdmin(database), AnswerStore(database), settings, store.url)
