"""Cascades together with what else a request can have: another API, a cache, a task, a key's limits, a history."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from judged_site import asked, at, told
from serving_harness import VERSION, Site, site, take_request, upstream
from waiting import until_given

PATH = "/v1/chat/completions"
MEDIUM, OPUS = "claude-sonnet-4-6@medium", "claude-opus-4-7@high"
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
CONFIG = """
[routes.auto]
ladder = ["claude-sonnet-4-6@medium", "claude-opus-4-7@high"]
verify = ["says-yes"]
[verifiers.says-yes]
kind = "style"
must_contain = ["yes"]
[cache]
mode = "on_request"
"""
SCRIPT = """
version: 1
rules:
- match: {contains: never}
  reply: {text: "no way"}
- match: {contains: at once}
  reply: {text: "yes at once"}
- match: {model: claude-sonnet-4-6}
  reply: {text: "no"}
- match: {}
  reply: {text: "yes"}
"""


def test_only_an_accepted_answer_is_given_again(tmp_path: Path) -> None:
    cache = VERSION + b"x-trimtab-cache: on\r\n"

    async def work(there: Site) -> None:
        async def tried(text: str) -> str:
            _, headers, _ = await there.post(asked(text, temperature=0), headers=cache)
            return headers["x-trimtab-cache"].partition(";")[0]

        assert await tried("never") == await tried("at once") == "miss"
        assert await until_given(lambda: tried("at once"), lambda said: said == "hit")
        assert await tried("never") == "miss"

    at(tmp_path, work, CONFIG, SCRIPT)


ON_CHAT = """
[routes.auto]
ladder = ["claude-sonnet-4-6@medium", "claude-opus-4-7@high"]
verify = ["says-yes"]
[verifiers.says-yes]
kind = "style"
must_contain = ["yes"]
[verification]
hold_headers_s = {hold}
keep_alive_s = 0.1
[platforms.local]
kind = "openai"
base_url = "{url}/v1"
models = {{"claude-sonnet-4-6" = "s", "claude-opus-4-7" = "o"}}
"""


def test_chat_streams_and_answers_are_judged_as_messages_are(tmp_path: Path) -> None:
    asked_of: list[str] = []

    async def platform(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            got = (await reader.readuntil(b"\r\n\r\n")).lower()
            body = json.loads(
                await reader.readexactly(int(got.split(b"content-length:")[1].split(b"\r\n")[0]))
            )
            asked_of.append(body["model"])
            await asyncio.sleep(0.3)
            text = "yes" if body["model"] == "o" else "no"
            writer.write(streamed(text) if body.get("stream") else whole(text))

    async def work() -> None:
        async with upstream(platform) as config:
            url = config.partition('base_url = "')[2].partition('"')[0]
            for hold, arm in ((10, OPUS), (0.05, "pending")):
                folder = tmp_path / str(hold)
                folder.mkdir()
                async with site(folder, ON_CHAT.format(url=url, hold=hold)) as there:
                    for stream in (False, True):
                        _, headers, body = await there.post(asked("hello", stream=stream), PATH, b"")
                        assert headers["x-trimtab-arm"] == (arm if stream else OPUS)
                        assert b"yes" in body
                        assert b'"no"' not in body
                        assert body.startswith(b": keep-alive\n\n") is (stream and arm == "pending")
                        record = await told(there, headers["x-trimtab-request"])
                        assert [one["verdicts"][0]["says"] for one in record["attempts"]] == [
                            "escalate",
                            "accept",
                        ]
                        assert record["attempts"][1]["usage"]["output_tokens"] == 2
        assert asked_of == ["s", "o"] * 4

    asyncio.run(work())


def test_a_model_that_only_the_other_api_serves_gives_its_opinion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of a request that cannot be put to it the check is unsure."""
    monkeypatch.setenv("TEST_KEY", "k")
    got: list[dict[str, Any]] = []

    async def vendors(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await take_request(reader)
            if head.startswith(b"POST /v1/chat/completions "):
                got.append(json.loads(body))
                writer.write(whole("So it is 7."))
            else:
                content = [{"type": "text", "text": "The answer is 7"}]
                usage = {"input_tokens": 5, "output_tokens": 5}
                writer.write(
                    http({"type": "message", "content": content, "stop_reason": "end_turn", "usage": usage})
                )

    async def work() -> None:
        async with upstream(vendors) as config:
            url = config.partition('base_url = "')[2].partition('"')[0]
            (tmp_path / "overlay.yaml").write_text(OVERLAY)
            async with site(tmp_path, OPINION.format(url=url) + config) as there:
                for more, verdict in (({}, "accept"), ({"mcp_servers": [{"name": "x"}]}, "unsure")):
                    ask = {**asked("which?"), "model": "claude-opus-4-6", "system": "Say a number.", **more}
                    _, headers, _ = await there.post(ask, headers=VERSION + b"x-trimtab-verify: opinion\r\n")
                    record = await told(there, headers["x-trimtab-request"])
                    assert headers["x-trimtab-verdict"] == verdict, record["attempts"]
                    assert len(got) == 1
                    assert got[0]["model"] == "Qwen/Qwen3-32B"
                    assert got[0]["messages"] == [
                        {"role": "system", "content": "Say a number."},
                        {"role": "user", "content": "which?"},
                    ]
                assert "mcp_servers" in record["attempts"][0]["verdicts"][0]["reason"]

    asyncio.run(work())


OVERLAY = """
models:
- id: qwen3-32b
  limits: {context: 32768, max_output: 4096}
  prices:
  - {effective_from: 2026-01-01, input: 0.50, output: 1.50, cache_write_5m: 0.60, cache_write_1h: 0.60, cache_read: 0.05}
"""
OPINION = """
[catalogue]
overlay = "overlay.yaml"
[verifiers.opinion]
kind = "second_opinion"
arm = "qwen3-32b"
[platforms.vllm]
kind = "openai"
base_url = "{url}/v1"
models = {{"qwen3-32b" = "Qwen/Qwen3-32B"}}
"""


def http(answer: dict[str, Any]) -> bytes:
    body = json.dumps(answer).encode()
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )


