"""A gateway as evaluations ask it: whatever goes wrong on the way is told, and nothing raises."""

import asyncio
import json
from pathlib import Path

from serving_harness import ASK, run, site, take_request, upstream

from trimtab.evals import Answer, Gateway, Question
from trimtab.providers.http import Deadlines, HttpClient, Target


def client(port: int) -> HttpClient:
    return HttpClient(Target("http", "127.0.0.1", port), Deadlines(2, 2, 2, 2), tls=None)


async def asked(port: int, key: str | None = None) -> Answer:
    own = client(port)
    try:
        return await Gateway(own, key).ask(Question("/v1/messages", b"{}", (("x-a", "1"),)))
    finally:
        await own.aclose()


def test_an_answer_comes_whole_with_its_headers_and_the_key_goes_out(tmp_path: Path) -> None:
    async def work() -> None:
        heads: list[bytes] = []

        async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heads.append((await take_request(reader))[0])
            writer.write(b"HTTP/1.1 400 Bad\r\nX-Trimtab-Request: r\r\ncontent-length: 2\r\n\r\n{}")

        async with upstream(answering) as config:
            port = int(config.rpartition(":")[2].partition('"')[0])
            answer = await asked(port, "tt-secret")
        assert (answer.status, answer.body, answer.problem) == (400, b"{}", "")
        assert (answer.header("x-trimtab-request"), answer.header("x-none")) == ("r", "")
        assert b"x-api-key: tt-secret\r\n" in heads[0]
        assert b"x-a: 1\r\n" in heads[0]

    run(work)


def test_a_cut_answer_keeps_what_had_come_and_says_that_it_was_cut(tmp_path: Path) -> None:
    async def work() -> None:
        async def cutting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await take_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")

        async with upstream(cutting) as config:
            answer = await asked(int(config.rpartition(":")[2].partition('"')[0]))
        assert (answer.status, answer.body) == (200, b"abc")
        assert answer.problem

    run(work)


def test_nobody_there_is_an_answer_too() -> None:
    async def work() -> None:
        answer = await asked(1)
        assert (answer.status, answer.body) == (0, b"")
        assert "cannot connect to 127.0.0.1:1" in answer.problem

    run(work)


def test_a_real_gateway_is_asked_and_its_record_looked_up(tmp_path: Path) -> None:
    async def work() -> None:
        async with site(tmp_path) as s:
            own = client(s.port)
            try:
                gateway = Gateway(own)
                version = (("anthropic-version", "2023-06-01"),)
                answer = await gateway.ask(Question("/v1/messages", json.dumps(ASK).encode(), version))
                assert (answer.status, answer.header("x-trimtab-simulated")) == (200, "true")
                assert 0 < answer.first_byte_ms <= answer.total_ms
                assert (await gateway.look_up("/healthz")).status == 200
            finally:
                await own.aclose()

    run(work)
