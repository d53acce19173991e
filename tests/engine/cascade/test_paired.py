"""Two arms on one request."""

import asyncio
import json
from pathlib import Path
from typing import Any

from engine_bench import CATALOGUE
from serving_harness import site
from waiting import until_given

from trimtab.catalogue import Arm
from trimtab.engine.cascade.paired import Beside, Called
from trimtab.engine.inbound import Inbound
from trimtab.errors import NotFound
from trimtab.records import RequestId

SCRIPT = """
version: 1
rules:
- match: {model: claude-haiku-4-5}
  reply: {text: "eight"}
- match: {}
  reply: {text: "seven"}
"""


def test_both_arms_answer_one_request_and_are_recorded_for_their_purpose(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path, "[budgets.all]\nusd_per_month = 1\n", SCRIPT) as there:
            pipeline = there.application.parts and there.application._edition.surroundings.pipeline
            inbound = asked()
            planner = pipeline._messages
            read = planner.decide(inbound, planner.read(inbound))
            verifying = pipeline._verifying
            assert verifying is not None
            arms = (Arm("claude-haiku-4-5"), Arm("claude-opus-4-7", "low"))
            beside = Beside(purpose="audit", place_simulated=True, answer_simulated=True)
            one, other = await verifying.paired.both(read, arms, beside)
            assert isinstance(one, Called)
            assert isinstance(other, Called)
            assert (one.answers[0].text, other.answers[0].text) == ("eight", "seven")
            assert other.arm == "claude-opus-4-7@low"
            assert one.request != other.request
            for called in (one, other):
                _, _, body = await until_given(
                    lambda name=called.request: there.get(f"/trimtab/v1/requests/{name}"),
                    lambda answer: answer[0] == 200,
                )
                record = json.loads(body)
                assert (record["purpose"], record["parent"]) == ("audit", "a" * 32)
                assert record["cost_nanousd"] == called.cost_nanousd > 0
                assert "draws" not in record
            (missing, there_is) = await verifying.paired.both(read, (Arm("no-such-model"), arms[0]), beside)
            assert isinstance(missing, NotFound)
            assert isinstance(there_is, Called)

    asyncio.run(work())


def asked() -> Inbound:
    body: dict[str, Any] = {
        "model": "claude-sonnet-4-6",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "what is 3 + 4?"}],
    }
    assert CATALOGUE.find("claude-sonnet-4-6") is not None
    return Inbound(
        id=RequestId("a" * 32),
        endpoint="messages",
        path="/v1/messages",
        query=b"",
        body=json.dumps(body).encode(),
        headers=[(b"anthropic-version", b"2023-06-01")],
        own={},
        arrived_ms=1_795_000_000_000,
        arrived=0.0,
    )
