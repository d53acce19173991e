"""Keys that end are renewed before they do; a failed renewal costs nobody anything while the old ones are good."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from trimtab.errors import UpstreamRefused
from trimtab.providers.aws.sigv4 import Keys
from trimtab.providers.renewing import AGAIN_S, LAST_S, RENEW_S, Renewing

HOUR = 3600.0


class World:
    """A clock, and a source of keys that a test lets answer."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked = 0
        self.answer: Keys | Exception | None = None
        self.release = asyncio.Event()
        self.release.set()
        self.source = Renewing(self._fetch, lambda: self.now, of="AWS")

    async def _fetch(self) -> Keys:
        self.asked += 1
        number = self.asked
        await self.release.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or Keys(f"A{number}", "s", None, self.now + HOUR)

    async def settle(self) -> None:
        """Until a renewal that can end has ended."""
        if (task := self.source._task) is not None:
            await asyncio.wait((task,))

    async def name(self) -> str:
        return (await self.source.keys()).access_key


def run(test: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = World()
        try:
            await test(world)
        finally:
            await world.source.aclose()

    asyncio.run(whole())


def test_keys_are_fetched_once_for_all_who_wait_and_then_kept() -> None:
    async def work(world: World) -> None:
        assert world.source.ready() is None
        world.release.clear()
        waiting = [asyncio.create_task(world.name()) for _ in range(20)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait((waiting[0],))
        world.release.set()
        assert await asyncio.gather(*waiting[1:]) == ["A1"] * 19
        world.now += HOUR - RENEW_S - 1
        assert await world.name() == "A1"
        assert world.asked == 1

    run(work)


def test_before_their_end_keys_are_renewed_behind_the_requests_that_use_them() -> None:
    async def work(world: World) -> None:
        assert await world.name() == "A1"
        world.now += HOUR - RENEW_S
        world.release.clear()
        for _ in range(3):
            ready = world.source.ready()
            assert ready is not None
            assert ready.access_key == "A1", "nobody waits"
            await asyncio.sleep(0)
        assert world.asked == 2
        world.release.set()
        await world.settle()
        assert await world.name() == "A2"

    run(work)


def test_short_lived_keys_are_renewed_at_half_their_life() -> None:
    async def work(world: World) -> None:
        world.answer = Keys("A", "s", None, world.now + 600)
        await world.name()
        world.now += 299
        world.source.ready()
        assert world.source._task is None
        world.now += 1
        world.source.ready()
        await world.settle()
        assert world.asked == 2

    run(work)


def test_a_failed_renewal_keeps_the_old_keys_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def work(world: World) -> None:
        await world.name()
        world.answer = UpstreamRefused("STS is away; check it")
        world.now += HOUR - RENEW_S
        with caplog.at_level(logging.WARNING):
            assert await world.name() == "A1"
            await world.settle()
        assert "STS is away; check it; the old ones are used until they end" in caplog.text
        assert await world.name() == "A1"
        await world.settle()
        assert world.asked == 2, "not at every request"
        world.now += AGAIN_S
        world.answer = None
        assert await world.name() == "A1"
        await world.settle()
        assert await world.name() == "A3"

    run(work)


def test_at_the_end_of_the_old_keys_a_renewal_is_tried_at_once_though_the_last_one_just_failed() -> None:
    async def work(world: World) -> None:
        await world.name()
        world.answer = UpstreamRefused("STS is away; check it")
        world.now += HOUR - LAST_S - 1
        assert await world.name() == "A1"
        await world.settle()
        world.answer = None
        world.now += 1
        assert await world.name() == "A3"

    run(work)


def test_when_the_old_keys_have_ended_calls_are_refused_with_the_reason_until_there_are_new_ones() -> None:
    async def work(world: World) -> None:
        await world.name()
        world.answer = UpstreamRefused("STS is away; check it")
        world.now += HOUR
        for _ in range(5):
            with pytest.raises(UpstreamRefused, match="STS is away; check it"):
                await world.name()
        assert world.asked == 2, "a platform without keys is not asked for some at every request"
        world.answer = None
        world.now += 1
        assert await world.name() == "A3"

    run(work)


def test_a_problem_that_nobody_thought_of_refuses_and_does_not_end_renewals() -> None:
    async def work(world: World) -> None:
        world.answer = KeyError("odd")
        with pytest.raises(UpstreamRefused, match="cannot be renewed: 'odd'"):
            await world.name()
        world.answer = None
        world.now += 1
        assert await world.name() == "A2"

    run(work)


def test_keys_that_have_ended_when_they_come_are_refused_and_the_clock_is_named() -> None:
    async def work(world: World) -> None:
        world.answer = Keys("A", "s", None, world.now - 10)
        with pytest.raises(UpstreamRefused, match="set this machine's clock"):
            await world.name()

    run(work)


def test_keys_without_an_end_are_never_renewed() -> None:
    async def work(world: World) -> None:
        world.answer = Keys("A", "s")
        await world.name()
        world.now += 1000 * HOUR
        assert await world.name() == "A"
        assert world.asked == 1

    run(work)


def test_closing_ends_a_renewal_that_is_under_way() -> None:
    async def work(world: World) -> None:
        world.release.clear()
        waiting = asyncio.create_task(world.name())
        await asyncio.sleep(0)
        await world.source.aclose()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    run(work)
