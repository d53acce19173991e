"""Images and coordinates through a real server: what the platform gets, what the client gets back, what is on record."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pictures import b64, image, png, real_png
from serving_harness import SSE_HEAD, VERSION, chunk, event, run, site, take_request, upstream
from test_chat import ANSWER as CHAT_ANSWER
from test_chat import OVERLAY, Server, whole
from test_chat import PATH as CHAT

from trimtab.catalogue import image_tokens, resize_for
from trimtab.messages.chat import chat_image_blocks

OPUS = "claude-opus-4-7"
BIG = real_png(3000, 2000)
TOOL = {"type": "computer_20251124", "name": "computer", "display_width_px": 3000, "display_height_px": 2000}
CLICK = {
    "type": "tool_use",
    "id": "t2",
    "name": "computer",
    "input": {"action": "left_click", "coordinate": [1184, 790]},
}
ANSWER = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [CLICK], "stop_reason": "tool_use", "usage": {"input_tokens": 5, "output_tokens": 1}}  # fmt: skip
GO = {"role": "user", "content": "go"}
LOOK = {
    "role": "assistant",
    "content": [{"type": "tool_use", "id": "t1", "name": "computer", "input": {"action": "screenshot"}}],
}
SCREEN = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [image(BIG)]}]}


class Platform:
    """Keeps the bodies that it is sent, and clicks."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.heads: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await take_request(reader)
            self.heads.append(head.lower())
            self.bodies.append(body)
            if json.loads(body).get("stream"):
                writer.write(SSE_HEAD + b"".join(chunk(part) for part in self.events()) + b"0\r\n\r\n")
                continue
            answer = json.dumps(ANSWER).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                % len(answer)
            )
            writer.write(answer)

    def events(self) -> list[bytes]:
        text = json.dumps(CLICK["input"])
        return [
            event("message_start", message={"id": "m", "model": "m", "content": [], "usage": {"input_tokens": 9, "output_tokens": 1}}),
            event("content_block_start", index=0, content_block={**CLICK, "input": {}}),
            *(event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": text[at : at + 9]}) for at in range(0, len(text), 9)),
            event("content_block_stop", index=0),
            event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 5}),
            event("message_stop"),
        ]  # fmt: skip


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setenv("TEST_KEY", "k")
    return Platform()


def ask(*turns: object, **more: Any) -> dict[str, Any]:
    return {"model": OPUS, "max_tokens": 64, "messages": list(turns), **more}


def test_the_tokens_of_images_are_on_record_before_the_platform_counts_them(
    tmp_path: Path, platform: Platform
) -> None:
    async def work() -> None:
        async with upstream(platform) as config, site(tmp_path, config) as s:
            asked = json.dumps(
                ask({"role": "user", "content": [image(png(3840, 2160)), image(png(1092, 1092))]})
            ).encode()
            status, headers, _ = await s.post(asked)
            assert status == 200
            assert platform.bodies == [asked]
            assert "x-trimtab-image-tokens" not in headers
            record = await s.record(headers["x-trimtab-request"])
            assert record["observations"] == ["images: 2, 6305 tokens"]

    run(work)


def test_exact_refuses_with_words_that_help_and_nothing_is_sent(tmp_path: Path, platform: Platform) -> None:
    async def work() -> None:
        config_of = '\n[images]\npolicy = "exact"\n'
        async with upstream(platform) as config, site(tmp_path, config + config_of) as s:
            large = ask({"role": "user", "content": [image(png(3840, 2160))]})
            status, headers, body = await s.post(large)
            assert status == 400
            said = json.loads(body)["error"]["message"]
            assert "messages.0.content.0: this image has 3840x2160 pixels" in said
            assert "2576x1449" in said
            assert platform.bodies == []
            assert (await s.record(headers["x-trimtab-request"]))["cost_nanousd"] == 0
            status, headers, _ = await s.post(large, headers=VERSION + b"x-trimtab-images: as_sent\r\n")
            assert (status, headers["x-trimtab-image-tokens"]) == (200, "4784")

    run(work)


def test_a_route_may_be_exact_where_others_are_not(tmp_path: Path, platform: Platform) -> None:
    async def work() -> None:
        routes = '\n[routes.pixels]\ntier = "escalation"\n[images.routes.pixels]\npolicy = "exact"\n'
        async with upstream(platform) as config, site(tmp_path, config + routes) as s:
            asked = ask({"role": "user", "content": [image(png(3840, 2160))]})
            status, _, _ = await s.post(asked)
            assert status == 200
            status, _, body = await s.post({**asked, "model": "trimtab/pixels"})
            assert (status, len(platform.bodies)) == (400, 1)
            assert "are to be exact" in json.loads(body)["error"]["message"]

    run(work)


