"""Kept prompts and answers to write, and what a SQLite store's files hold: what the tests of content share."""

from pathlib import Path

import msgspec

from trimtab.store import Database
from trimtab.store.content import Content, ContentStore, pack

PROMPT = b'{"messages":[{"role":"user","content":"the marker of a prompt"}]}'
ANSWER = b'{"content":[{"type":"text","text":"the marker of an answer"}]}'


def content(request_id: str, at_ms: int, **changes: object) -> Content:
    made = Content(
        request_id=request_id,
        at_ms=at_ms,
        purpose="live",
        simulated=False,
        key="key_1",
        user="ann",
        team="red",
        organisation="acme",
        mode="full",
        request=PROMPT,
        request_bytes=len(PROMPT),
        request_cut=False,
        answer=ANSWER,
        answer_bytes=len(ANSWER),
        answer_cut=False,
        answer_kind="json",
    )
    return msgspec.structs.replace(made, **changes)


def keep(database: Database, *kept: Content) -> None:
    ContentStore(database).add([pack(one) for one in kept])


def kept_ids(database: Database) -> list[str]:
    """What is in the table, whether it can still be found or not."""
    return [
        row[0]
        for row in database.read(lambda tx: tx.rows("SELECT request_id FROM content ORDER BY request_id"))
    ]


def bytes_of_files(store: Path) -> bytes:
    """Everything that a SQLite store has on disk: the file, its log, its journal directory."""
    found = [path for path in store.parent.rglob(f"{store.name}*") if path.is_file()]
    found += [path for path in store.parent.rglob(f"{store.name}.journal/**/*") if path.is_file()]
    return b"".join(path.read_bytes() for path in found)
