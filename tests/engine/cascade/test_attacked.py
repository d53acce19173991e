"""Clients that go, platforms that break off and verifiers that misbehave: the money and the record stay true."""

import asyncio
import json
from pathlib import Path
from typing import Any

from serving_harness import VERSION, Site, head, site
from waiting import until_given

OPINION = """
[routes.auto]
ladder = ["claude-sonnet-4-6@medium", "claude-opus-4-7@high"]
verify = ["opinion"]
[verifiers.opinion]
kind = "second_opinion"
arm = "claude-haiku-4-5"
timeout_s = 1
[verification]
hold_headers_s = 0.1
keep_alive_s = 0.1
"""
SCRIPT = """
version: 1
rules:
- match: {contains: cut opinion, model: claude-haiku-4-5}
  reply: {text: "The answer is 7", stall: {where: before_head, seconds: 3600}}
- match: {model: claude-haiku-4-5}
  reply: {text: "So the answer is 8."}
- match: {contains: hang, model: claude-opus-4-7}
  reply: {text: "late", stall: {where: before_head, seconds: 3600}}
- match: {}
  reply: {text: "The answer is 7"}
"""


def asked(text: str, **fields: Any) -> dict[str, Any]:
    message = {"role": "user", "content": text}
    return {"model": "trimtab/auto", "max_tokens": 64, "messages": [message], **fields}


async def records(there: Site) -> list[dict[str, Any]]:
    database = there.application.parts.ground.database
    rows = await asyncio.to_thread(database.read, lambda view: view.rows("SELECT detail FROM requests"))
    return [json.loads(row[0]) for row in rows]


async def held(there: Site) -> set[str]:
    lines = there.application.metrics.render().decode().splitlines()
    names = ("trimtab_held_usd ", "trimtab_held_simulated_usd ")
    return {line.split()[1] for line in lines if line.startswith(names)}


def whole_and_children(found: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    (parent,) = (record for record in found if record["purpose"] == "live")
    return parent, [record for record in found if record["purpose"] == "judge"]


def test_what_a_cut_opinion_costs_is_counted_though_nothing_was_heard_of_it(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        _, headers, _ = await there.post(asked("cut opinion"))
        found = await until_given(lambda: records(there), lambda rows: len(rows) == 3)
        parent, children = whole_and_children(found)
        cost = sum(child["cost_nanousd"] for child in children)
        assert cost > 0
        assert parent["checks_nanousd"] == cost
        verdicts = [verdict for made in parent["attempts"] for verdict in made["verdicts"]]
        assert sorted(name for verdict in verdicts for name in verdict["calls"]) == sorted(
            child["id"] for child in children
        )
        whole = parent["cost_nanousd"] + cost
        assert headers["x-trimtab-cost-usd"] == f"{whole // 10**9}.{whole % 10**9:09d}"

    async def run() -> None:
        async with site(tmp_path, OPINION, SCRIPT) as there:
            await work(there)

    asyncio.run(run())


def test_who_goes_in_a_later_step_leaves_a_record_of_the_checks_and_of_why_it_was_made(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with site(tmp_path, OPINION, SCRIPT) as there:
            body = json.dumps(asked("hang", stream=True)).encode()
            _, writer = await asyncio.open_connection("127.0.0.1", there.port)
            writer.write(head("POST", "/v1/messages", VERSION, len(body)) + body)
            await until_given(lambda: records(there), lambda rows: len(rows) == 1)  # the opinion
            await until_given(lambda: held(there), lambda amounts: amounts != {"0.0"})  # the second step
            writer.close()
            found = await until_given(lambda: records(there), lambda rows: len(rows) == 2)
            await until_given(lambda: held(there), lambda amounts: amounts == {"0.0"})
            parent, (child,) = whole_and_children(found)
            assert (parent["result"], len(parent["attempts"])) == ("cancelled", 2)
            assert parent["checks_nanousd"] == child["cost_nanousd"] > 0
            (why,) = parent["escalations"]
            assert why.startswith("claude-opus-4-7@high: ")

    asyncio.run(run())
