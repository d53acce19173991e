"""What checks spend, and on whose account: a gateway in this loop, the simulator behind it."""

import asyncio
import json
from pathlib import Path

from judged_site import asked, at, told
from serving_harness import VERSION, Site, head
from waiting import until_given

from trimtab.admin import Actor, NewKey
from trimtab.records import Limits

CONFIG = """
[routes.auto]
ladder = ["claude-sonnet-4-6@medium", "claude-opus-4-7@high"]
verify = ["opinion"]
{more}
[verifiers.opinion]
kind = "second_opinion"
arm = "claude-haiku-4-5"
"""
SCRIPT = """
version: 1
rules:
- match: {contains: stuck, model: claude-haiku-4-5}
  reply: {text: "The answer is 7", stall: {where: before_head, seconds: 3600}}
- match: {contains: broken, model: claude-haiku-4-5}
  reply: {error: {status: 500}}
- match: {contains: agreed}
  reply: {text: "The answer is 7"}
- match: {model: claude-haiku-4-5}
  reply: {text: "So the answer is 8."}
- match: {}
  reply: {text: "The answer is 7"}
"""


def test_a_second_opinion_has_a_record_of_its_own_and_counts_for_its_check(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        _, headers, _ = await there.post(asked("which number?"))
        record = await told(there, headers["x-trimtab-request"])
        (first, second) = record["attempts"]
        (verdict,) = first["verdicts"]
        assert verdict["says"] == "escalate"
        (name,) = verdict["calls"]
        child = await told(there, name)
        assert (child["purpose"], child["parent"]) == ("judge", record["id"])
        assert child["plan"]["arm"]["model"].startswith("claude-haiku-4-5")
        assert child["cost_nanousd"] == verdict["cost_nanousd"] > 0
        checks = sum(one["cost_nanousd"] for made in (first, second) for one in made["verdicts"])
        assert record["checks_nanousd"] == checks
        whole = record["cost_nanousd"] + checks
        assert headers["x-trimtab-cost-usd"] == f"{whole // 10**9}.{whole % 10**9:09d}"

    at(tmp_path, work, CONFIG.format(more=""), SCRIPT)


def test_an_opinion_that_agrees_ends_it(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        _, headers, _ = await there.post(asked("agreed?"))
        assert [headers[f"x-trimtab-{name}"] for name in ("verdict", "steps")] == ["accept", "1"]

    at(tmp_path, work, CONFIG.format(more=""), SCRIPT)


def test_an_opinion_that_never_comes_is_unsure_and_never_accepted(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        for text, why in (("stuck", "not finished"), ("broken", "could not be checked")):
            _, headers, _ = await there.post(asked(text))
            assert [headers[f"x-trimtab-{name}"] for name in ("verdict", "steps")] == ["unsure", "2"]
            record = await told(there, headers["x-trimtab-request"])
            for made in record["attempts"]:
                (verdict,) = made["verdicts"]
                assert (verdict["says"], verdict["failed"]) == ("unsure", True)
                assert verdict["reason"].startswith(why)

    at(tmp_path, work, CONFIG.format(more="") + "timeout_s = 0.5\n", SCRIPT)


def test_an_unsure_answer_is_given_where_the_route_says_so(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        _, headers, _ = await there.post(asked("broken"))
        assert [headers[f"x-trimtab-{name}"] for name in ("verdict", "steps")] == ["unsure", "1"]

    at(tmp_path, work, CONFIG.format(more='unsure = "release"'), SCRIPT)


def test_who_goes_while_a_check_asks_a_model_ends_that_call_too(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        body = json.dumps(asked("stuck")).encode()
        _, writer = await asyncio.open_connection("127.0.0.1", there.port)
        writer.write(head("POST", "/v1/messages", VERSION, len(body)) + body)
        metered = "trimtab_held_simulated_usd "

        async def held() -> str:
            lines = there.application.metrics.render().decode().splitlines()
            return next(line for line in lines if line.startswith(metered))

        await until_given(held, lambda line: line != f"{metered}0.0")
        await asyncio.sleep(0)
        writer.close()
        await until_given(held, lambda line: line == f"{metered}0.0")
        database = there.application.parts.ground.database

        async def records() -> list[tuple[str, str]]:
            rows = await asyncio.to_thread(
                database.read, lambda view: view.rows("SELECT purpose, result FROM requests ORDER BY purpose")
            )
            return [(row[0], row[1]) for row in rows]

        found = await until_given(records, lambda rows: len(rows) == 2)
        assert found == [("judge", "cancelled"), ("live", "cancelled")]

    at(tmp_path, work, CONFIG.format(more=""), SCRIPT)


def test_a_check_counts_on_the_limits_of_whoever_asked_for_it(tmp_path: Path) -> None:
    """Of a key that may ask once a minute: the call of a check that its request names is one too many."""

    async def work(there: Site) -> None:
        door = there.application.parts.callers.admin(there.application.settings)
        for checks, model, verdict in (
            (b"", "trimtab/auto", "accept"),
            (b"x-trimtab-verify: opinion\r\n", "claude-opus-4-6", "unsure"),
        ):
            limits = Limits(requests_per_minute=1)
            secret = door.add(Actor("cli:tester"), NewKey(name=verdict, limits=limits)).secret.reveal()
            shown = VERSION + checks + b"x-api-key: %b\r\n" % secret.encode()
            status, headers, body = await there.post({**asked("agreed"), "model": model}, headers=shown)
            assert status == 200, body
            record = await told(there, headers["x-trimtab-request"])
            assert headers["x-trimtab-verdict"] == verdict, record["attempts"]

    at(tmp_path, work, CONFIG.format(more=""), SCRIPT)
