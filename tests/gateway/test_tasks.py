"""Tasks over HTTP: made, used by ordinary requests with two headers, watched live, extended, cancelled."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from serving_harness import ASK, VERSION, Site, head, parsed, run, site

from trimtab.admin import Actor, KeyAdmin, NewKey, TaskAdmin, Visitor
from trimtab.admin.tasks import TaskEvents
from trimtab.gateway.tasks_api import LOOK_S

CLI = Actor("cli:tester")
TASKS = "/trimtab/v1/tasks"


class Desk:
    """A site, and whoever works with tasks there."""

    def __init__(self, at: Site, secret: str | None = None) -> None:
        self.site = at
        self.secret = secret
        self.asked = 0

    def key(self, name: str, **fields: Any) -> "Desk":
        door: KeyAdmin = self.site.application.parts.callers.admin(self.site.application.settings)
        return Desk(self.site, door.add(CLI, NewKey(name=name, **fields)).secret.reveal())

    def headers(self, **more: str) -> bytes:
        shown = {} if self.secret is None else {"x-api-key": self.secret}
        return VERSION + b"".join(f"{name}: {text}\r\n".encode() for name, text in {**shown, **more}.items())

    async def send(
        self, method: str, path: str, body: Any = None, **more: str
    ) -> tuple[int, dict[str, str], Any]:
        content = b"" if body is None else json.dumps(body).encode()
        length = len(content) if method == "POST" else None
        status, named, text = parsed(
            await self.site.raw(head(method, path, self.headers(**more), length) + content)
        )
        return status, named, json.loads(text)

    async def post(self, path: str, body: Any = None, *, expect: int = 200) -> Any:
        status, _, found = await self.send("POST", TASKS + path, body)
        assert status == expect, found
        return found

    async def get(self, path: str) -> Any:
        status, _, found = await self.send("GET", TASKS + path)
        assert status == 200, found
        return found

    async def ask(
        self, task: str, phase: str, most: int = 64, path: str = "/v1/messages", **more: str
    ) -> tuple[int, dict[str, str], Any]:
        self.asked += 1  # each question begins a conversation, so that all of it is new
        text = (
            f"{self.asked}: what is 2 + 2, and what would it be if nobody had ever thought of the number 4?"
        )
        body = {**ASK, "max_tokens": most, "messages": [{"role": "user", "content": text}]}
        return await self.send(
            "POST", path, body, **{"x-trimtab-task": task, "x-trimtab-phase": phase, **more}
        )

    async def settled(self, task: str) -> Any:
        """The task once nothing is held any more."""
        for _ in range(2_000):
            if not (found := await self.get(f"/{task}"))["held"]:
                return found
            await asyncio.sleep(0.01)
        raise TimeoutError

    @asynccontextmanager
    async def follow(self, task: str, **more: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.site.port)
        writer.write(head("GET", f"{TASKS}/{task}/events", self.headers(**more)))
        try:
            assert b" 200 " in await reader.readline()
            async with aclosing(told(reader)) as events:
                yield events
        finally:
            writer.close()


async def told(reader: asyncio.StreamReader) -> AsyncIterator[dict[str, Any]]:
    """Events as they come, until the line is ended by the server."""
    await reader.readuntil(b"\r\n\r\n")
    text = b""
    while size := int(await reader.readline(), 16):
        text += (await reader.readexactly(size + 2))[:-2]
        while b"\n\n" in text:
            one, _, text = text.partition(b"\n\n")
            fields = dict(line.split(": ", 1) for line in one.decode().split("\n"))
            event = json.loads(fields["data"])
            assert (int(fields["id"]), fields["event"]) == (event["n"], event["event"])
            yield event


def test_a_task_is_made_used_watched_and_closed(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as at:
            desk = Desk(at)
            made = await desk.post(
                "", {"total": 50_000, "usd": 0.5, "name": "migrate", "tags": ["a"]}, expect=201
            )
            name = made["id"]
            assert made["headers"] == {"x-trimtab-task": name, "x-trimtab-phase": "analysis"}
            assert [one["budget"] for one in made["phases"]] == [10_000, 20_000, 15_000, 5_000]
            async with desk.follow(name) as events:
                seen = [await anext(events) for _ in range(4)]
                assert {one["event"] for one in seen} == {"created"}
                status, named, answer = await desk.ask(name, "initial_analysis")
                assert status == 200, answer
                while seen[-1]["event"] != "settled":
                    seen.append(await anext(events))
                assert [one["event"] for one in seen[4:]] == ["phase", "reserved", "settled"]
                assert seen[-1]["request"] == named["x-trimtab-request"]
                usage = answer["usage"]
                assert seen[-1]["tokens"] == usage["input_tokens"] + usage["output_tokens"]
                found = await desk.settled(name)
                assert found["spent"] == seen[-1]["tokens"]
                assert found["spent_usd"] == pytest.approx(float(named["x-trimtab-cost-usd"]), abs=1e-9)
                assert found["simulated"]
                record = await at.record(named["x-trimtab-request"])
                assert (record["task"], record["phase"]) == (name, "analysis")

                status, _, _ = await desk.ask(name, "tools; progress=0.5")
                assert status == 200
                moved = next(one for one in (await desk.get(f"/{name}"))["moves"])
                assert moved["reason"] == "unused by analysis when tools began"
                await desk.post(f"/{name}/extend", {"total": 10_000, "usd": 1.25, "phase": "report"})
                await desk.post(f"/{name}/progress", {"phase": "tools", "progress": 0.9})
                closed = await desk.post(f"/{name}/close")
                assert (closed["state"], closed["total"], closed["usd"]) == ("closed", 60_000, 1.75)
                rest = [one async for one in events]  # the server ends the line
                assert rest[-1]["event"] == "closed"
            async with desk.follow(name, **{"last-event-id": str(rest[-2]["n"])}) as events:
                assert [one async for one in events] == [rest[-1]]
            status, named, problem = await desk.ask(name, "report")
            assert (status, named["x-trimtab-stop-reason"]) == (409, "task_closed")
            assert problem["error"]["reason"] == "task_closed"
            listed = await desk.get("?limit=1&state=closed")
            assert [one["id"] for one in listed["data"]] == [name]

    run(work)


def test_the_scenario_of_a_task_is_the_class_and_gives_the_effort_of_its_calls_unless_they_say_otherwise(
    tmp_path: Path,
) -> None:
    config = """
