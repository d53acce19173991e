"""A pipeline around a fake platform, with what it sent and recorded."""

import asyncio
import datetime
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from fake_replies import JSON, FakeReply

from trimtab.budgets import Ledger
from trimtab.budgets.tasks import TaskBudgets
from trimtab.catalogue import Catalogue, Model, TierSettings, resolve_tiers
from trimtab.engine import Inbound, Metered, Pipeline, Recorder, Runtime
from trimtab.engine.tasking import Tasking
from trimtab.errors import TrimtabError
from trimtab.providers import Call, Headers
from trimtab.records import Intent, Outcome, RequestId
from trimtab.routing import Place, TierRouter
from trimtab.telemetry import Metrics

CATALOGUE = Catalogue.load()
AT = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)


class FakeProvider:
    """A platform whose answers are given."""

    platform = "anthropic"
    regional = False
    discount = Decimal(0)

    def __init__(
        self,
        answer: FakeReply | TrimtabError | Callable[[], Awaitable[FakeReply]],
        *,
        api_versions: tuple[str, ...] = ("2023-06-01", "2026-10-21"),
        simulated: bool = False,
    ) -> None:
        self.name, self.api_versions, self.simulated = "claude", api_versions, simulated
        self.answer = answer
        self.calls: list[Call] = []

    def model_id(self, model: Model) -> str | None:
        return model.id

    async def send(self, call: Call) -> FakeReply:
        self.calls.append(call)
        if isinstance(self.answer, TrimtabError):
            raise self.answer
        return self.answer if isinstance(self.answer, FakeReply) else await self.answer()

    async def aclose(self) -> None: ...


class Bench:
    """A pipeline around a fake platform, with what it recorded."""

    def __init__(self, provider: FakeProvider, tasks: TaskBudgets | None = None, **tiers: str) -> None:
        self.provider = provider
        self.records: list[Outcome] = []
        self.intents: list[Intent] = []
        self.ledger = Ledger()
        self.metrics = Metrics()
        self.now = 1000.0
        runtime = Runtime(
            monotonic=lambda: self.now,
            config_version="c1", catalogue_version="k1", validate_streams=True,
        )  # fmt: skip
        tasking = None if tasks is None else Tasking(tasks, CATALOGUE)
        self.metered = Metered(CATALOGUE, self.ledger, Recorder(self, self.metrics), runtime, None, tasking)
        bound = resolve_tiers(TierSettings(**tiers), CATALOGUE, str)
        router = TierRouter(
            CATALOGUE,
            bound,
            (Place("claude", "anthropic", {model.id: model.id for model in CATALOGUE.models}),),
        )
        self.pipeline = Pipeline(self.metered, router, {"claude": provider})

    def put(self, outcome: Outcome) -> None:
        self.records.append(outcome)

    def intend(self, intent: Intent) -> bool:
        assert len(self.provider.calls) == len(self.intents)
        self.intents.append(intent)
        return True

    def inbound(self, fields: dict[str, Any] | bytes, **changes: Any) -> Inbound:
        body = fields if isinstance(fields, bytes) else json.dumps({"model": "trimtab/auto", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}], **fields}).encode()  # fmt: skip
        given: dict[str, Any] = {
            "id": RequestId("r1"), "endpoint": "messages", "path": "/v1/messages", "query": b"", "body": body,
            "headers": [(b"anthropic-version", b"2023-06-01"), (b"x-new", b"kept")], "own": {},
            "arrived_ms": int(AT.timestamp() * 1000), "arrived": 999.0,
        }  # fmt: skip
        return Inbound(**{**given, **changes})

    def ask(self, fields: dict[str, Any] | bytes | None = None, **changes: Any) -> list[bytes]:
        """Run one request to its end; the chunks that came through. Raises what the pipeline raises."""
        inbound = self.inbound({} if fields is None else fields, **changes)

        async def work() -> list[bytes]:
            reply = await self.pipeline.answer(inbound)
            try:
                if not reply.is_event_stream:
                    return [await reply.body()]
                chunks = []
                while chunk := await reply.read():
                    chunks.append(chunk)
                return chunks
            finally:
                reply.close()

        return asyncio.run(work())

    @property
    def record(self) -> Outcome:
        """The only record; nothing may be held any more."""
        (outcome,) = self.records
        assert self.ledger.held() == 0
        assert self.ledger.held(simulated=True) == 0
        return outcome


def bench(
    *script: bytes | BaseException | float, status: int = 200, headers: Headers = JSON, **more: Any
) -> Bench:
    return Bench(FakeProvider(FakeReply(status, headers, list(script))), **more)
