"""Every mistake about a budget that a client can make, on each surface: a clear error, no call, nothing spent or held."""

import json
from pathlib import Path
from typing import Any

import pytest
from serving_harness import Site, run, site
from test_chat import ANSWER, Server, serving, whole
from test_tasks import TASKS, Desk

CALLS: list[tuple[dict[str, str], int, str, str]] = [
    ({"x-trimtab-task": "{task}; total=90000"}, 409, "conflict_error", "its total is 20,000 tokens and this request says 90,000"),
    ({"x-trimtab-task": "{task}; total=-5"}, 400, "invalid_request_error", "total='-5': must be a whole number of tokens"),
    ({"x-trimtab-task": "{task}; total=" + "9" * 100}, 400, "invalid_request_error", "must be a whole number of tokens"),
    ({"x-trimtab-task": "{task}; budget=5"}, 400, "invalid_request_error", "'budget=5': only total=NUMBER, once, may follow"),
    ({"x-trimtab-task": "{other}"}, 404, "not_found_error", "no such task of this key; make one with POST /trimtab/v1/tasks"),
    ({"x-trimtab-task": "task_nobody"}, 404, "not_found_error", "'task_nobody': no such task of this key"),
    ({"x-trimtab-task": ""}, 400, "invalid_request_error", "x-trimtab-task: is empty; send the id"),
    ({"x-trimtab-task": "{ended}"}, 409, "conflict_error", "was closed; make another one with POST /trimtab/v1/tasks"),
    ({"x-trimtab-task": "{task}", "x-trimtab-phase": "nope"}, 400, "invalid_request_error", "no such phase; it has analysis, tools, verification, report"),
    ({"x-trimtab-task": "{task}", "x-trimtab-phase": "tools; progress=2"}, 400, "invalid_request_error", "progress='2': must be a number from 0 to 1"),
    ({"x-trimtab-phase": "tools"}, 400, "invalid_request_error", "belongs to a task; send x-trimtab-task too, or leave it out"),
]  # fmt: skip
FORM_ONLY = ("total='", "must be a whole", "only total", "is empty", "progress=", "belongs to a task")
"""What is refused where nothing is spent, too."""

MADE: list[tuple[dict[str, Any], str]] = [
    ({"total": -5}, "total: -5: must be 1 to 1,000,000,000,000 tokens"),
    ({"total": 0}, "total: 0: must be 1 to"),
    ({"total": True}, "Expected `int`, got `bool` - at `$.total`"),
    ({"total": 10_000, "usd": -1}, "usd: -$1: must be above 0"),
    ({"total": 10_000, "usd": 0}, "usd: $0: must be above 0"),
    ({"total": 10_000, "phases": [{"name": "a", "tokens": -1}]}, "phases.a.tokens: -1: must be 1 to"),
    ({"total": 10_000, "phases": [{"name": "a", "tokens": 9_000}, {"name": "b", "tokens": 2_000}]},
     "phases: together 11,000 tokens, above the total of 10,000; lower them or raise total"),
    ({"total": 10_000, "phases": [{"name": "a", "percent": 60}, {"name": "b", "percent": 50}]},
     "phases: together 11,000 tokens, above the total"),
    ({"total": 10_000, "phases": []}, "phases: 0 of them: must be 1 to 32"),
    ({"total": 10_000, "strategy": "fast"}, "strategy: 'fast': must be prioritize_completion or prioritize_quality"),
    ({"total": 10_000, "floor_percent": 101}, "floor_percent: 101: must be 0 to 100 percent"),
    ({"total": 10_000, "scenario": "nope"}, "scenario: 'nope' is no scenario here; there are "),
    ({"total": 100}, "phases.analysis: comes to 20 tokens of 100, less than one useful answer"),
]  # fmt: skip

CHANGED: list[tuple[str, dict[str, Any], int, str]] = [
    ("extend", {"total": -5}, 400, "extend: total -5, $0: a task is only ever given more"),
    ("extend", {}, 400, "name total or usd above 0, or cancel the task"),
    ("extend", {"usd": 5}, 400, "this task has no limit of money"),
    ("extend", {"total": 5, "phase": "nope"}, 400, "no such phase; it has analysis"),
    ("extend", {"total": 10**13}, 400, "at most 1,000,000,000,000 tokens"),
    ("progress", {"phase": "tools", "progress": 1.5}, 400, "progress: 1.5: must be a number from 0 to 1"),
]

