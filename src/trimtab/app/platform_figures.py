"""What the store of a configuration tells of its platform entries, for a command: no server is asked.

What it is not: how places do now, which only serving processes know. Invariant: nothing is made by looking: where there
is no store, or it cannot be read, that is said and everything else stays.
"""

import msgspec

from trimtab.app.clock import unix_ms
from trimtab.app.opening import open_named
from trimtab.app.platforms import one_of_each, open_providers, places_of
from trimtab.app.process import run_loop
from trimtab.app.settings import Settings
from trimtab.app.spending import commitments, spending_wanted
from trimtab.console import Entries, PlatformsAsked
from trimtab.console.answers import Freshness
from trimtab.console.platform_answers import EntryNow
from trimtab.console.questions import EVERYTHING, Scope, Window, WindowName, window
from trimtab.errors import StoreError
from trimtab.routing import Spent
from trimtab.store import Database
from trimtab.store.figures.platforms import PlatformFigures, platform_figures, spending


class StoredFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures by the name of the entry, each of its own side: simulated where the entry is, or where all that answered
    for it in this time said that they were."""

    window: Window
    """Whole hours."""
    lately_from_ms: int
    entries: dict[str, EntryNow]


def stored_figures(settings: Settings, name: WindowName) -> StoredFigures | str:
    """Figures of the entries that are configured, or why there are none. Blocks. Raises `ConfigError`."""
    providers = open_providers(settings)

    async def close() -> None:
        for provider in providers.values():
            await provider.aclose()

    shown = Entries(
        places=places_of(settings, providers),
        simulated=frozenset(key for key, one in one_of_each(providers).items() if one.simulated),
        commitments=commitments(settings),
    )
    run_loop(close())
    try:
        database = open_named(settings.store, settings.document, create=False)
        try:
            return _read(settings, shown, database, window(name, unix_ms()))
        finally:
            database.close()
    except StoreError as problem:
        return str(problem)


def _read(settings: Settings, shown: Entries, database: Database, wanted: Window) -> StoredFigures:
    spent = {
        name: Spent(one.nanousd, one.lately_nanousd, one.lately_days)
        for name, one in spending(database, spending_wanted(settings), unix_ms()).items()
    }
    asked = PlatformsAsked(shown, _Stored(database), clock_ms=unix_ms, spent=spent.get, standings=lambda: ())
    real, made_up = (
        asked.answer(msgspec.structs.replace(wanted, simulated=simulated), EVERYTHING)
        for simulated in (False, True)
    )
    entries = {entry.name: entry for entry in real.entries if entry.in_force}
    for entry in made_up.entries:
        found = entries.get(entry.name)
        if entry.name in shown.simulated:
            entries[entry.name] = entry
        elif found is not None and not any(there.calls.attempts for there in found.models):
            # A simulated server stands behind it. What was promised there is real, and so is that nothing was spent.
            entries[entry.name] = msgspec.structs.replace(entry, commitment=found.commitment)
    return StoredFigures(window=real.window, lately_from_ms=real.lately_from_ms, entries=entries)


class _Stored:
    """Figures read for one answer. Implements the console's `Source`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def platforms(self, from_ms: int, to_ms: int, *, simulated: bool) -> tuple[PlatformFigures, ...]:
        return platform_figures(self._database, from_ms, to_ms, simulated=simulated)

    def is_everything(self, scope: Scope) -> bool:
        return scope == EVERYTHING

    def freshness(self) -> Freshness:
        return Freshness(unix_ms(), 0)
