"""The schema as numbered SQL files that only go forward, written once for both engines.

What it is not: the connection that runs them (`schema` for SQLite, `engines.postgres` for PostgreSQL).
Invariant: a step once released never changes, and from step 3 on a step says `-- works with: N`, the oldest schema
that a program may know and still use the database after it; at most one step older, so that instances of two
versions may run side by side while one replaces the other.

The files keep to what both engines read. For PostgreSQL the types are renamed and what only SQLite knows is left out;
a line that ends in `-- sqlite` or `-- postgresql` is for that engine alone.
"""

import importlib.resources
from typing import Literal

import msgspec

Engine = Literal["sqlite", "postgresql"]

_WORKS_WITH = "-- works with:"

_POSTGRES_WORDS = (
    (" INTEGER", " BIGINT"),
    (" REAL", " DOUBLE PRECISION"),
    (" BLOB", " BYTEA"),
    (" STRICT, WITHOUT ROWID", ""),
    (" STRICT", ""),
)


class Step(msgspec.Struct, frozen=True):
    """One file of `migrations/`."""

    number: int
    name: str
    sql: str
    works_with: int
    """A program that knows this schema or a later one may use the database after the step."""


def load_steps(engine: Engine) -> tuple[Step, ...]:
    """All steps in order, in the words of an engine. Blocks on reading the files."""
    folder = importlib.resources.files("trimtab.store") / "migrations"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name
    )
    steps = []
    for number, file in enumerate(files, start=1):
        text = file.read_text(encoding="utf-8")
        if int(file.name.partition("_")[0]) != number:
            raise ValueError(f"migrations/{file.name}: step {number} is missing")
        steps.append(Step(number, file.name, _in_words_of(engine, text), _works_with(text, number)))
    return tuple(steps)


def _works_with(text: str, number: int) -> int:
    for line in text.splitlines():
        if line.startswith(_WORKS_WITH):
            return int(line.removeprefix(_WORKS_WITH))
    return number


def _in_words_of(engine: Engine, text: str) -> str:
    other = "-- postgresql" if engine == "sqlite" else "-- sqlite"
    text = "\n".join(line for line in text.splitlines() if not line.endswith(other))
    if engine == "postgresql":
        for ours, theirs in _POSTGRES_WORDS:
            text = text.replace(ours, theirs)
    return text
