"""The door for kept prompts and answers, for one command; also beside a running server."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from trimtab.admin import ContentAdmin
from trimtab.app.opening import open_named
from trimtab.config import load_document
from trimtab.content import ContentSettings
from trimtab.store import StoreSettings
from trimtab.store.content import ContentStore


class ContentDoor(msgspec.Struct, frozen=True):
    """What a command may do."""

    admin: ContentAdmin
    store: ContentStore
    settings: ContentSettings
    """The policy of this configuration."""
    keep_days: int
    """How long records are kept, which content never outlives; 0 is for ever."""
    store_url: str
    """Where it is, for people."""


@contextlib.contextmanager
def opened_content_door(config: Path | None) -> Iterator[ContentDoor]:
    """Open the store that a configuration names. Blocks. Raises `ConfigError`, `StoreError`."""
    document = load_document(config)
    settings = document.section("content", ContentSettings)
    store = document.section("store", StoreSettings)
    with contextlib.closing(open_named(store, document, create=False)) as database:
        yield ContentDoor(
            ContentAdmin(database), ContentStore(database), settings, store.keep_days, store.url
        )