def whole(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    return http(
        {
            "id": "c1",
            "object": "chat.completion",
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": USAGE,
        }
    )


def streamed(text: str) -> bytes:
    def piece(delta: dict[str, str], finish: str | None) -> bytes:
        one = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "id": "c1", "model": "m"}
        return b"data: " + json.dumps(one).encode() + b"\n\n"

    usage = (
        b"data: " + json.dumps({"id": "c1", "model": "m", "choices": [], "usage": USAGE}).encode() + b"\n\n"
    )
    body = (
        piece({"role": "assistant", "content": text}, None) + piece({}, "stop") + usage + b"data: [DONE]\n\n"
    )
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(body)
    return head + body


def test_a_task_counts_the_answer_that_was_given_and_the_money_of_all_steps(tmp_path: Path) -> None:
    async def work(there: Site) -> None:
        status, _, body = await there.post({"total": 50_000, "usd": 1}, "/trimtab/v1/tasks", b"")
        assert status == 201, body
        name = json.loads(body)["id"]
        _, headers, _ = await there.post(
            asked("hello"), headers=VERSION + b"x-trimtab-task: %b\r\n" % name.encode()
        )
        record = await told(there, headers["x-trimtab-request"])
        assert len(record["attempts"]) == 2
        _, _, body = await until_given(
            lambda: there.get(f"/trimtab/v1/tasks/{name}"),
            lambda answer: json.loads(answer[2])["calls"] == 1,
        )
        task, given = json.loads(body), record["attempts"][-1]["usage"]
        assert task["spent"] == given["input_tokens"] + given["output_tokens"]
        assert round(task["spent_usd"] * 1e9) == record["cost_nanousd"]

    at(tmp_path, work, CONFIG, SCRIPT)