[tiers]
default = "claude-opus-4-7@max"
[routes.big]
tier = "default"
effort = "medium"
scenario = "general"
[scenarios]
triage = {effort = "low", phases = {look = 70, say = 30}}
"""

    async def work() -> None:
        async with site(tmp_path, config + '[platforms.sim]\nkind = "simulator"\nlatency_scale = 0\n') as at:
            desk = Desk(at)
            made = await desk.post("", {"total": 90_000, "scenario": "triage"}, expect=201)
            plain = await desk.post("", {"total": 90_000}, expect=201)
            assert [(one["name"], one["budget"]) for one in made["phases"]] == [
                ("look", 63_000),
                ("say", 27_000),
            ]
            for task, model, headers, own, effort, task_class in (
                (made, "trimtab/auto", {}, {}, "low", "triage"),
                (made, "trimtab/big", {}, {}, "low", "triage"),
                (made, "trimtab/big", {"x-trimtab-scenario": "coding"}, {}, "high", "coding"),
                (made, "trimtab/auto", {"x-trimtab-effort": "xhigh"}, {}, "xhigh", "triage"),
                (made, "trimtab/auto", {}, {"output_config": {"effort": "max"}}, "max", "triage"),
                (plain, "trimtab/big", {}, {}, "medium", "general"),
                (plain, "trimtab/auto", {}, {}, "max", None),
            ):
                status, named, answer = await desk.send(
                    "POST", "/v1/messages", {**ASK, "model": model, **own}, **task["headers"], **headers
                )
                assert status == 200, answer
                assert named["x-trimtab-arm"] == f"claude-opus-4-7@{effort}"
                record = await at.record(named["x-trimtab-request"])
                assert record.get("task_class") == task_class
                assert record["task"] == task["id"]

    run(work)


def test_a_task_out_of_budget_says_why_and_what_the_next_phase_would_have_needed(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as at:
            desk = Desk(at)
            phases = [{"name": "think", "percent": 50}, {"name": "write", "tokens": 300}]
            made = await desk.post("", {"total": 600, "phases": phases, "least_output": 50}, expect=201)
            name = made["id"]
            status, _, _ = await desk.ask(name, "think", most=8_000)
            assert status == 200
            spent = (await desk.settled(name))["spent"]
            assert 0 < spent <= 600
            for _ in range(60):
                status, named, problem = await desk.ask(name, "think", most=8_000)
                if status != 200:
                    break
            assert (status, problem["error"]["type"]) == (402, "billing_error")
            assert named["x-trimtab-stop-reason"] in ("phase_budget_exhausted", "task_budget_exhausted")
            details = problem["error"]["details"]
            assert (details["next_phase"], details["next_phase_planned_tokens"]) == ("write", 300)
            assert "the next phase, write, needs" in problem["error"]["message"]
            await desk.post(f"/{name}/extend", {"total": 5_000})
            status, _, _ = await desk.ask(name, "think")
            assert status == 200
            await desk.post(f"/{name}/cancel")
            status, named, _ = await desk.ask(name, "think")
            assert (status, named["x-trimtab-stop-reason"]) == (409, "task_cancelled")

    run(work)


def test_what_makes_no_sense_is_refused_with_the_value_and_what_to_do(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as at:
            desk = Desk(at)
            for body, says in (
                ({"total": -5}, "total: -5"),
                ({"total": 10_000, "strategy": "fast"}, "strategy: 'fast': must be prioritize_completion or"),
                ({"total": 10_000, "phases": [{"name": "a", "tokens": 20_000}]}, "above the total of 10,000"),
                ({"total": 10_000, "usd": -1}, "usd: -$1: must be above 0"),
                ({"total": 10_000, "scenario": "codng"}, "'codng' is no scenario here; there are quick,"),
                (
                    {"total": 10_000, "phases": [{"name": "a", "share": 5}]},
                    "permitted are name, tokens, percent",
                ),
                ({"total": 10_000, "phases": {"a": 5}}, "phases are a list, in order, as"),
                ({"total": 10_000, "tokens": 5}, "permitted are total, usd, phases"),
                ({"total": 10_000, "key": "key_1"}, "only a key that was made with --admin"),
                ({}, "missing required field `total`"),
            ):
                found = await desk.post("", body, expect=403 if "key" in body else 400)
                assert says in found["error"]["message"]
            name = (await desk.post("", {"total": 10_000}, expect=201))["id"]
            for path, body, status, says in (
                ("/extend", {"total": -5}, 400, "a task is only ever given more"),
                ("/extend", {"total": 5, "phase": "nope"}, 400, "no such phase; it has analysis, tools"),
                ("/extend", {"usd": 1}, 400, "no limit of money"),
                ("/progress", {"phase": "tools", "progress": 1.5}, 400, "from 0 to 1"),
            ):
                found = await desk.post(f"/{name}{path}", body, expect=status)
                assert says in found["error"]["message"]
            for headers, status, says in (
                ({"x-trimtab-task": "task_nobody"}, 404, "no such task of this key"),
                (
                    {"x-trimtab-task": f"{name}; total=9999"},
                    409,
                    "its total is 10,000 tokens and this request says",
                ),
                ({"x-trimtab-task": name, "x-trimtab-phase": "nope"}, 400, "this task has no such phase"),
                ({"x-trimtab-phase": "tools"}, 400, "belongs to a task"),
            ):
                got, _, found = await desk.send("POST", "/v1/messages", ASK, **headers)
                assert got == status
                assert says in found["error"]["message"]
            assert (await desk.get(f"/{name}"))["spent"] == 0
            got, _, _ = await desk.send("GET", f"{TASKS}/{name}/events?after=x")
            assert got == 400

    run(work)


def test_a_task_belongs_to_its_key_and_to_admins_of_its_organisation(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path, "[server]\nrequire_keys = true\n") as at:
            mine, other = Desk(at).key("mine"), Desk(at).key("other")
            admin, foreign = Desk(at).key("a", admin=True), Desk(at).key("f", admin=True, organisation="x")
            name = (await mine.post("", {"total": 50_000}, expect=201))["id"]
            for desk in (other, foreign):
                for method, path in (
                    ("GET", ""),
                    ("POST", "/cancel"),
                    ("GET", "/events"),
                    ("POST", "/close"),
                ):
                    status, _, found = await desk.send(method, f"{TASKS}/{name}{path}")
                    assert (status, "there is no task" in found["error"]["message"]) == (404, True)
                status, _, found = await desk.ask(name, "tools")
                assert (status, "no such task of this key" in found["error"]["message"]) == (404, True)
                assert (await desk.get(""))["data"] == []
            assert (await mine.ask(name, "tools"))[0] == 200
            assert (await admin.ask(name, "tools"))[0] == 404  # an admin sees it, and spends nothing of it
            assert [one["id"] for one in (await admin.get(""))["data"]] == [name]
            assert (await admin.post(f"/{name}/cancel"))["state"] == "cancelled"
            status, _, audit = await admin.send("GET", "/trimtab/v1/audit?limit=1")
            assert (status, audit["data"][0]["action"], audit["data"][0]["subject"]) == (
                200,
                "tasks.cancel",
                name,
            )
            key = (await mine.get(f"/{name}"))["key"]
            given = await admin.post("", {"total": 9_000, "key": key}, expect=201)
            assert (await mine.get(f"/{given['id']}"))["key"] == key
            async with mine.follow(given["id"]) as events:
                await anext(events)
                await admin.send("POST", f"/trimtab/v1/keys/{key}/revoke")
                with pytest.raises(KeyError):  # an error event has no id; the line ends
                    async for _ in events:
                        pass

    run(work)


def test_a_follower_that_goes_away_is_let_go_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as at:
            desk = Desk(at)
            name = (await desk.post("", {"total": 50_000}, expect=201))["id"]
            before = len(asyncio.all_tasks())
            async with desk.follow(name) as events:
                await anext(events)
                assert len(asyncio.all_tasks()) > before
            for _ in range(2_000):
                if len(asyncio.all_tasks()) <= before:
                    return
                await asyncio.sleep(0.01)
            raise TimeoutError

    run(work)


def test_a_crowd_of_followers_leaves_the_server_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, go_on, found = threading.Event(), threading.Event(), TaskAdmin.events

    def slow(self: TaskAdmin, visitor: Visitor, identity: str, after: int) -> TaskEvents:
        if after:
            looked.set()
            go_on.wait(60)
        return found(self, visitor, identity, after)

    async def work() -> None:
        async with site(tmp_path) as at, AsyncExitStack() as lines:
            desk = Desk(at)
            name = (await desk.post("", {"total": 50_000}, expect=201))["id"]
            try:
                for _ in range(40):  # more than there are threads
                    await anext(await lines.enter_async_context(desk.follow(name)))
                await asyncio.to_thread(looked.wait, 60)
                await asyncio.sleep(2 * LOOK_S)  # all of them would look now
                assert (await asyncio.wait_for(desk.get(f"/{name}"), 60))["id"] == name
            finally:
                go_on.set()

    monkeypatch.setattr(TaskAdmin, "events", slow)
    run(work)


def test_the_program_in_the_documentation_runs(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/tasks.md").read_text()
    program = page.split("```python\n")[1].split("```")[0]

    async def work() -> None:
        async with site(tmp_path) as at:
            ran: dict[str, Any] = {}
            text = program.replace("127.0.0.1:8787", f"127.0.0.1:{at.port}")
            await asyncio.to_thread(exec, compile(text, "docs/tasks.md", "exec"), ran)
            assert ran["answer"]["role"] == "assistant"
            (listed,) = (await Desk(at).get(""))["data"]
            assert (listed["state"], listed["id"], listed["calls"]) == ("closed", ran["task"], 1)

    run(work)
