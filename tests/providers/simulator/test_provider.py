"""The provider seam: reading, closing, cuts, stalls and deadlines, in process."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from trimtab.errors import UpstreamBroken, UpstreamTimeout
from trimtab.providers.seam import Call, Provider, Reply
from trimtab.providers.simulator import SimulatorProvider

BODY = {"model": "claude-sonnet-4-6", "max_tokens": 500, "messages": [{"role": "user", "content": "Hello"}]}


def call(body: Any = None, **fields: Any) -> Call:
    raw = msgspec.json.encode({**BODY, **fields}) if body is None else body
    headers = [(b"anthropic-version", b"2023-06-01")]
    return Call("POST", "/v1/messages", headers, raw, stream=bool(fields.get("stream")))


def run(provider: Provider, scenario: Callable[[Provider], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        try:
            return await asyncio.wait_for(scenario(provider), 60)
        finally:
            await provider.aclose()

    return asyncio.run(go())


def provider_of(client: Any, **settings: Any) -> Provider:
    return SimulatorProvider("sim", client.simulator, **settings)


async def read_all(reply: Reply) -> bytes:
    parts = []
    while chunk := await reply.read():
        parts.append(chunk)
    return b"".join(parts)


def test_a_call_is_answered_and_marked(client: Any) -> None:
    async def scenario(provider: Provider) -> None:
        reply = await provider.send(call())
        assert reply.status == 200
        assert (b"x-trimtab-simulated", b"true") in reply.headers
        message = msgspec.json.decode(await read_all(reply))
        assert message["type"] == "message"
        assert await reply.read() == b"", "the end stays the end"

    run(provider_of(client), scenario)


def test_it_says_what_it_is(client: Any) -> None:
    provider = provider_of(client)
    assert (provider.name, provider.platform, provider.simulated) == ("sim", "simulator", True)
    assert provider.api_versions == ("2023-06-01", "2026-10-21")


def test_a_streamed_request_body_is_collected_and_bounded(client: Any) -> None:
    async def parts() -> AsyncIterator[bytes]:
        raw = msgspec.json.encode(BODY)
        yield raw[:10]
        yield raw[10:]

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 1024 * 1024

    async def scenario(provider: Provider) -> None:
        assert (await provider.send(call(parts()))).status == 200
        assert (await provider.send(call(endless()))).status == 413

    run(provider_of(client), scenario)


def test_holding_the_provider_is_key_enough(make: Any) -> None:
    async def scenario(provider: Provider) -> None:
        assert (await provider.send(call())).status == 200

    run(provider_of(make(require_key=True)), scenario)


def test_a_cut_is_a_broken_upstream_after_the_bytes_before_it(make: Any) -> None:
    async def scenario(provider: Provider) -> None:
        reply = await provider.send(call(stream=True))
        assert (await reply.read()).startswith(b"event: message_start")
        assert await reply.read()
        for _ in range(2):
            with pytest.raises(UpstreamBroken, match="cut the connection"):
                await reply.read()

    run(provider_of(make("version: 1\nrules: [{reply: {cut: {after_events: 2}}}]")), scenario)


STALL = "version: 1\nrules: [{reply: {stall: {where: after_events, events: 2, seconds: 500}}}]"


def test_closing_from_another_task_ends_a_waiting_read_at_once(make: Any) -> None:
    async def scenario(provider: Provider) -> None:
        reply = await provider.send(call(stream=True))
        await reply.read()
        await reply.read()
        waiting = asyncio.ensure_future(reply.read())
        await asyncio.sleep(0.02)
        started = time.perf_counter()
        reply.close()
        with pytest.raises(UpstreamBroken, match="closed"):
            await waiting
        assert time.perf_counter() - started < 0.1
        reply.close()
        with pytest.raises(UpstreamBroken):
            await reply.read()

    run(provider_of(make(STALL, deadline_s=900)), scenario)


def test_cancelling_a_reader_ends_it_at_once(make: Any) -> None:
    async def scenario(provider: Provider) -> None:
        reply = await provider.send(call(stream=True))
        waiting = asyncio.ensure_future(read_all(reply))
        await asyncio.sleep(0.02)
        started = time.perf_counter()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        reply.close()
        assert time.perf_counter() - started < 0.1

    run(provider_of(make(STALL, deadline_s=900)), scenario)


def test_nothing_is_generated_after_closing(client: Any) -> None:
    async def scenario(provider: Provider) -> None:
        reply = await provider.send(call(stream=True))
        await reply.read()
        steps = reply._steps  # type: ignore[attr-defined]
        reply.close()
        assert reply._steps is not steps  # type: ignore[attr-defined]
        assert list(reply._steps) == []  # type: ignore[attr-defined]

    run(provider_of(client), scenario)


@pytest.mark.parametrize(
    ("stall", "phase"),
    [
        ("{where: before_head, seconds: 500}", "header"),
        ("{where: after_head, seconds: 500}", "first_event"),
        ("{where: after_events, events: 3, seconds: 500}", "idle"),
    ],
)
def test_a_stall_over_the_deadline_times_out_in_its_phase(make: Any, stall: str, phase: str) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def scenario(provider: Provider) -> None:
        with pytest.raises(UpstreamTimeout) as raised:
            await read_all(await provider.send(call(stream=True)))
        assert raised.value.phase == phase

    client = make(f"version: 1\nrules: [{{reply: {{stall: {stall}}}}}]", deadline_s=30)
    run(provider_of(client, sleep=sleep), scenario)
    assert sum(slept) == 30


def test_a_stall_under_the_deadline_goes_on(make: Any) -> None:
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    async def scenario(provider: Provider) -> None:
        body = await read_all(await provider.send(call(stream=True)))
        assert body.endswith(b'data: {"type":"message_stop"}\n\n')

    run(provider_of(make(STALL.replace("500", "5")), sleep=sleep), scenario)


def test_latency_is_slept(make: Any) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def scenario(provider: Provider) -> None:
        await read_all(await provider.send(call(stream=True)))

    run(provider_of(make(latency_scale=1.0), sleep=sleep), scenario)
    assert len(slept) > 10
    assert 0.3 < sum(slept) < 5


def test_streams_without_waits_let_other_tasks_run(client: Any) -> None:
    async def scenario(provider: Provider) -> None:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        await read_all(await provider.send(call(stream=True)))
        task.cancel()
        assert turns > 1

    run(provider_of(client), scenario)


def test_many_calls_at_once_do_not_mix(client: Any) -> None:
    async def scenario(provider: Provider) -> None:
        async def one(number: int) -> None:
            turns = [{"role": "user", "content": f"number {number} here"}]
            body = await read_all(await provider.send(call(messages=turns)))
            assert f"number {number} here".encode() in body

        await asyncio.gather(*[one(number) for number in range(50)])

    run(provider_of(client), scenario)