ASK = {"max_tokens": 64, "messages": [{"role": "user", "content": "hi"}]}
SURFACES = {"/v1/messages": "claude-haiku-4-5", "/v1/chat/completions": "qwen3-32b"}


async def spent(desk: Desk, task: str) -> tuple[int, int, set[str]]:
    """Spent, held, and what has happened to the task."""
    seen = await desk.get(f"/{task}")
    return seen["spent"], seen["held"], {one["name"] for one in seen["phases"] if one["begun"]}


@pytest.mark.parametrize("surface", [*SURFACES, "/v1/messages/count_tokens"])
def test_no_call_goes_out_under_a_budget_that_nobody_set(
    tmp_path: Path, surface: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "k")

    async def work() -> None:
        platform = Server(whole(ANSWER))
        async with serving(tmp_path, platform, more='[platforms.sim]\nkind = "simulator"\n') as at:
            house = Desk(at)
            mine, stranger = house.key("mine"), house.key("stranger")
            task = (await mine.post("", {"total": 20_000}, expect=201))["id"]
            ended = (await mine.post("", {"total": 20_000}, expect=201))["id"]
            await mine.post(f"/{ended}/close")
            other = (await stranger.post("", {"total": 20_000}, expect=201))["id"]
            body = {"model": SURFACES.get(surface, "claude-haiku-4-5"), **ASK}
            free = surface.endswith("count_tokens")
            if free:
                del body["max_tokens"]
            for headers, status, kind, says in CALLS:
                named = {
                    name: text.format(task=task, other=other, ended=ended) for name, text in headers.items()
                }
                got, _, found = await mine.send("POST", surface, body, **named)
                if free and not any(form in says for form in FORM_ONLY):
                    assert got == 200, found  # nothing is spent, so no task is asked for
                    continue
                assert (got, says in found["error"]["message"]) == (status, True), (headers, found)
                if surface.startswith("/v1/messages"):
                    assert (found["type"], found["error"]["type"]) == ("error", kind)
                else:
                    assert set(found["error"]) >= {"message", "type", "param", "code"}
            assert await spent(mine, task) == await spent(stranger, other) == (0, 0, set())
            assert platform.received == []

    run(work)


def test_no_task_is_made_or_changed_by_what_makes_no_sense_or_by_another_key(tmp_path: Path) -> None:
    async def work(at: Site) -> None:
        house = Desk(at)
        mine, stranger = house.key("mine"), house.key("stranger")
        for body, says in MADE:
            found = await mine.post("", body, expect=400)
            assert (found["error"]["type"], says in found["error"]["message"]) == (
                "invalid_request_error",
                True,
            ), found
        assert (await mine.get(""))["data"] == []
        task = (await mine.post("", {"total": 20_000}, expect=201))["id"]
        for action, body, status, says in CHANGED:
            found = await mine.post(f"/{task}/{action}", body, expect=status)
            assert says in found["error"]["message"]
        for action, body in (
            ("extend", {"total": 5}),
            ("progress", {"phase": "tools", "progress": 0.5}),
            ("cancel", None),
            ("close", None),
        ):
            found = await stranger.post(f"/{task}/{action}", body, expect=404)
            assert (
                "GET /trimtab/v1/tasks or `trimtab tasks list` says which there are"
                in found["error"]["message"]
            )
        for path in (f"{TASKS}/{task}", f"{TASKS}/{task}/events"):
            assert (await stranger.send("GET", path))[0] == 404
        seen = await mine.get(f"/{task}")
        assert (seen["total"], seen["state"], seen["events"]) == (20_000, "open", 4)
        for _ in range(2):
            await mine.post("", {"total": 20_000}, expect=201)
        full = await mine.post("", {"total": 20_000}, expect=409)
        assert (
            "3 tasks are neither closed nor cancelled, and store.tasks_per_key permits no more; close those"
            in json.dumps(full)
        )

    async def whole_site() -> None:
        async with site(tmp_path, 'tasks_per_key = 3\n[platforms.sim]\nkind = "simulator"\n') as at:
            await work(at)

    run(whole_site)
