"""A pipeline with a cache of answers on a SQLite file, around a platform that answers every call otherwise."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from drive import eventually
from engine_bench import Bench, FakeProvider
from fake_replies import BLOCK, CLOSE, DELTA, JSON, START, STOP, FakeReply, event, message
from kept_answers import digests

from trimtab.cache import CacheSettings, Repeats, Shelves
from trimtab.engine import Pipeline
from trimtab.providers import Headers
from trimtab.records import Intent, RequestId
from trimtab.store import Database, StoreSettings, open_database
from trimtab.store.answers import AnswerStore

USAGE = {"input_tokens": 10, "output_tokens": 5}
ANSWER = message(USAGE)
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 500})
STREAM = [START, BLOCK, DELTA, CLOSE, END, STOP]
ON = {"x-trimtab-cache": "on"}
COLD = {"temperature": 0}


class Played(FakeReply):
    """Plays chunks to who takes them."""

    async def pump(self, write: Callable[[bytes], bool]) -> bool:
        while chunk := await self.read():
            if not write(chunk):
                return False
        return True


class Platform(FakeProvider):
    """Answers every call anew, each time with another message."""

    def __init__(self, *script: bytes | BaseException, status: int = 200, headers: Headers = JSON) -> None:
        super().__init__(self._next)
        self.script, self.status, self.headers = list(script), status, list(headers)

    async def _next(self) -> Played:
        number = b'"id":"msg_%d",' % len(self.calls)
        script = [
            step.replace(b'"model"', number + b'"model"', 1) if isinstance(step, bytes) else step
            for step in self.script
        ]
        return Played(self.status, self.headers, script)


class House(Bench):
    """A pipeline with a cache on a SQLite file."""

    def __init__(self, database: Database, provider: FakeProvider, **settings: Any) -> None:
        super().__init__(provider)
        self.database = database
        self.problems: list[str] = []
        self.shelves = Shelves(
            AnswerStore(database), wait_s=30, monotonic=time.monotonic, on_problem=self.problems.append
        )
        self.router = self.pipeline._messages._router
        self.configure(**settings)
        self.asked = 0

    def intend(self, intent: Intent) -> bool:
        """Written down before its call; of several at once, others may come between."""
        assert len(self.provider.calls) <= len(self.intents)
        self.intents.append(intent)
        return True

    def configure(self, stamp: str = "1", **settings: Any) -> None:
        """Another configuration, over the same shelves."""
        given = CacheSettings(**{"mode": "on", **settings})
        repeats = Repeats(given, self.shelves, {"claude": stamp})
        self.pipeline = Pipeline(self.metered, self.router, {"claude": self.provider}, repeating=repeats)

    def tell(
        self, fields: dict[str, Any] | bytes, *, early: bool = False, **changes: Any
    ) -> tuple[bytes, str]:
        """What a client gets, and what it is told of the cache."""
        self.asked += 1
        inbound = self.inbound(fields, id=RequestId(f"r{self.asked}"), **changes)

        async def work() -> tuple[bytes, str]:
            reply = await self.pipeline.answer(inbound)
            try:
                if not reply.is_event_stream:
                    return await reply.body(), reply.told
                parts: list[bytes] = []

                def write(chunk: bytes) -> bool:
                    parts.append(chunk)
                    return len(parts) % 2 == 0

                while not await reply.pump(write):
                    if early:
                        break
                return b"".join(parts), reply.told
            finally:
                reply.close()
                reply.close()

        return asyncio.run(work())

    def kept(self, many: int = 1) -> None:
        """Wait until so many answers are kept."""
        eventually(lambda: len(digests(self.database)) == many)

    def kept_none(self) -> bool:
        """Whether nothing was kept, once all that waits is written."""
        self.shelves.close(30)
        return digests(self.database) == [] and self.shelves.waiting_bytes == 0


def houses(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Makes such pipelines over one store; at the end nothing is held, waited for or left in memory."""
    database = open_database(
        StoreSettings(url=f"sqlite:///{tmp_path}/t.db"), clock_ms=lambda: int(time.time() * 1000)
    )
    made: list[House] = []

    def make(
        *script: bytes | BaseException, status: int = 200, headers: Headers = JSON, **settings: Any
    ) -> House:
        made.append(House(database, Platform(*script, status=status, headers=headers), **settings))
        return made[-1]

    yield make
    for one in made:
        one.shelves.close()
        assert one.shelves.waiting_bytes == 0
        assert one.ledger.held() == 0
        assert len(one.shelves.flights) == 0
    database.close()
