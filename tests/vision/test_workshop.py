"""Images are resized beside the server: once, into the same bytes everywhere, and never at its expense."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable

import pytest
from pictures import b64, real_png

pytest.importorskip("PIL", reason="the extra vision is not installed")

from trimtab.messages.images import image_head
from trimtab.vision.workshop import MAX_WAITING_BYTES, Size, Workshop

MIB = 1024 * 1024
SMALL = Size(150, 100, MIB)
TEXT = b64(real_png(300, 200)).encode()


def within(work: Callable[[Workshop], Awaitable[None]], *, waiting_bytes: int = MAX_WAITING_BYTES) -> None:
    async def run() -> None:
        workshop = Workshop(MIB, waiting_bytes)
        try:
            async with asyncio.timeout(60):
                await work(workshop)
        finally:
            await workshop.aclose()

    asyncio.run(run())


def children() -> set[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return {int(pid) for pid in file.read().split()}


def environment(pid: int) -> bytes:
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read()


def test_an_image_is_made_once_and_is_the_same_bytes_in_every_process() -> None:
    made: list[bytes] = []

    async def work(workshop: Workshop) -> None:
        first, beside = await asyncio.gather(workshop.resize(TEXT, SMALL), workshop.resize(TEXT, SMALL))
        again = await workshop.resize(TEXT, SMALL)
        assert first is beside
        assert first is again
        assert (first.media_type, first.width, first.height) == ("image/png", 150, 100)
        head = image_head(first.data)
        assert head is not None
        assert (head.width, head.height) == (150, 100)
        assert (workshop.resized, workshop.again) == (1, 1)
        made.append(first.data)

    within(work)
    within(work)  # another process
    assert made[0] == made[1]


def test_what_is_kept_is_bounded_and_what_went_is_made_again_into_the_same() -> None:
    async def work(workshop: Workshop) -> None:
        first = await workshop.resize(TEXT, SMALL)
        workshop.cache_bytes = int(len(first.data) * 2.5)
        for side in (101, 102, 103, 104):
            await workshop.resize(TEXT, Size(side, side * 2 // 3, MIB))
            assert workshop.held_bytes <= workshop.cache_bytes
        before = workshop.resized
        assert (await workshop.resize(TEXT, SMALL)).data == first.data
        assert workshop.resized == before + 1

    within(work)


def test_a_process_that_dies_costs_one_image_and_nothing_else() -> None:
    async def work(workshop: Workshop) -> None:
        ours = children()
        await workshop.resize(TEXT, SMALL)
        (pid,) = children() - ours
        os.kill(pid, 9)
        while True:
            made = await workshop.resize(TEXT, Size(60, 40, MIB))
            if not made.problem:  # it may have been noticed before, or over this image
                break
            assert "ended over it" in made.problem
        assert made.width == 60

    within(work)


def test_broken_images_are_answered_and_not_kept() -> None:
    async def work(workshop: Workshop) -> None:
        broken = b64(real_png(300, 200)[:200]).encode()
        for _ in range(2):
            assert "cannot be decoded" in (await workshop.resize(broken, SMALL)).problem
        assert workshop.held_bytes == 0
        assert not (await workshop.resize(TEXT, SMALL)).problem

    within(work)


def test_more_than_can_wait_goes_out_as_it_came_and_is_counted() -> None:
    async def work(workshop: Workshop) -> None:
        beside = asyncio.gather(workshop.resize(TEXT, SMALL), workshop.resize(TEXT, Size(60, 40, MIB)))
        assert sorted(bool(made.problem) for made in await beside) == [False, True]
        assert workshop.left == 1
        assert not (await workshop.resize(TEXT, Size(60, 40, MIB))).problem

    within(work, waiting_bytes=len(TEXT) + 1)


def test_no_process_of_it_is_left_and_none_knows_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    ours = children()

    async def work(workshop: Workshop) -> None:
        await workshop.resize(TEXT, SMALL)
        for pid in children() - ours:
            assert b"sk-secret" not in environment(pid)

    within(work)
    assert children() <= ours


def test_the_loop_goes_on_while_images_are_resized() -> None:
    async def work(workshop: Workshop) -> None:
        noise = real_png(2500, 2000) + random.Random(1).randbytes(4 * MIB)  # the tail is read and ignored
        resizing = asyncio.create_task(workshop.resize(b64(noise).encode(), Size(1250, 1000, 8 * MIB)))
        turns = 0
        while not resizing.done():
            turns += 1
            await asyncio.sleep(0.001)
        assert not resizing.result().problem
        assert turns > 20  # a loop that waits for the image turns twice

    within(work)
