"""Another configuration comes into force while requests are in flight."""

import asyncio
import json
from pathlib import Path

from serving_harness import (
    ASK,
    EVENTS,
    SSE_HEAD,
    VERSION,
    Site,
    chunk,
    head,
    one_answer,
    parsed,
    run,
    site,
    take_request,
    upstream,
)

from trimtab.app import load_settings
from trimtab.app.assemble import build


def put_in_force(s: Site, folder: Path, old: str, new: str) -> str:
    """Change the file and take it over, as a reload does. Gives the version."""
    file = folder / "trimtab.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    settings = load_settings(file, listen="127.0.0.1:0")
    s.application.put_in_force(build(settings, s.application.parts))
    return settings.document.version


def test_a_stream_keeps_its_platform_and_record_and_the_old_connections_close_after_the_last_one(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        release, begun, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await take_request(reader)
            writer.write(SSE_HEAD + chunk(EVENTS[0]))
            begun.set()
            await release.wait()
            writer.write(chunk(b"".join(EVENTS[1:])) + b"0\r\n\r\n")
            assert await reader.read() == b""  # kept open for the next request, until the pool is closed
            closed.set()

        async with upstream(waiting) as platform:
            config = "[server]\n" + platform
            async with site(tmp_path, config) as s:
                first = s.application.settings.document.version
                streaming = asyncio.create_task(s.post({**ASK, "stream": True}))
                await begun.wait()
                simulated = '[platforms.sim]\nkind = "simulator"\nlatency_scale = 0.0\n'
                second = put_in_force(s, tmp_path, platform, simulated)
                assert second != first
                status, headers, _ = await s.post(ASK)
                assert (status, headers["x-trimtab-platform"]) == (200, "sim")
                later = headers["x-trimtab-request"]
                assert json.loads((await s.get("/readyz"))[2])["config"] == second
                assert json.loads((await s.get("/"))[2])["config"] == second
                assert not closed.is_set()
                release.set()
                status, headers, body = await streaming
                assert (status, body) == (200, b"".join(EVENTS))
                assert headers["x-trimtab-platform"] == "claude"
                async with asyncio.timeout(60):
                    await closed.wait()
                assert (await s.record(headers["x-trimtab-request"]))["config_version"] == first
                assert (await s.record(later))["config_version"] == second
                text = (await s.get("/metrics"))[2].decode()
                assert f'version="{second}"' in text
                assert f'version="{first}"' not in text

    run(work)


def test_a_kept_connection_has_the_limits_in_force_with_its_next_request(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path, "[server]\nmax_body_bytes = 1000\nmax_header_bytes = 4096\n") as s:
            reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
            large = json.dumps({**ASK, "metadata": {"user_id": "u" * 2000}}).encode()

            async def ask(headers: bytes = b"") -> int:
                writer.write(head("POST", "/v1/messages", VERSION + headers, len(small)) + small)
                return parsed(await one_answer(reader))[0]

            small = json.dumps(ASK).encode()
            assert await ask() == 200
            put_in_force(s, tmp_path, "max_body_bytes = 1000", "max_body_bytes = 100000")
            small = large
            assert await ask() == 200
            put_in_force(s, tmp_path, "max_header_bytes = 4096", "max_header_bytes = 300")
            assert await ask(b"x-filler: %b\r\n" % (b"f" * 400)) == 431
            writer.close()

    run(work)


def test_one_that_leaves_answers_what_open_connections_bring_and_closes_each(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            body = json.dumps(ASK).encode()
            request = head("POST", "/v1/messages", VERSION, len(body)) + body
            reader, writer = await asyncio.open_connection("127.0.0.1", s.port)
            writer.write(request)
            status, headers, _ = parsed(await one_answer(reader))
            assert status == 200
            assert "connection" not in headers
            s.application.server.leave()
            try:
                await asyncio.open_connection("127.0.0.1", s.port)
            except ConnectionRefusedError:
                pass
            else:
                raise AssertionError("new connections belong to others at once")
            writer.write(request)
            status, headers, _ = parsed(await one_answer(reader))
            assert (status, headers["connection"]) == (200, "close")
            assert await reader.read() == b""
            writer.close()

    run(work)
