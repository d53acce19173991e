"""Answers to keep, for the tests of those that are given again."""

from typing import Any

import msgspec

from trimtab.store import Database
from trimtab.store.answers import Answer, AnswerStore, New, pack

HOUR_MS = 3_600_000
BODY = b'{"content":[{"type":"text","text":"the marker of an answer"}]}'


def answer(digest: str = "d1", **changes: Any) -> Answer:
    made = Answer(
        digest=digest,
        request_id=f"r-{digest}",
        at_ms=1_800_000_000_000,
        simulated=False,
        place="claude@1",
        key="key_1",
        user="ann",
        team="red",
        organisation="acme",
        model="claude-sonnet-4-6",
        cost_nanousd=1_000_000,
        headers=[(b"content-type", b"application/json"), (b"request-id", b"req_1")],
        body=BODY,
    )
    return msgspec.structs.replace(made, **changes)


def keep(database: Database, *answers: Answer, ttl_ms: int = HOUR_MS, replaces: bool = False) -> None:
    AnswerStore(database).add([New(pack(one), ttl_ms, replaces) for one in answers])


def digests(database: Database) -> list[str]:
    """What is in the table, whether it can still be found or not."""
    return [
        row[0]
        for row in database.read(lambda tx: tx.rows("SELECT digest FROM cached_answers ORDER BY digest"))
    ]
