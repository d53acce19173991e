"""Prompts and answers at a gateway: kept as the policy says, read and deleted by those who may."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from serving_harness import ASK, EVENTS, VERSION, Site, head, parsed, run, site, upstream

from trimtab.admin import Actor, NewKey, UserAdmin
from trimtab.app import load_settings
from trimtab.app.assemble import build

CLI = Actor("cli:tester")
SIM = '\n[platforms.sim]\nkind = "simulator"\nlatency_scale = 0.0\n'
FULL = '[content]\nkeep = "full"\n'
REQUIRED = "[server]\nrequire_keys = true\n"
PROMPT = "What is 2 + 2? Tell ann@example.com."


class Place:
    """A site, its door for keys, and requests with and without one."""

    def __init__(self, at: Site) -> None:
        self.site = at
        self.application = at.application

    def key(self, name: str, **fields: Any) -> str:
        door = self.application.parts.callers.admin(self.application.settings)
        return door.add(CLI, NewKey(name=name, **fields)).secret.reveal()

    async def send(
        self, method: str, path: str, secret: str | None = None, body: Any = None, headers: bytes = b""
    ) -> tuple[int, dict[str, str], bytes]:
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        shown = b"" if secret is None else b"x-api-key: %b\r\n" % secret.encode()
        length = len(content) if method == "POST" else None
        while True:
            answer = parsed(
                await self.site.raw(head(method, path, VERSION + shown + headers, length) + content)
            )
            if answer[0] != 503:  # the store could not be asked in time for a key that is unknown
                return answer
            await asyncio.sleep(0.05)

    async def ask(self, secret: str | None = None, headers: bytes = b"", **fields: Any) -> str:
        """The id of a request that was answered."""
        body = {**ASK, "messages": [{"role": "user", "content": PROMPT}], **fields}
        status, named, _ = await self.send("POST", "/v1/messages", secret, body, headers)
        assert status == 200
        return named["x-trimtab-request"]

    async def content(self, request_id: str, secret: str | None = None) -> Any:
        """What is kept, once it is written."""
        async with asyncio.timeout(60):
            while True:
                status, _, body = await self.send("GET", f"/trimtab/v1/requests/{request_id}/content", secret)
                if status == 200:
                    return json.loads(body)
                await asyncio.sleep(0.02)

    async def all_written(self, count: int) -> None:
        keeper = self.application.parts.ground.keeper
        async with asyncio.timeout(60):
            while keeper.kept + keeper.dropped < count or keeper.waiting_bytes:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def table(self) -> int:
        return self.application.parts.ground.content.summary().requests


def at_a_place(folder: Path, config: str, work: Callable[[Place], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with site(folder, config + SIM if "[platforms" not in config else config) as at:
            await work(Place(at))

    run(whole)


def test_full_keeps_the_bytes_that_the_client_sent_and_got(tmp_path: Path) -> None:
    body = json.dumps({**ASK, "messages": [{"role": "user", "content": PROMPT}]}, indent=3).encode() + b"\n "

    async def work(p: Place) -> None:
        _, named, answer = await p.send("POST", "/v1/messages", None, body)
        request_id = named["x-trimtab-request"]
        told = await p.content(request_id)
        assert (told["mode"], told["purpose"], told["simulated"]) == ("full", "live", True)
        assert told["request"] == {"bytes": len(body), "cut": False, "text": body.decode()}
        path = f"/trimtab/v1/requests/{request_id}/content"
        status, headers, sent = await p.send("GET", f"{path}?part=request")
        assert (status, sent, headers["content-type"]) == (200, body, "application/json")
        status, headers, got = await p.send("GET", f"{path}?part=answer")
        assert (status, got, headers["content-type"]) == (200, answer, "application/json")
        assert headers["x-content-type-options"] == "nosniff"
        assert (await p.send("GET", f"{path}?part=nothing"))[0] == 400
        assert (await p.send("GET", f"{path}?other=1"))[0] == 400
        assert (await p.send("POST", path, None, b""))[0] == 405

    at_a_place(tmp_path, FULL, work)


def test_a_stream_is_kept_as_it_went_out_and_shown_as_the_message_too(tmp_path: Path) -> None:
    async def work(p: Place) -> None:
        fields = {**ASK, "stream": True}
        _, named, answer = await p.send("POST", "/v1/messages", None, fields)
        told = await p.content(named["x-trimtab-request"])
        assert told["answer"]["text"].encode() == answer
        assert told["answer"]["complete"] is True
        assert told["answer"]["message"]["content"] == [{"type": "text", "text": "2 + 2 = 4"}]
        path = f"/trimtab/v1/requests/{named['x-trimtab-request']}/content?part=answer"
        status, headers, got = await p.send("GET", path)
        assert (status, got, headers["content-type"]) == (200, answer, "text/event-stream; charset=utf-8")

    at_a_place(tmp_path, FULL, work)


def test_redacted_keeps_the_conversation_and_not_who_it_is_about(tmp_path: Path) -> None:
    async def work(p: Place) -> None:
        told = await p.content(await p.ask())
        assert (
            json.loads(told["request"]["text"])["messages"][0]["content"]
            == "What is 2 + 2? Tell [redacted: email]."
        )
        assert json.loads(told["answer"]["text"])["content"][0]["text"] == "2 + 2 = 4"

    at_a_place(tmp_path, '[content]\nkeep = "redacted"\n', work)


def test_off_keeps_nothing_and_says_so(tmp_path: Path) -> None:
    async def work(p: Place) -> None:
        request_id = await p.ask()
        assert p.application.parts.ground.keeper.under(p.application.settings.content) is None
        status, _, body = await p.send("GET", f"/trimtab/v1/requests/{request_id}/content")
        assert (status, json.loads(body)["error"]["type"]) == (404, "not_found_error")
        assert "no content is kept; content.keep says what is" in json.loads(body)["error"]["message"]

    at_a_place(tmp_path, "", work)


def test_a_refused_request_and_a_count_of_tokens_leave_nothing(tmp_path: Path) -> None:
    async def work(p: Place) -> None:
        count = {name: value for name, value in ASK.items() if name != "max_tokens"}
        assert (await p.send("POST", "/v1/messages/count_tokens", None, count))[0] == 200
        assert (await p.send("POST", "/v1/messages", None, {**ASK, "model": "no-such-model"}))[0] == 404
        last = await p.ask()
        await p.content(last)
        assert p.table() == 1

    at_a_place(tmp_path, FULL, work)


def test_what_a_platform_that_breaks_off_had_sent_is_kept(tmp_path: Path) -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b"".join(EVENTS[:3])
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 5000\r\n\r\n" + body
        )
        await writer.drain()

    async def whole() -> None:
        async with upstream(broken) as platform, site(tmp_path, FULL + platform) as at:
            p = Place(at)
            status, named, _ = await p.send("POST", "/v1/messages", None, {**ASK, "stream": True})
            assert status == 200
            told = await p.content(named["x-trimtab-request"])
            assert told["answer"]["text"].encode() == b"".join(EVENTS[:3])
            assert told["answer"]["complete"] is False
            assert told["answer"]["message"]["content"] == [{"type": "text", "text": "日本語"}]

    run(whole)


def test_a_reload_puts_a_policy_in_force_for_the_next_request(tmp_path: Path) -> None:
    async def work(p: Place) -> None:
        await p.ask()
        file = tmp_path / "trimtab.toml"
        text = file.read_text()
        for keep, expected in (("redacted", 1), ("off", 1), ("full", 2)):
            file.write_text(text + f'[content]\nkeep = "{keep}"\n')
            p.application.put_in_force(build(load_settings(file, listen="127.0.0.1:0"), p.application.parts))
            request_id = await p.ask()
            await p.all_written(expected)
            assert p.table() == expected
            if keep != "off":
                assert (await p.content(request_id))["mode"] == keep

    at_a_place(tmp_path, "", work)


def test_who_may_read_a_record_may_read_its_content_and_nobody_else(tmp_path: Path) -> None:
    async def work(p: Place) -> None:
        keys = {
            "red": p.key("red", organisation="acme", team="red"),
            "red2": p.key("red2", organisation="acme", team="red"),
            "blue": p.key("blue", organisation="acme", team="blue"),
            "alone": p.key("alone", organisation="acme"),
            "boss": p.key("boss", organisation="acme", admin=True),
            "stranger": p.key("stranger", organisation="other", admin=True),
        }
        red, alone = await p.ask(keys["red"]), await p.ask(keys["alone"])
        await p.content(red, keys["red"])
        await p.content(alone, keys["alone"])

        async def readers(request_id: str) -> set[str]:
            path = f"/trimtab/v1/requests/{request_id}/content"
            return {name for name, secret in keys.items() if (await p.send("GET", path, secret))[0] == 200}

        assert await readers(red) == {"red", "red2", "boss"}
        assert await readers(alone) == {"alone", "boss"}
        assert (await p.send("GET", f"/trimtab/v1/requests/{red}/content"))[0] == 401

    at_a_place(tmp_path, FULL + REQUIRED, work)


def test_from_the_first_user_of_the_console_on_prompts_are_read_with_a_key_only(tmp_path: Path) -> None:
    async def work(p: Place) -> None:
        mine, request = p.key("mine"), await p.ask()
        own = await p.ask(mine)
        await p.content(request)
        await p.content(own, mine)
        users = UserAdmin(p.application.parts.ground.database)
        await asyncio.to_thread(users.add, CLI, "ann", "viewer", "correct horse battery")
        async with asyncio.timeout(60):
            while (await p.send("GET", f"/trimtab/v1/requests/{request}/content"))[0] != 401:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        for path in (f"{request}/content?part=request", f"{own}/content", "none-such/content"):
            status, _, body = await p.send("GET", f"/trimtab/v1/requests/{path}")
            assert status == 401
            assert b"x-api-key" in body
            assert b"trimtab content show" in body
            assert PROMPT.encode() not in body
        assert (await p.send("GET", f"/trimtab/v1/requests/{request}"))[
            0
        ] == 200  # the record holds no prompt
        assert (await p.content(own, mine))["mode"] == "full"
        assert (await p.send("GET", f"/trimtab/v1/requests/{request}/content", mine))[0] == 404
        await asyncio.to_thread(users.remove, CLI, "ann")
        assert (await p.content(request))["mode"] == "full"

    at_a_place(tmp_path, FULL, work)


def test_an_admin_key_deletes_by_request_key_user_and_moment_in_its_own_organisation(tmp_path: Path) -> None:
    async def work(p: Place) -> None:
        boss = p.key("boss", organisation="acme", admin=True)
        ann = p.key("ann-key", organisation="acme", user="ann")
        bob = p.key("bob-key", organisation="acme", user="bob")
        stranger = p.key("stranger", organisation="other", admin=True)
        made = {
            name: await p.ask(secret)
            for name, secret in (("a1", ann), ("a2", ann), ("b1", bob), ("s1", stranger), ("m1", boss))
        }
        await p.all_written(5)

        async def delete(path: str, secret: str | None) -> tuple[int, Any]:
            status, _, body = await p.send("DELETE", path, secret)
            return status, json.loads(body)

        one = f"/trimtab/v1/requests/{made['a1']}/content"
        for secret, status in ((None, 403), (ann, 403), (stranger, 404)):
            assert (await delete(one, secret))[0] == status
        for query in (
            "",
            "?key=ann-key&user=ann",
            "?other=1",
            "?before_ms=x",
            "?before_ms=-1",
            "?key=ann-key&key=b",
        ):
            assert (await delete(f"/trimtab/v1/content{query}", boss))[0] == 400, query
        assert (await delete("/trimtab/v1/content?key=ann-key", bob))[0] == 403
        assert (await delete("/trimtab/v1/content?key=ann-key", stranger))[0] == 404
        assert (await delete("/trimtab/v1/content?user=ann", stranger))[0] == 404
        assert p.table() == 5
        for left in (4, 4):
            status, told = await delete(one, boss)
            assert (status, told["answers"], p.table()) == (200, 0, left), "deleting again changes nothing"
        for query, requests in (("?user=ann", 1), ("?key=bob-key", 1), ("?before_ms=9007199254740991", 1)):
            status, told = await delete(f"/trimtab/v1/content{query}", boss)
            assert (status, told["requests"]) == (200, requests)
        assert p.table() == 1, "the other organisation's stays"
        for name in ("a1", "a2", "b1", "m1"):
            secret = boss
            status, _, record = await p.send("GET", f"/trimtab/v1/requests/{made[name]}", secret)
            assert (status, json.loads(record)["id"]) == (200, made[name]), "records stay"
            assert (await p.send("GET", f"/trimtab/v1/requests/{made[name]}/content", secret))[0] == 404
        _, _, trail = await p.send("GET", "/trimtab/v1/audit", boss)
        actions = [
            (one["action"], one["after"]["by"])
            for one in json.loads(trail)["data"]
            if one["action"] == "content.delete"
        ]
        assert actions == [
            ("content.delete", by) for by in ("organisation", "key", "user", "request", "request")
        ]

    at_a_place(tmp_path, FULL, work)


def test_a_deletion_while_the_answer_is_on_its_way_keeps_it_from_being_written_later(tmp_path: Path) -> None:
    """The content is in the memory of the process from the first byte to the write; the deletion comes in between."""
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b"".join(EVENTS)
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        writer.write(b"".join(EVENTS[:3]))
        started.set()
        await go_on.wait()
        writer.write(b"".join(EVENTS[3:]))
        await writer.drain()

    async def whole() -> None:
        async with upstream(slow) as platform, site(tmp_path, FULL + platform) as at:
            p = Place(at)
            ann, boss = p.key("ci", user="ann"), p.key("boss", admin=True)
            asking = asyncio.create_task(p.send("POST", "/v1/messages", ann, {**ASK, "stream": True}))
            await started.wait()
            status, _, body = await p.send("DELETE", "/trimtab/v1/content?user=ann", boss)
            assert (status, json.loads(body)["requests"]) == (200, 0)
            go_on.set()
            assert (await asking)[0] == 200
            await p.all_written(1)
            assert p.table() == 0
            status, named, _ = await p.send("POST", "/v1/messages", ann, {**ASK, "stream": True})
            await p.content(named["x-trimtab-request"], ann)
            assert p.table() == 1, "what is asked later is kept again"

    run(whole)


def test_a_kept_answer_to_an_idempotency_key_goes_with_the_content(tmp_path: Path) -> None:
    async def work(p: Place) -> None:
        ann, boss = p.key("ci", user="ann"), p.key("boss", admin=True)
        once = b"idempotency-key: k1\r\n"
        request_id = await p.ask(ann, once)
        replayed = await p.send(
            "POST", "/v1/messages", ann, {**ASK, "messages": [{"role": "user", "content": PROMPT}]}, once
        )
        assert (replayed[0], replayed[1]["x-trimtab-idempotency"]) == (200, "replayed")
        status, _, body = await p.send("DELETE", "/trimtab/v1/content?key=ci", boss)
        assert (status, json.loads(body)["answers"]) == (200, 1)
        again = await p.send(
            "POST", "/v1/messages", ann, {**ASK, "messages": [{"role": "user", "content": PROMPT}]}, once
        )
        assert again[0] == 409
        assert request_id in json.loads(again[2])["error"]["message"]

    at_a_place(tmp_path, "[server]\nkeep_answers = true\n", work)


@pytest.mark.parametrize("keep", ["full", "redacted"])
def test_what_a_model_wrote_is_never_served_as_a_page(tmp_path: Path, keep: str) -> None:
    page = b"<script>alert(1)</script>"

    async def hostile(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n%b" % (len(page), page)
        )
        await writer.drain()

    async def whole() -> None:
        async with (
            upstream(hostile) as platform,
            site(tmp_path, f'[content]\nkeep = "{keep}"\n{platform}') as at,
        ):
            p = Place(at)
            _, named, _ = await p.send("POST", "/v1/messages", None, ASK)
            told = await p.content(named["x-trimtab-request"])
            path = f"/trimtab/v1/requests/{named['x-trimtab-request']}/content?part=answer"
            status, headers, got = await p.send("GET", path)
            if keep == "redacted":
                assert told["answer"] is None
                assert status == 404
            else:
                assert (status, got, headers["content-type"]) == (200, page, "application/octet-stream")
                assert headers["x-content-type-options"] == "nosniff"

    run(whole)
