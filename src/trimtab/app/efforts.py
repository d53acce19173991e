"""The door for outcomes and tables of effort, for one command; also beside a running server."""

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from trimtab.app.clock import unix_ms
from trimtab.app.opening import open_named
from trimtab.config import load_document
from trimtab.content import ContentSettings, days_kept, edited_under
from trimtab.efforts import EffortTable, build_table
from trimtab.efforts.table import decoded
from trimtab.engine.session import MAX_HEADER_CHARS, sessions_sent
from trimtab.errors import NotFound, StoreError, shortened
from trimtab.store import Database, StoreSettings
from trimtab.store.artefacts import Artefact, ArtefactStore
from trimtab.store.feedback import FeedbackStore, Keep, Told
from trimtab.store.figures.efforts import EffortsWanted, requests_for_efforts
from trimtab.store.figures.listing import Within
from trimtab.store.figures.meant import key_ids, sessions_recorded

DAY_MS = 86_400_000
KEYS_MOST = 500
"""Whose sessions are looked for by the name that was sent: each costs some 20 us for each session of a file. With more
keys, sessions of the others are found by the names that records have only."""

AT_ONCE = 200
"""Outcomes noted in one transaction: some milliseconds."""

KINDS = {False: "effort", True: "effort-simulated"}
"""Of artefacts: whoever loads the newest table of real work must not get a simulated one."""


class Imported(msgspec.Struct, frozen=True):
    """What came of a file of outcomes."""

    outcomes: int
    changed: int
    """The others had been told before."""
    unknown: tuple[str, ...]
    """Why others were left out."""
    edited_unkept: int = 0
    """Edited answers of which the policy keeps nothing."""


class EffortsDoor:
    """Outcomes, tables and their versions in one store. Blocks; raises `StoreError`."""

    def __init__(self, database: Database, store_url: str, keep_edited: Keep | None = None) -> None:
        self._database = database
        self._keep_edited = keep_edited
        self._feedback = FeedbackStore(database)
        self._artefacts = ArtefactStore(database)
        self.store_url = store_url

    def import_outcomes(self, told: Sequence[Told], simulated: bool | None) -> Imported:
        """Note those of which the request is found. Each is noted or not; who is cut off runs it again."""
        changed = unkept = 0
        unknown: list[str] = []
        keys = ["", *key_ids(self._database, Within(), KEYS_MOST)]
        for start in range(0, len(told), AT_ONCE):
            meant, problems = self._meant(told[start : start + AT_ONCE], keys)
            unknown += problems
            noted = self._feedback.tell_found(meant, simulated, self._keep_edited)
            changed += noted.changed
            unkept += noted.unkept
            unknown += noted.problems.values()
        return Imported(len(told), changed, tuple(unknown), unkept)

    def _meant(self, told: Sequence[Told], keys: Sequence[str]) -> tuple[list[Told], list[str]]:
        """Sessions by the names that records have, where a file has them as clients sent them; and which of them are
        several."""
        texts = {
            one.request for one in told if one.covers == "session" and len(one.request) <= MAX_HEADER_CHARS
        }
        sent = {name: text for text in texts for key in keys for name in sessions_sent(text, key)}
        found: dict[str, list[str]] = {}
        for name in sessions_recorded(self._database, list({*texts, *sent})):
            found.setdefault(sent.get(name, name), []).append(name)
        meant: list[Told] = []
        problems: list[str] = []
        for one in told:
            names = found.get(one.request, []) if one.covers == "session" else []
            if len(names) > 1 and one.request not in names:
                listed = ", ".join(shortened(name, 80) for name in sorted(names)[:3])
                problems.append(
                    f"session {shortened(one.request, 80)!r}: {len(names)} sessions were sent by this name, each key's "
                    f"its own; name it as records have it: {listed}{', ...' if len(names) > 3 else ''}"
                )
            elif names and one.request not in names:
                meant.append(msgspec.structs.replace(one, request=names[0]))
            else:
                meant.append(one)
        return meant, problems

    def table(
        self, *, days: float, simulated: bool, task_class: str | None = None, model: str | None = None
    ) -> EffortTable:
        """The table of the requests of the last so many days."""
        to_ms = unix_ms()
        wanted = EffortsWanted(
            from_ms=to_ms - round(days * DAY_MS),
            to_ms=to_ms,
            simulated=simulated,
            task_class=task_class,
            model=model,
        )
        found = requests_for_efforts(self._database, wanted)
        return build_table(found, from_ms=wanted.from_ms, to_ms=to_ms, simulated=simulated)

    def publish(self, table: EffortTable) -> Artefact:
        """Keep it as a version that never changes."""
        return self._artefacts.publish(KINDS[table.simulated], table.encoded())

    def versions(self) -> tuple[Artefact, ...]:
        """Published tables, real and simulated, the newest first."""
        found = [one for kind in KINDS.values() for one in self._artefacts.versions(kind)]
        return tuple(sorted(found, key=lambda one: -one.made_ms))

    def load(self, version: str) -> EffortTable:
        """A published table. Raises `NotFound`."""
        return load_table(self._artefacts, version)


def load_table(artefacts: ArtefactStore, version: str) -> EffortTable:
    """A published table by its version. Blocks. Raises `NotFound`, `StoreError`."""
    for kind in KINDS.values():
        content = artefacts.content(kind, version)
        if content is not None:
            try:
                return decoded(content, version)
            except msgspec.DecodeError as problem:
                raise StoreError(
                    f"effort table {version}: another version's, or damaged: {problem}"
                ) from None
    raise NotFound(
        f"effort table {shortened(version, 40)!r}: not published here; `trimtab effort versions` lists them"
    )


@contextlib.contextmanager
def opened_efforts_door(config: Path | None) -> Iterator[EffortsDoor]:
    """Open the store that a configuration names. Blocks. Raises `ConfigError`, `StoreError`."""
    document = load_document(config)
    store = document.section("store", StoreSettings)
    content = document.section("content", ContentSettings)
    keep = partial(edited_under, content, days_kept(content.days, store.keep_days))
    with contextlib.closing(open_named(store, document, create=False)) as database:
        yield EffortsDoor(database, store.url, keep)
