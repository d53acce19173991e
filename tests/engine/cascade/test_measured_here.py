"""What a gateway measured of its own judged answers is what it goes by, and what its tables and limits say."""

import asyncio
from pathlib import Path
from typing import Any

from serving_harness import VERSION, Site, site
from waiting import until_given

from trimtab.admin import Actor, NewKey
from trimtab.app.measuring import MeasuredWatch, work_out
from trimtab.catalogue import Arm
from trimtab.records import Limits
from trimtab.verification.measured import Judgements

CONFIG = """
[verification]
charge = "caller"
[routes.auto]
ladder = ["claude-sonnet-4-6@medium", "claude-opus-4-7@high"]
verify = ["opinion"]
[verifiers.opinion]
kind = "second_opinion"
arm = "claude-haiku-4-5"
"""
SCRIPT = """
version: 1
rules:
- match: {contains: agreed}
  reply: {text: "The answer is 7"}
- match: {model: claude-haiku-4-5}
  reply: {text: "So the answer is 8."}
- match: {}
  reply: {text: "The answer is 7"}
"""
WEAK, STRONG = Arm("claude-sonnet-4-6", "medium"), Arm("claude-opus-4-7", "high")


def test_a_gateway_learns_how_often_its_first_and_later_steps_fail_and_checks_are_paid_by_the_key(
    tmp_path: Path,
) -> None:
    async def work(there: Site) -> None:
        ground = there.application.parts.ground
        door = there.application.parts.callers.admin(there.application.settings)
        key = door.add(Actor("cli:tester"), NewKey(name="mine", limits=Limits(total_nanousd=10**9)))
        shown = VERSION + b"x-api-key: %b\r\n" % key.secret.reveal().encode()
        for question in ("agreed", "agreed", "which?"):
            said: dict[str, Any] = {"messages": [{"role": "user", "content": question}]}
            status, _, body = await there.post(
                {"model": "trimtab/auto", "max_tokens": 64, **said}, headers=shown
            )
            assert status == 200, body

        told = there.application.metrics.render().decode()
        assert 'trimtab_held_back_seconds_count{stream="false"} 3.0' in told

        def rows(sql: str, *values: str) -> list[tuple[Any, ...]]:
            return ground.database.read(lambda view: view.rows(sql, values))

        by_purpose = "SELECT purpose, count(*) FROM requests GROUP BY purpose ORDER BY purpose"
        written = [("judge", 4), ("live", 3)]
        await until_given(lambda: asyncio.to_thread(rows, by_purpose), lambda found: found == written)
        assert await asyncio.to_thread(work_out, ground.database) == [True]
        watch = MeasuredWatch(ground.database)
        await asyncio.to_thread(watch.look)
        measured = watch.measured
        assert measured.failure("auto", "", WEAK, True) == Judgements(3, 1, 0)
        assert measured.failure("auto", "", STRONG, True, later=True) == Judgements(1, 1, 0)
        assert measured.failure("auto", "", STRONG, True) == Judgements()
        (whole,) = rows("SELECT CAST(sum(cost_nanousd) AS BIGINT) FROM requests")
        assert rows("SELECT spent_nanousd FROM key_spend WHERE key_id = ?", key.key.id) == [whole]
        assert rows("SELECT count(*) FROM requests WHERE purpose = 'judge' AND cost_nanousd > 0") == [(4,)]

    async def run() -> None:
        async with site(tmp_path, CONFIG, SCRIPT) as there:
            await work(there)

    asyncio.run(run())