def test_a_conversation_that_sends_its_screens_again_keeps_its_cached_prefix_over_servers(
    tmp_path: Path, platform: Platform
) -> None:
    pytest.importorskip("PIL", reason="the extra vision is not installed")
    again = {"role": "assistant", "content": [{**LOOK["content"][0], "id": "t9"}]}
    last = {"role": "user", "content": [{**SCREEN["content"][0], "tool_use_id": "t9"}]}

    async def work() -> None:
        async with upstream(platform) as config:
            for turns in ([GO, LOOK, SCREEN], [GO, LOOK, SCREEN, again, last]):
                async with site(tmp_path, config + '\n[images]\npolicy = "fit"\n') as s:
                    status, headers, _ = await s.post(ask(*turns, tools=[TOOL]))
                    assert status == 200
                    record = await s.record(headers["x-trimtab-request"])
                    assert headers["x-trimtab-adaptations"].split(", ") == record["adaptations"]
        first, second = platform.bodies
        wide, high = resize_for(3000, 2000, "high")
        assert record["adaptations"] == [
            f"messages.2.content.0.content.0.source 3000x2000->{wide}x{high}",
            f"messages.4.content.0.content.0.source 3000x2000->{wide}x{high}",
            f"tools.0.display 3000x2000->{wide}x{high}",
        ]
        assert headers["x-trimtab-image-tokens"] == str(2 * image_tokens(3000, 2000, "high"))
        assert second.startswith(first[: first.rindex(b'], "tools"')])
        sent = json.loads(first)["messages"][2]["content"][0]["content"][0]["source"]
        assert sent["media_type"] == "image/png"

    run(work)


@pytest.mark.parametrize("stream", [False, True])
def test_a_click_reaches_the_client_where_it_means_it_and_the_model_as_it_said_it(
    tmp_path: Path, platform: Platform, stream: bool
) -> None:
    pytest.importorskip("PIL", reason="the extra vision is not installed")

    async def work() -> None:
        maps = b"x-trimtab-images: fit\r\nx-trimtab-coordinates: map_back\r\naccept-encoding: gzip\r\n"
        async with upstream(platform) as config, site(tmp_path, config) as s:
            asked = ask(GO, LOOK, SCREEN, tools=[TOOL], stream=stream)
            status, headers, body = await s.post(asked, headers=VERSION + maps)
            assert status == 200
            assert "coordinates=map_back" in headers["x-trimtab-adaptations"]
            assert b"gzip" not in platform.heads[0]
            sent = json.loads(platform.bodies[0])["tools"][0]
            wide, high = sent["display_width_px"], sent["display_height_px"]
            meant = [round(1184 * 3000 / wide), round(790 * 2000 / high)]
            if stream:
                events = platform.events()
                assert body.startswith(events[0] + events[1])
                assert body.endswith(b"".join(events[-3:]))
                (delta,) = (
                    body[len(events[0] + events[1]) : -len(b"".join(events[-3:]))].strip().split(b"\n\n")
                )
                click = json.loads(json.loads(delta.split(b"data: ")[1])["delta"]["partial_json"])
            else:
                click = json.loads(body)["content"][0]["input"]
                assert body == json.dumps(ANSWER).encode().replace(b"[1184, 790]", json.dumps(meant).encode())
            assert click == {"action": "left_click", "coordinate": meant}
            told = {"role": "assistant", "content": [{**CLICK, "input": click}]}
            await s.post(ask(GO, LOOK, SCREEN, told, tools=[TOOL]), headers=VERSION + maps)
            assert json.loads(platform.bodies[1])["messages"][3]["content"][0] == CLICK

    run(work)


def test_images_of_chat_requests_are_measured_resized_and_refused_as_those_of_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "k")
    (tmp_path / "models.yaml").write_text(OVERLAY)
    url = f"data:image/png;base64,{b64(BIG)}"
    parts = [{"type": "text", "text": "é"}, {"type": "image_url", "image_url": {"url": url}}]
    asked = {"model": OPUS, "max_tokens": 50, "messages": [{"role": "user", "content": parts}]}
    server = Server(whole(CHAT_ANSWER))

    async def work() -> None:
        async with upstream(server) as entry:
            models = 'models = {"claude-opus-4-7" = "opus", "qwen3-32b" = "Qwen"}\n'
            entry = entry.replace('"anthropic"', '"openai"') + models
            async with site(tmp_path, f'[catalogue]\noverlay = "models.yaml"\n{entry}') as s:

                async def ask(own: str = "", **fields: Any) -> tuple[int, dict[str, str], Any, Any]:
                    headers = f"x-trimtab-images: {own}\r\n".encode() if own else b""
                    status, named, body = await s.post({**asked, **fields}, headers=headers, path=CHAT)
                    record = await s.record(named["x-trimtab-request"])
                    return status, named, json.loads(body), record

                status, named, _, record = await ask()
                assert status == 200
                assert json.loads(server.body)["messages"][0]["content"][1] == parts[1]
                as_seen = image_tokens(*resize_for(3000, 2000, "high"), "high")
                assert f"images: 1, {as_seen} tokens" in record["observations"]
                held = record["attempts"][0]["reserved_nanousd"]
                words = len(server.body) - len(b64(BIG)) + 2_020
                assert held <= (as_seen + words) * 10_000 + 50 * 25_000, "its base64 is not taken for text"

                status, named, _, record = await ask("fit")
                (block,) = chat_image_blocks(server.body)
                assert block.head is not None
                assert (block.head.width, block.head.height) == resize_for(3000, 2000, "high")
                assert named["x-trimtab-image-tokens"] == str(as_seen)
                assert "messages.0.content.1.image_url 3000x2000->" in named["x-trimtab-adaptations"]

                status, _, body, _ = await ask("exact")
                assert (status, body["error"]["type"]) == (400, "invalid_request_error")
                assert "messages.0.content.1: this image has 3000x2000 pixels" in body["error"]["message"]

                status, named, _, record = await ask(model="qwen3-32b")
                assert status == 200
                assert record["observations"] == [
                    "images: 1; what they cost on qwen3-32b is not in the catalogue: held for its whole context"
                ]

    run(work)
