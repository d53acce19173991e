"""Budgets over HTTP: the same answers as on the command line, for admin keys, of their organisation."""

from pathlib import Path
from typing import Any

from test_keys import Keyed, with_keys

ACME = {"usd_per_month": 500, "tokens_per_day": 1000, "team": "red"}


async def send(k: Keyed, method: str, path: str, secret: str | None, body: Any = None) -> tuple[int, Any]:
    status, _, answer = await k.send(method, path, secret, body)
    return status, answer


def test_an_admin_key_makes_changes_reads_and_removes_budgets(tmp_path: Path) -> None:
    async def work(k: Keyed) -> None:
        _, boss = k.make("boss", organisation="acme", team="red", admin=True)
        _, plain = k.make("plain", organisation="acme")
        at = "/trimtab/v1/budgets"
        assert await send(k, "GET", at, boss) == (200, {"data": []})
        status, made = await send(k, "PUT", f"{at}/red-month", boss, ACME)
        assert (status, made["scope"], made["who"], made["organisation"]) == (200, "team", "red", "acme")
        assert [(line["field"], line["limit"]) for line in made["lines"]] == [
            ("usd_per_month", 500_000_000_000), ("tokens_per_day", 1000),
        ]  # fmt: skip
        assert await send(k, "GET", f"{at}/red-month", boss) == (200, made)
        assert await send(k, "GET", at, boss) == (200, {"data": [made]})
        status, fewer = await send(k, "PUT", f"{at}/red-month", boss, {"usd_total": "0.1", "team": "red"})
        assert (status, [line["limit"] for line in fewer["lines"]]) == (200, [100_000_000])
        status, found = await send(k, "GET", "/trimtab/v1/audit", boss)
        assert [row["action"] for row in found["data"][:2]] == ["budgets.set", "budgets.set"]
        assert found["data"][0]["after"]["usd_total"] == 0.1
        assert await send(k, "DELETE", f"{at}/red-month", boss) == (200, fewer)
        for method, path, secret, body, wanted, said in (
            ("GET", f"{at}/red-month", boss, None, 404, "no budget 'red-month' is known"),
            ("DELETE", f"{at}/red-month", boss, None, 404, "no budget 'red-month' is known"),
            ("GET", at, plain, None, 403, "was not made with --admin"),
            ("GET", at, None, None, 403, "on this machine use `trimtab budgets`"),
            ("PUT", f"{at}/x", plain, ACME, 403, "was not made with --admin"),
            ("PUT", f"{at}/x", boss, {**ACME, "team": "rde"}, 404, "there is no team 'rde' of organisation 'acme' yet; did you mean 'red'"),
            ("PUT", f"{at}/x", boss, {"usd_per_month": -1}, 400, "usd_per_month: -1: must be an amount of US dollars above 0"),
            ("PUT", f"{at}/x", boss, {"usd_per_week": 1}, 400, "unknown field `usd_per_week`; permitted are organisation, team, key"),
            ("PUT", f"{at}/x", boss, b"[1", 400, "body:"),
            ("PUT", f"{at}/x", boss, {**ACME, "organisation": "other"}, 403, "its own organisation only, 'acme'"),
            ("PUT", f"{at}/file", boss, ACME, 409, "is written in trimtab.toml, as [budgets.file]"),
            ("POST", at, boss, ACME, 405, "GET"),
        ):  # fmt: skip
            status, problem = await send(k, method, path, secret, body)
            assert (status, said in problem["error"]["message"]) == (wanted, True), problem

    with_keys(tmp_path, work, "[budgets.file]\norganisation = 'other'\nusd_total = 5\n")
