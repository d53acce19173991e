"""The door to recorded requests, for one command: beside a running server, and without one."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from trimtab.admin.request_explained import RequestExplained, explain_request
from trimtab.app.opening import open_named
from trimtab.config import load_document
from trimtab.store import StoreSettings


@contextlib.contextmanager
def opened_explainer(config: Path | None) -> Iterator[Callable[[str], RequestExplained]]:
    """Open the store that a configuration names. Blocks. Raises `ConfigError`, `StoreError`."""
    document = load_document(config)
    store = document.section("store", StoreSettings)
    with contextlib.closing(open_named(store, document, create=False)) as database:
        yield partial(explain_request, database)
