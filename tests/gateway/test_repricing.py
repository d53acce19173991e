"""What a server recorded is priced again to the nano-dollar, from the store alone."""

import asyncio
import datetime
import json
from pathlib import Path

from serving_harness import Site, run, site

from trimtab.app.repricing import reprice_month
from trimtab.budgets.repricing import Repriced


def month() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m")


def test_a_month_of_a_server_is_reproduced_with_its_discount_and_without_its_platforms_key(
    tmp_path: Path,
) -> None:
    async def ask(s: Site, **fields: object) -> None:
        body = {"max_tokens": 64, "messages": [{"role": "user", "content": "What is 17 * 23?"}], **fields}
        await s.post(body)

    async def work() -> None:
        config = (
            '[platforms.sim]\nkind = "simulator"\nlatency_scale = 0.0\ndiscount_percent = 12.5\n'
            "[budgets.each]\norganisation = '*'\nusd_per_month = 100\n"
        )
        async with site(tmp_path, config) as s:
            for model in ("claude-haiku-4-5", "claude-opus-4-7", "claude-sonnet-4-6", "claude-haiku-5-5"):
                await ask(s, model=model)
                await ask(s, model=model, stream=True)
            await ask(
                s,
                model="claude-sonnet-4-6",
                system=[{"type": "text", "text": "word " * 3000, "cache_control": {"type": "ephemeral"}}],
            )
            await ask(s, model="claude-haiku-5-5", messages=[{"role": "user", "content": "word " * 130_000}])
            await ask(s, model="nothing-like-it")
            async with asyncio.timeout(60):
                while True:  # the prices are kept, and the records written
                    found = await asyncio.to_thread(reprice_month, tmp_path / "trimtab.toml", month())
                    if found.simulated.calls == 10 and not found.simulated.unkept:
                        break
                    await asyncio.sleep(0.05)

    run(work)
    found: Repriced = reprice_month(tmp_path / "trimtab.toml", month())
    assert found.differences == (), json.dumps([one.why for one in found.differences])
    assert (found.simulated.calls, found.simulated.unkept, found.real.calls) == (10, 0, 0)
    assert (
        found.simulated.recorded_nanousd == found.simulated.then_nanousd == found.simulated.today_nanousd > 0
    )
