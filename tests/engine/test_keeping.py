"""What is handed over of prompts and answers where a policy keeps them: what the client sent, and what it got, once."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from trimtab.budgets import Ledger
from trimtab.catalogue import Catalogue, TierSettings, resolve_tiers
from trimtab.engine import Inbound, Metered, Pipeline, Recorder, Runtime
from trimtab.engine.metered import Job, MeteredReply
from trimtab.errors import RequestError, UpstreamRefused
from trimtab.providers import Call, Reply
from trimtab.providers.simulator import Simulator, SimulatorProvider, SimulatorSettings
from trimtab.records import Intent, Outcome, RequestId
from trimtab.routing import Place, TierRouter
from trimtab.telemetry import Metrics

CATALOGUE = Catalogue.load()


class Handed:
    """A copy that keeps what it is handed."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.answer = b""
        self.ends: list[tuple[Outcome, bool, bytes]] = []

    def add(self, chunk: bytes) -> None:
        self.answer += chunk

    def end(self, outcome: Outcome, event_stream: bool, encoding: bytes) -> None:
        self.ends.append((outcome, event_stream, encoding))


class Away(SimulatorProvider):
    """A platform that takes no connection."""

    async def send(self, call: Call) -> Reply:
        raise UpstreamRefused("sim: nobody listens")


class Bench:
    """A pipeline on the simulator."""

    def __init__(self, kind: type[SimulatorProvider] = SimulatorProvider) -> None:
        self.copies: list[Handed] = []
        self.records: list[Outcome] = []
        self.provider = kind("sim", Simulator(SimulatorSettings(latency_scale=0), CATALOGUE))
        runtime = Runtime(monotonic=time.monotonic, config_version="c", catalogue_version="k", keep=self)
        self.metered = Metered(CATALOGUE, Ledger(), Recorder(self, Metrics()), runtime)
        router = TierRouter(
            CATALOGUE,
            resolve_tiers(TierSettings(), CATALOGUE, str),
            (Place("sim", "anthropic", {model.id: model.id for model in CATALOGUE.models}),),
        )
        self.pipeline = Pipeline(self.metered, router, {"sim": self.provider})

    def begin(self, request: bytes) -> Handed:
        self.copies.append(Handed(request))
        return self.copies[-1]

    def put(self, outcome: Outcome) -> None:
        self.records.append(outcome)

    def intend(self, intent: Intent) -> bool:
        return True

    def inbound(self, endpoint: Any = "messages", **fields: Any) -> Inbound:
        asked: dict[str, Any] = {
            "model": "trimtab/auto",
            "messages": [{"role": "user", "content": "What is 2 + 2?"}],
            **fields,
        }
        if endpoint == "messages":
            asked["max_tokens"] = 64
        return Inbound(
            id=RequestId("r1"),
            endpoint=endpoint,
            path="/v1/messages",
            query=b"",
            body=json.dumps(asked, indent=2).encode(),
            headers=[(b"anthropic-version", b"2023-06-01")],
            own={},
            arrived_ms=1_800_000_000_000,
            arrived=time.monotonic(),
        )

    def run(self, ask: Callable[[], Awaitable[MeteredReply]]) -> bytes:
        """What came through of an answer."""

        async def work() -> bytes:
            reply = await ask()
            try:
                if not reply.is_event_stream:
                    return await reply.body()
                parts = []
                while chunk := await reply.read():
                    parts.append(chunk)
                return b"".join(parts)
            finally:
                reply.close()
                reply.close()

        return asyncio.run(work())


@pytest.mark.parametrize("stream", [False, True])
def test_the_clients_own_body_and_the_whole_answer_are_handed_over_once(stream: bool) -> None:
    bench = Bench()
    inbound = bench.inbound(stream=stream)
    got = bench.run(lambda: bench.pipeline.answer(inbound))
    (copy,) = bench.copies
    assert copy.request == inbound.body, "not as it was changed for the platform"
    assert copy.answer == got
    ((outcome, event_stream, encoding),) = copy.ends
    assert (outcome, event_stream, encoding) == (bench.records[0], stream, b"")
    assert outcome.purpose == "live"


def test_a_call_that_nobody_answers_ends_too_and_a_refused_request_never_begins() -> None:
    bench = Bench(Away)
    with pytest.raises(UpstreamRefused):
        bench.run(lambda: bench.pipeline.answer(bench.inbound()))
    (copy,) = bench.copies
    assert (copy.answer, len(copy.ends)) == (b"", 1)
    with pytest.raises(RequestError):
        bench.run(lambda: bench.pipeline.answer(bench.inbound(model="no-such-model")))
    assert len(bench.copies) == 1
    assert len(bench.records) == 2


def test_counting_tokens_is_no_prompt() -> None:
    bench = Bench()
    bench.run(lambda: bench.pipeline.answer(bench.inbound("count_tokens")))
    assert bench.copies == []


def test_a_call_of_our_own_hands_over_its_body_and_its_purpose() -> None:
    """A judge's call, say: it comes to the lower floor with no client behind it."""
    bench = Bench()
    jobs: list[Job] = []
    made = bench.metered.reserve

    async def seen(job: Job) -> Any:
        jobs.append(job)
        return await made(job)

    bench.metered.reserve = seen  # type: ignore[method-assign]  # a look at what the upper floor makes
    bench.run(lambda: bench.pipeline.answer(bench.inbound()))
    job = msgspec.structs.replace(
        jobs[0], asked=None, purpose="judge", id=RequestId("r2"), parent=RequestId("r1")
    )

    async def call() -> MeteredReply:
        return await bench.metered.call(job, await made(job))

    bench.run(call)
    copy = bench.copies[1]
    assert copy.request == job.call.body
    assert copy.ends[0][0].purpose == "judge"
