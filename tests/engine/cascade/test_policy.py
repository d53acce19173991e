"""What is decided on ladders, from the client's side: rules, conversations, bounds, the baseline, and its reasons."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from serving_harness import VERSION, Site, site
from waiting import until_given

CONFIG = """
[routes.auto]
ladder = {ladder}
verify = ["says-yes"]
{more}
[verifiers.says-yes]
kind = "style"
must_contain = ["yes"]
"""
LADDER = ["claude-sonnet-4-6@medium", "claude-sonnet-4-6@high", "claude-opus-4-7@high"]
SCRIPT = """
version: 1
rules:
- match: {contains: slow, model: claude-sonnet-4-6}
  reply: {text: "no", stall: {where: before_head, seconds: 1}}
- match: {contains: never}
  reply: {text: "no way"}
- match: {contains: hard, model: claude-sonnet-4-6}
  reply: {text: "no"}
- match: {}
  reply: {text: "yes"}
"""
MEDIUM, HIGH, OPUS = "claude-sonnet-4-6@medium", "claude-sonnet-4-6@high", "claude-opus-4-7@high"


async def told(there: Site, text: str, own: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    """The record of a request that asks this."""
    body = {
        "model": "trimtab/auto",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": text}],
        **fields,
    }
    lines = "".join(f"x-trimtab-{name}: {value}\r\n" for name, value in (own or {}).items())
    status, headers, answer = await there.post(body, headers=VERSION + lines.encode())
    assert status == 200, answer
    name = headers["x-trimtab-request"]
    _, _, content = await until_given(
        lambda: there.get(f"/trimtab/v1/requests/{name}"), lambda answer: answer[0] == 200
    )
    found: dict[str, Any] = json.loads(content)
    return found


def called(record: dict[str, Any]) -> list[str]:
    return [f"{one['arm']['model']}@{one['arm'].get('effort')}" for one in record["attempts"]]


def at(
    tmp_path: Path, more: str, work: Callable[[Site], Awaitable[None]], ladder: list[str] = LADDER
) -> None:
    async def run() -> None:
        async with site(tmp_path, CONFIG.format(ladder=json.dumps(ladder), more=more), SCRIPT) as there:
            await work(there)

    asyncio.run(run())


def reason(record: dict[str, Any], words: str) -> str:
    reasons: list[str] = record["plan"]["reasons"]
    return next(text for text in reasons if words in text)


def test_rules_headers_and_the_clients_own_effort_say_where_it_begins(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        assert called(await told(there, "one")) == [MEDIUM]
        long = await told(there, "two", max_tokens=100_000)
        assert called(long) == [OPUS]
        assert "max_tokens 100,000 > 64,000" in reason(long, "rule long-output")
        risk = await told(there, "three", {"error-cost-usd": "50"})
        assert called(risk) == [OPUS]
        assert "error_cost" not in reason(
            risk, "rule declared-risk: wrong answers cost more than the higher rung"
        )
        assert called(await told(there, "four", {"error-cost-usd": "0"})) == [MEDIUM]
        low = await told(there, "five: hard", {"effort": "low"})
        assert called(low) == ["claude-sonnet-4-6@low", "claude-opus-4-7@low"]

    at(tmp_path, "", work)


def test_a_conversation_stays_where_it_went_and_a_question_asked_again_goes_higher(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        one = {"session": "one"}
        question = "Why does the first build of a week take so long?"
        first = await told(there, question, one)
        assert called(first) == [MEDIUM]
        again = await told(there, question, one)
        assert called(again) == [HIGH]
        assert "repeated 1 >= 1" in reason(again, "rule repeated: the same was asked before")
        assert called(await told(there, question, one)) == [OPUS]
        assert called(await told(there, question, {"session": "other"})) == [MEDIUM]
        # Within a chain of tools it stays where it is.
        use = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "seen"}
        chain = await told(
            there,
            "",
            one,
            tools=[{"name": "look", "input_schema": {"type": "object"}}],
            messages=[
                {"role": "user", "content": question},
                {"role": "assistant", "content": [use]},
                {"role": "user", "content": [result]},
            ],
        )
        assert called(chain) == [OPUS]
        assert reason(chain, "this chain of tools is there")

    at(tmp_path, "", work)


def test_bounds_of_latency_and_money_win_over_going_on(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        slow = await told(there, "slow", {"latency-s": "0.5"})
        assert called(slow) == [MEDIUM]
        assert "no time is left" in slow["escalations"][-1]

    at(tmp_path, "", work)


def test_mode_cost_refuses_what_cannot_pay_and_the_baselines_share_is_called_directly(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        found = [await told(there, "hard", {"session": f"s{n}"}) for n in range(40)]
        plans = [record["plan"] for record in found]
        base = [n for n, plan in enumerate(plans) if any("the baseline" in text for text in plan["reasons"])]
        assert 3 <= len(base) <= 37  # of 40 with a share of one half
        assert {called(found[n])[0] for n in base} == {"claude-opus-4-6@None"}
        assert all(len(found[n]["attempts"]) == 1 for n in base)
        rest = [record for n, record in enumerate(found) if n not in base]
        assert {tuple(called(record)) for record in rest} == {(OPUS,)}
        assert all(reason(record, "cascade refused: this work has no judged answers") for record in rest)
        assert {plan["propensity"] for plan in plans} == {0.5}

    # Two models of one price: to call the first one first can only cost more.
    at(tmp_path, 'mode = "cost"\ncontrol_share = 0.5', work, ["claude-opus-4-6@high", OPUS])
