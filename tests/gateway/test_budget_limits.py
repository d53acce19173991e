"""Budgets at a gateway: in force at once and after each change, warned of before they are spent, refused after."""

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_keys import Keyed, with_keys
from waiting import until_so
from webhook_receiver import Receiver, receiving

from trimtab.admin import Actor, BudgetAdmin, FileBudgets
from trimtab.budgets.settings import BudgetSettings
from trimtab.store import StoreSettings, open_database

WARNING = "x-trimtab-budget-warning"


async def ask(k: Keyed, secret: str, tokens: int = 16, tags: bytes = b"") -> tuple[int, dict[str, str], Any]:
    body = {
        "model": "claude-haiku-4-5",
        "max_tokens": tokens,
        "messages": [{"role": "user", "content": "hello"}],
    }
    return await k.send("POST", "/v1/messages", secret, body, tags)


async def until_warned(k: Keyed, secret: str) -> dict[str, str]:
    """Ask until an answer carries a warning; its headers."""
    while True:
        status, headers, body = await ask(k, secret)
        assert status == 200, body
        if WARNING in headers:
            return headers
        await asyncio.sleep(0.05)


def test_a_budget_of_the_file_is_in_force_from_the_first_request_on(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        _, secret = k.make(team="red")
        status, _, body = await ask(k, secret, tokens=4000)
        assert (status, body["error"]["type"]) == (402, "billing_error")
        assert "budget 'red.usd_per_month'" in body["error"]["message"]
        assert "team 'red' may use $0.001 in a month" in body["error"]["message"]
        assert (await ask(k, secret))[0] == 200
        _, other = k.make("other", team="blue")
        assert (await ask(k, other, tokens=4000))[0] == 200

    with_keys(tmp_path, work, "[budgets.red]\nusd_per_month = 0.001\n")


def test_a_budget_that_begins_to_refuse_before_it_is_spent_is_in_the_record_and_once_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(k: Keyed) -> None:
        _, secret = k.make(team="red")
        assert (await ask(k, secret))[0] == 200
        for _ in range(3):
            status, headers, _ = await ask(k, secret, tokens=900)
            assert status == 402
            record = await recorded(k, headers["x-trimtab-request"])
            (note,) = record["observations"]
            assert note.startswith(
                "budget: name=red.tokens_per_day; refused; asked_tokens=1000; left_tokens="
            )
        async with asyncio.timeout(60):
            while True:
                if "red.tokens_per_day" in caplog.text:
                    break
                await asyncio.sleep(0.02)
        (line,) = [one.getMessage() for one in caplog.records if "red.tokens_per_day" in one.getMessage()]
        assert line.startswith(
            "budget red.tokens_per_day (simulated): it refuses requests that may come to more than is left"
        )

    with caplog.at_level(logging.WARNING, "trimtab.budgets"):
        with_keys(tmp_path, work, "[budgets.red]\ntokens_per_day = 920\n")


def test_a_budget_that_is_set_changed_or_removed_is_in_force_within_two_seconds(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        _, secret = k.make(team="red")
        admin = k.site.application.parts.callers.budget_admin(k.site.application.settings)
        me = Actor("cli:tester")

        async def until(status: int, tokens: int) -> None:
            async with asyncio.timeout(60):
                while True:
                    if (await ask(k, secret, tokens))[0] == status:
                        return
                    await asyncio.sleep(0.05)

        await until(200, 4000)
        admin.put(me, "red", BudgetSettings(tokens_per_day=3000))
        await until(402, 4000)
        await until(200, 16)
        admin.put(me, "red", BudgetSettings(tokens_per_day=500_000))
        await until(200, 4000)
        admin.put(me, "red", BudgetSettings(tokens_per_day=3000))
        await until(402, 4000)
        admin.remove(me, "red")
        await until(200, 4000)

    with_keys(tmp_path, work)


def test_who_draws_on_a_budget_that_is_nearly_spent_is_warned_and_so_is_the_record_and_the_log_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(k: Keyed) -> None:
        _, secret = k.make(organisation="acme", team="red")
        _, other = k.make("other", organisation="zoo")
        with caplog.at_level(logging.WARNING, "trimtab.budgets"):
            headers = await until_warned(k, secret)
            said = headers[WARNING]
            assert said.startswith("name=house.requests_per_day; spent=")
            assert "; left_requests=" in said
            record = await recorded(k, headers["x-trimtab-request"])
            assert f"budget: {said}" in record["observations"]
            assert WARNING not in (await ask(k, other))[1]
            await until_warned(k, secret)
            async with asyncio.timeout(60):
                while True:  # the header comes first, and then the line
                    if "house.requests_per_day" in caplog.text:
                        break
                    await asyncio.sleep(0.02)
        lines = [one.getMessage() for one in caplog.records if "house.requests_per_day" in one.getMessage()]
        assert len(lines) == 1
        assert "house.requests_per_day (simulated):" in lines[0]
        assert "% of its limit is spent on account organisation=acme/requests/20" in lines[0]

    house = "[budgets.house]\norganisation = 'acme'\nrequests_per_day = 1000\nsoft = true\nwarn_percent = 1\n"
    with_keys(tmp_path, work, house)


async def recorded(k: Keyed, request_id: str) -> Any:
    while True:
        status, _, body = await k.send("GET", f"/trimtab/v1/requests/{request_id}")
        if status == 200:
            return body
        await asyncio.sleep(0.02)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def test_a_webhook_is_told_once_for_each_level_over_restarts_and_tried_again_when_it_fails(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGN", "quiet")
    monkeypatch.setattr("trimtab.budgets.webhooks.FIRST_WAIT_MS", 100)
    config = (
        "[budgets.acme]\norganisation = 'acme'\nrequests_per_month = 4\nsoft = true\nwarn_percent = 50\n"
        f"webhook = '{receiver.url}/x'\nwebhook_secret = 'env:SIGN'\n"
    )
    secrets: list[str] = []
    receiver.answers = [503]

    async def told(count: int) -> None:
        await until_so(lambda: len(receiver.got) >= count)

    async def first(k: Keyed) -> None:
        secrets.append(k.make(organisation="acme")[1])
        await ask(k, secrets[0])
        await ask(k, secrets[0])
        await told(2)  # the first time it failed
        await until_warned(k, secrets[0])

    async def second(k: Keyed) -> None:
        await until_warned(k, secrets[0])
        await ask(k, secrets[0])
        await told(3)
        await until_warned(k, secrets[0])

    with_keys(tmp_path, first, config)
    said = [json.loads(body) for _, _, body in receiver.got]
    assert [(one["budget"], one["level_percent"], one["spent"], one["simulated"]) for one in said] == 2 * [
        ("acme", 50, 2, True)
    ]
    assert all(headers["x-trimtab-signature"].startswith("t=") for _, headers, _ in receiver.got)
    with_keys(tmp_path, second, config)
    database = open_database(StoreSettings(url=f"sqlite:///{tmp_path}/t.db"), clock_ms=lambda: 0)
    given = BudgetAdmin(
        database, FileBudgets("t.toml", {"acme": BudgetSettings(organisation="acme", requests_per_month=4)})
    )
    assert [(one.level, one.state, one.tries, one.simulated) for one in given.show(Actor("x"), "acme").warnings] == [
        (100, "sent", 1, True), (50, "sent", 2, True),
    ]  # fmt: skip
    database.close()
    said = [json.loads(body) for _, _, body in receiver.got]
    assert [(one["level_percent"], one["type"]) for one in said] == [
        (50, "budget.warning"), (50, "budget.warning"), (100, "budget.reached"),
    ]  # fmt: skip
