"""Requests whose answers are judged, from the client's side: a gateway in this loop, the simulator behind it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from serving_harness import Site, site
from waiting import until_given

LADDER = """
[routes.auto]
ladder = ["claude-sonnet-4-6@medium", "claude-sonnet-4-6@high", "claude-opus-4-7@high"]
verify = ["says-yes"]
{more}
[verifiers.says-yes]
kind = "style"
must_contain = ["yes"]
"""
SCRIPT = """
version: 1
rules:
- match: {contains: down, model: claude-opus-4-7}
  reply: {error: {status: 529}}
- match: {contains: hang, model: claude-opus-4-7}
  reply: {text: "yes, late", stall: {where: after_head, seconds: 3600}}
- match: {contains: slow, model: claude-sonnet-4-6, effort: medium}
  reply: {text: "no", stall: {where: before_head, seconds: 1}}
- match: {contains: at once}
  reply: {text: "yes at once"}
- match: {contains: never}
  reply: {text: "no way"}
- match: {model: claude-sonnet-4-6, effort: medium}
  reply: {text: "no, says medium"}
- match: {model: claude-sonnet-4-6, effort: high}
  reply: {text: "no, says high"}
- match: {model: claude-opus-4-7}
  reply: {text: "yes, says opus"}
"""
MEDIUM, HIGH, OPUS = "claude-sonnet-4-6@medium", "claude-sonnet-4-6@high", "claude-opus-4-7@high"


def asked(text: str, **fields: Any) -> dict[str, Any]:
    return {
        "model": "trimtab/auto",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": text}],
        **fields,
    }


def at(tmp_path: Path, work: Callable[[Site], Awaitable[None]], config: str = LADDER.format(more="")) -> None:
    async def run() -> None:
        async with site(tmp_path, config, SCRIPT) as there:
            await work(there)

    asyncio.run(run())


async def told(there: Site, headers: dict[str, str]) -> dict[str, Any]:
    """The record of an answered request."""
    name = headers["x-trimtab-request"]

    _, _, body = await until_given(
        lambda: there.get(f"/trimtab/v1/requests/{name}"), lambda answer: answer[0] == 200
    )
    found: dict[str, Any] = json.loads(body)
    return found


def steps(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Of each attempt its arm, and what the verifiers came to."""
    found = []
    for attempt in record["attempts"]:
        arm = attempt["arm"]
        said = [verdict["says"] for verdict in attempt.get("verdicts", [])]
        found.append((f"{arm['model']}@{arm['effort']}", said[0] if said else ""))
    return found


def test_an_answer_that_is_not_accepted_is_asked_for_again_on_the_next_rungs(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        status, headers, body = await there.post(asked("hello"))
        assert status == 200
        assert json.loads(body)["content"][0]["text"] == "yes, says opus"
        shown = [headers[f"x-trimtab-{name}"] for name in ("arm", "verdict", "steps", "attempts")]
        assert shown == [OPUS, "accept", "3", "3"]
        record = await told(there, headers)
        assert steps(record) == [(MEDIUM, "escalate"), (HIGH, "escalate"), (OPUS, "accept")]
        assert record["cost_nanousd"] == sum(attempt["cost_nanousd"] for attempt in record["attempts"])
        assert [text.partition(":")[0] for text in record["escalations"]] == [HIGH, OPUS]
        assert record["plan"]["direct_cost_nanousd"] > 0
        assert there.held == "0.0"

    at(tmp_path, work)
