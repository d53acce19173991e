"""Answers, errors of the platform, vendor paths and our own, over real sockets."""

import asyncio
import json
import socket
from pathlib import Path

import msgspec
from serving_harness import ASK, LIMITS, VERSION, run, site, upstream

from trimtab.messages import StreamValidator


def test_an_answer_is_priced_recorded_and_found_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            status, headers, body = await s.post(ASK)
            assert status == 200
            assert json.loads(body)["content"][0]["text"].endswith("4")
            assert headers["x-trimtab-simulated"] == "true"
            assert headers["x-trimtab-arm"] == "claude-sonnet-4-6"
            record = await s.record(headers["x-trimtab-request"])
            assert record["cost_usd"] == headers["x-trimtab-cost-usd"]
            assert record["simulated"] is True
            assert record["plan"]["tier"] == "default"
            assert float(s.held) == 0
            status, headers, body = await s.post({**ASK, "stream": True})
            validator = StreamValidator()
            validator.feed(body)
            assert validator.finish() == []
            assert (await s.record(headers["x-trimtab-request"]))["stream"] is True

    run(work)


def test_vendor_paths_that_bill_nothing_pass_through_both_ways(tmp_path: Path) -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def files(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            got = await reader.readuntil(b"\r\n\r\n")
            length = (
                int(got.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                if b"content-length" in got
                else 0
            )
            seen.append((got, await reader.readexactly(length)))
            writer.write(
                b"HTTP/1.1 201 Created\r\ncontent-length: 5\r\nset-cookie: a=b\r\nx-vendor: 1\r\n\r\nfiled"
            )

    async def work() -> None:
        async with upstream(files) as platform, site(tmp_path, LIMITS + platform) as s:
            upload = b"z" * 3_000_000  # over the limit for Messages: this path streams
            extra = (
                b"anthropic-beta: files-api-2025-04-14\r\nx-api-key: mine\r\nauthorization: Bearer mine\r\n"
            )
            status, headers, body = await s.post(upload, "/v1/files?purpose=a%20b", VERSION + extra)
            assert (status, body, headers["x-vendor"]) == (201, b"filed", "1")
            assert "set-cookie" not in headers
            assert seen[0][1] == upload
            assert seen[0][0].startswith(b"POST /v1/files?purpose=a%20b HTTP/1.1\r\n")
            assert b"anthropic-beta: files-api-2025-04-14" in seen[0][0]
            assert b"mine" not in seen[0][0]
            assert b"upstream-secret" in seen[0][0]
            assert (await s.get("/v1/files/file_1/content"))[0] == 201
            assert s.application.store.totals(0).requests == 0

    run(work)


def test_the_platform_away_is_a_502_that_clients_may_retry(tmp_path: Path) -> None:
    async def work() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            platform = f'[platforms.claude]\nkind = "anthropic"\napi_key = "env:TEST_KEY"\nbase_url = "http://127.0.0.1:{port}"\n'
            async with site(tmp_path, platform) as s:
                status, headers, body = await s.post(ASK)
                assert status == 502
                assert headers["x-should-retry"] == "true"
                assert "cannot connect to 127.0.0.1" in json.loads(body)["error"]["message"]
                record = await s.record(headers["x-trimtab-request"])
                assert (record["result"], record["cost_usd"]) == ("error", "0.000000000")

    run(work)


def test_errors_of_the_platform_and_their_headers_pass_unchanged(tmp_path: Path) -> None:
    script = """
version: 1
rules:
  - match: {contains: overload}
    reply: {error: {status: 529, type: overloaded_error, message: Overloaded}}
  - match: {contains: slow down}
    reply: {error: {status: 429, type: rate_limit_error, message: Slow down, retry_after_s: 7}}
"""

    async def work() -> None:
        async with site(tmp_path, script=script) as s:
            status, headers, body = await s.post(
                {**ASK, "messages": [{"role": "user", "content": "overload"}]}
            )
            assert (status, json.loads(body)["error"]["type"]) == (529, "overloaded_error")
            status, headers, body = await s.post(
                {**ASK, "messages": [{"role": "user", "content": "slow down"}]}
            )
            assert (status, headers["retry-after"]) == (429, "7")
            assert headers["request-id"].startswith("req_")
            assert headers["x-trimtab-cost-usd"] == "0.000000000"

    run(work)


def test_ten_thousand_content_blocks_pass(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            blocks = [{"type": "text", "text": f"part {n}"} for n in range(10_000)]
            status, _, body = await s.post({**ASK, "messages": [{"role": "user", "content": blocks}]})
            assert status == 200, body

    run(work)


def test_models_are_listed_page_by_page_in_the_vendors_shape(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            ids: list[str] = []
            query = "limit=7"
            while True:
                page = json.loads((await s.get(f"/v1/models?{query}"))[2])
                ids += [entry["id"] for entry in page["data"]]
                if not page["has_more"]:
                    break
                query = f"limit=7&after_id={page['last_id']}"
            assert ids[:5] == [
                "trimtab/auto",
                "trimtab/default",
                "trimtab/escalation",
                "trimtab/control",
                "trimtab/fast",
            ]
            assert "claude-opus-4-7" in ids
            assert len(ids) == len(set(ids))
            assert "claude-3-5-haiku-20241022" not in ids  # retired
            back = json.loads((await s.get(f"/v1/models?limit=3&before_id={ids[6]}"))[2])
            assert [entry["id"] for entry in back["data"]] == ids[3:6]
            assert back["has_more"] is True
            one = json.loads((await s.get("/v1/models/trimtab%2Ffast"))[2])
            assert one["id"] == "trimtab/fast"
            assert (
                json.loads((await s.get("/v1/models/claude-opus-4-5"))[2])["id"] == "claude-opus-4-5-20251101"
            )

    run(work)


def test_metrics_and_the_front_page_answer(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            await s.post(ASK)
            text = (await s.get("/metrics"))[2].decode()
            assert (
                'trimtab_requests_total{endpoint="messages",model="claude-sonnet-4-6",platform="sim",result="ok",simulated="true"} 1.0'
                in text
            )
            assert "trimtab_records_queued" in text
            assert "trimtab_in_flight_requests 0.0" in text
            assert json.loads((await s.get("/"))[2])["name"] == "trimtab"
            assert msgspec.json.decode((await s.get("/openapi.json"))[2])["openapi"] == "3.1.0"

    run(work)
