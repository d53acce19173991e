"""The door for tasks, for one command: beside a running server, and without one."""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

from trimtab.admin import TaskAdmin
from trimtab.app.clock import unix_ms
from trimtab.app.opening import open_named
from trimtab.app.settings import read_scenarios
from trimtab.catalogue import Catalogue
from trimtab.config import load_document
from trimtab.records import RequestId, new_request_id
from trimtab.store import StoreSettings


@contextlib.contextmanager
def opened_task_door(config: Path | None, *, create: bool = False) -> Iterator[TaskAdmin]:
    """Open the store that a configuration names, or `create` it, as a task can be made then. Blocks. Raises
    `ConfigError`, `StoreError`."""
    document = load_document(config)
    scenarios = read_scenarios(document, Catalogue.load()) if create else None
    store = document.section("store", StoreSettings)
    generator = random.SystemRandom()

    def new_id() -> RequestId:
        return new_request_id(unix_ms(), generator.getrandbits)

    with contextlib.closing(open_named(store, document, create=create)) as database:
        yield TaskAdmin(database, new_id, scenarios=scenarios, most=store.tasks_per_key)
