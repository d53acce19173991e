"""What a platform does not take, behind a real socket: what the caller gets, what is on record, and what it costs."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from serving_harness import run, site, take_request, upstream

OPUS, SONNET = "claude-opus-4-7", "claude-sonnet-4-6"
ASK: dict[str, Any] = {"model": OPUS, "max_tokens": 1000, "messages": [{"role": "user", "content": "hi"}]}
BY_URL = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
USAGE = b'{"input_tokens":1000,"output_tokens":100}'
ANSWER = b'{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"end_turn","usage":%b}' % USAGE  # fmt: skip


class Platform:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await take_request(reader)
            self.heads.append(head)
            self.bodies.append(body)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER))  # fmt: skip
            writer.write(ANSWER)


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setenv("TEST_KEY", "k")
    return Platform()


def on(entry: str, kind: str, **options: object) -> str:
    """The configuration of another kind of platform at the address of this one."""
    address = entry.partition('base_url = "')[2].partition('"')[0]
    key = "access_token" if kind == "vertex" else "api_key"
    lines = [f'kind = "{kind}"', f'{key} = "env:TEST_KEY"', f'base_url = "{address}"']
    return "\n".join(
        [
            "[platforms.there]",
            *lines,
            *(f"{name} = {json.dumps(value)}" for name, value in options.items()),
            "",
        ]
    )


def vertex(entry: str, region: str = "global", **more: object) -> str:
    return on(entry, "vertex", project="p-1", region=region, **more)


def test_a_pinned_request_loses_what_the_platform_refuses_and_says_so_in_answer_and_record(
    tmp_path: Path, platform: Platform
) -> None:
    async def work() -> None:
        config = '[normaliser]\npinned = "off"\n'
        async with upstream(platform) as entry, site(tmp_path, config + vertex(entry)) as s:
            budget = {"output_config": {"task_budget": {"type": "tokens", "total": 50000}, "effort": "low"}}
            headers = b"anthropic-version: 2023-06-01\r\nanthropic-beta: task-budgets-2026-03-13\r\n"
            status, named, _ = await s.post({**ASK, **budget, "cache_control": None}, headers=headers)
            assert status == 200
            told = "cache_control removed, output_config.task_budget removed, anthropic-beta=-task-budgets-2026-03-13"
            assert named["x-trimtab-adaptations"] == told
            sent = json.loads(platform.bodies[-1])
            assert sent["output_config"] == {"effort": "low"}
            assert "cache_control" not in sent
            assert b"anthropic-beta" not in platform.heads[-1]
            record = await s.record(named["x-trimtab-request"])
            assert ", ".join(record["adaptations"]) == told
            assert record["plan"]["arm"]["effort"] == "low"

    run(work)


@pytest.mark.parametrize("model", [OPUS, "trimtab/escalation"])
def test_an_image_by_url_gets_a_400_that_says_what_to_do_and_costs_nothing(
    tmp_path: Path, platform: Platform, model: str
) -> None:
    async def work() -> None:
        async with upstream(platform) as entry, site(tmp_path, vertex(entry)) as s:
            asked = {**ASK, "model": model, "messages": [{"role": "user", "content": [BY_URL]}]}
            status, named, body = await s.post(asked)
            told = json.loads(body)
            assert (status, told["type"], told["error"]["type"]) == (400, "error", "invalid_request_error")
            assert told["error"]["message"].startswith(
                "messages.0: image source type 'url' is not supported on Google Vertex AI; send its bytes as base64"
            )
            assert platform.bodies == []
            record = await s.record(named["x-trimtab-request"])
            assert record["result"] == "error"
            assert record["cost_nanousd"] == 0
            assert record["observations"][0].startswith("Trimtab: rule platform-source, platform vertex")
            assert s.held == "0.0"

    run(work)


def test_the_operator_chooses_strict_for_platforms_alone(tmp_path: Path, platform: Platform) -> None:
    async def work() -> None:
        config = '[normaliser]\nplatform = "strict"\n'
        async with upstream(platform) as entry, site(tmp_path, config + vertex(entry)) as s:
            status, _, body = await s.post({**ASK, "speed": "standard"})
            assert status == 400
            assert b"speed: Extra inputs are not permitted on Google Vertex AI" in body
            assert (await s.post({**ASK, "temperature": 1}))[0] == 200

    run(work)


def test_the_claude_api_gets_all_of_it_to_the_byte(tmp_path: Path, platform: Platform) -> None:
    async def work() -> None:
        async with upstream(platform) as entry, site(tmp_path, entry) as s:
            asked = {
                **ASK, "speed": "fast", "inference_geo": "us", "cache_control": None, "mcp_servers": [{"url": "x"}],
                "messages": [{"role": "user", "content": [BY_URL]}], "tools": [{"type": "web_search_20250305", "name": "web_search"}],
            }  # fmt: skip
            body = json.dumps(asked, indent=1).encode()
            headers = b"anthropic-version: 2023-06-01\r\nanthropic-beta: a-1, b-2,a-1\r\n"
            status, named, _ = await s.post(body, headers=headers)
            assert (status, platform.bodies) == (200, [body])
            assert b"anthropic-beta: a-1, b-2,a-1\r\n" in platform.heads[0]
            assert "x-trimtab-adaptations" not in named

    run(work)


def test_a_regional_call_is_reserved_settled_and_recorded_a_tenth_dearer(
    tmp_path: Path, platform: Platform
) -> None:
    async def work() -> None:
        seen = {}
        for region in ("global", "europe-west1"):
            folder = tmp_path / region
            folder.mkdir()
            async with upstream(platform) as entry, site(folder, vertex(entry, region)) as s:
                status, named, _ = await s.post({**ASK, "model": SONNET})
                assert status == 200
                record = await s.record(named["x-trimtab-request"])
                (attempt,) = record["attempts"]
                seen[region] = (record["cost_nanousd"], attempt["cost_nanousd"], attempt["reserved_nanousd"])
        # 1000 x $3/M + 100 x $15/M
        assert seen["global"][:2] == (4_500_000, 4_500_000)
        assert seen["europe-west1"][:2] == (4_950_000, 4_950_000)
        assert 10 * seen["europe-west1"][2] == 11 * seen["global"][2]

    run(work)


def test_a_discount_is_reserved_settled_and_recorded(tmp_path: Path, platform: Platform) -> None:
    async def work() -> None:
        seen = {}
        for percent in (0, 12.5):
            folder = tmp_path / str(percent)
            folder.mkdir()
            terms: dict[str, object] = {"discount_percent": percent}
            async with upstream(platform) as entry, site(folder, vertex(entry, "europe-west1", **terms)) as s:
                status, named, _ = await s.post({**ASK, "model": SONNET})
                assert status == 200
                record = await s.record(named["x-trimtab-request"])
                (attempt,) = record["attempts"]
                seen[percent] = (record["cost_nanousd"], attempt["cost_nanousd"], attempt["reserved_nanousd"])
                assert s.held == "0.0"
        # 1000 x $3/M + 100 x $15/M, times 1.1, less an eighth
        assert seen[0][:2] == (4_950_000, 4_950_000)
        assert seen[12.5][:2] == (4_331_250, 4_331_250)
        assert 8 * seen[12.5][2] == 7 * seen[0][2]
        assert seen[12.5][1] <= seen[12.5][2]

    run(work)
