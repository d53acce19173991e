"""What whoever falls under a budget meets, from the moment at which somebody sets one."""

import asyncio
import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from serving_harness import VERSION, Site, run, site

from trimtab.admin import Actor, BudgetAdmin, KeyAdmin, NewKey
from trimtab.budgets.settings import BudgetSettings
from trimtab.records import Outcome, Scope, account_of
from trimtab.store.budgets.figures import counted_on
from trimtab.store.records.rows import FIND

CLI = Actor("cli:tester")
ASK = {"model": "trimtab/auto", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}


def key(s: Site, name: str, **fields: str) -> bytes:
    door: KeyAdmin = s.application.parts.callers.admin(s.application.settings)
    made = door.add(CLI, NewKey(name=name, **fields))  # type: ignore[arg-type]
    return VERSION + b"x-api-key: " + made.secret.reveal().encode() + b"\r\n"


def budgets(s: Site) -> BudgetAdmin:
    return s.application.parts.callers.budget_admin(s.application.settings)


async def ask(s: Site, headers: bytes, **fields: object) -> tuple[int, dict[str, str], Any]:
    """One request; again where a new key could not be looked up in time, or what was just settled is still held."""
    while True:
        status, named, body = await s.post({**ASK, **fields}, headers=headers)
        content = json.loads(body)
        passing = status == 429 and "in flight" in content["error"]["message"]
        if status != 503 and not passing:
            return status, named, content
        await asyncio.sleep(0.05)


async def in_force(s: Site, count: int) -> None:
    """Wait until so many budgets are."""
    end = time.monotonic() + 60
    while (now := s.application.parts.ground.budgets.in_force) is None or len(now.budgets) != count:
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def recorded(s: Site, request: str) -> Outcome:
    end = time.monotonic() + 60
    while True:
        found = s.application.parts.ground.database.read(lambda tx: tx.row(FIND, (request,)))
        if found is not None:
            return msgspec.json.decode(str(found[0]), type=Outcome)
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


def test_a_team_has_what_it_was_given_and_what_it_used_is_counted_to_the_nano_dollar(tmp_path: Path) -> None:
    async def work() -> None:
        config = '[budgets.everyone]\norganisation = "default"\noutput_tokens_total = 100_000\nsoft = true\n'
        async with site(tmp_path, config) as s:
            ann = key(s, "ann", team="red", user="ann")
            bob = key(s, "bob", team="red", user="bob")
            eve = key(s, "eve", team="blue")
            budgets(s).put(CLI, "red", BudgetSettings(usd_per_month=Decimal("0.005")))
            await in_force(s, 2)
            spent, refused, ids = 0.0, 0, []
            for n in range(20):
                status, named, content = await ask(s, (ann, bob)[n % 2])
                if status == 200:
                    spent += float(named["x-trimtab-cost-usd"])
                    ids.append(named["x-trimtab-request"])
                else:
                    assert (status, content["error"]["type"]) == (402, "billing_error")
                    assert (
                        "budget 'red.usd_per_month': team 'red' may use $0.005 in a month"
                        in content["error"]["message"]
                    )
                    assert "renews at" in content["error"]["message"]
                    refused += 1
            assert refused > 0
            assert 0 < spent <= 0.005
            status, named, _ = await ask(s, eve)
            assert status == 200
            ids.append(named["x-trimtab-request"])
            records = [await recorded(s, one) for one in ids]
            at_ms = records[0].at_ms
            red = account_of(Scope("team", "red", "default"), "usd", "month", at_ms)
            everyone = account_of(Scope("organisation", "default"), "output_tokens", "total", at_ms)
            found = s.application.parts.ground.database.read(lambda tx: counted_on(tx, (red, everyone)))
            assert (
                found[red, True].spent == round(spent * 1e9) == sum(one.cost_nanousd for one in records[:-1])
            )
            assert found[everyone, True].spent == sum(
                attempt.usage.output_tokens or 0
                for one in records
                for attempt in one.attempts
                if attempt.usage
            )
            assert found[red, False].spent == 0
            budgets(s).remove(CLI, "red")
            await in_force(s, 1)
            assert (await ask(s, ann))[0] == 200

    run(work)


def test_what_has_no_bound_is_refused_under_a_hard_budget_unless_it_may_pass_it(tmp_path: Path) -> None:
    async def work() -> None:
        config = "[budgets.red]\ntokens_per_day = 1_000_000\n[budgets.blue]\ntokens_per_day = 1_000_000\nmay_overshoot = true\n"
        search = [{"type": "web_search_20250305", "name": "web_search"}]
        async with site(tmp_path, config) as s:
            red, blue = key(s, "r", team="red"), key(s, "b", team="blue")
            await in_force(s, 2)
            status, _, content = await ask(s, red, tools=search)
            assert (status, content["error"]["type"]) == (403, "permission_error")
            assert "budget 'red.tokens_per_day' is a hard one for team 'red'" in content["error"]["message"]
            assert (await ask(s, red))[0] == 200
            assert (await ask(s, blue, tools=search))[0] != 403

    run(work)


def test_a_tag_has_a_budget_of_its_own_whoever_sends_it(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        config = '[budgets.night]\nrequests_per_day = 3\ntag = "night"\n'
        async with site(tmp_path, config) as s:
            mine = key(s, "a") + b"x-trimtab-tags: night, other\r\n"
            other = key(s, "b")
            await in_force(s, 1)
            assert [(await ask(s, mine))[0] for _ in range(4)] == [200, 200, 200, 402]
            assert [(await ask(s, other))[0] for _ in range(4)] == [200] * 4

    run(work)
