"""What images cost the gateway: to find and measure them, and to resize them beside the event loop.

    python benchmarks/images.py [--smoke]

First `engine.bounds.input_size` on bodies with PNGs, in processor time of the thread, best of 9 rounds, beside the
reading of the same body, which every request pays. The bar is 1 ms for one image of 1 MB.

Then, where Pillow is installed, conversations that send screenshots of 3840 x 2160 with `fit`, new ones and then the
same again, while a task of the same loop asks every millisecond how late it is woken. On a machine with two cores the
processes that resize take turns with the loop, so the lag is measured beside as many processes that only count, too.
"""

import argparse
import asyncio
import base64
import functools
import importlib.util
import json
import multiprocessing
import random
import statistics
import struct
import sys
import time
import zlib
from collections.abc import Awaitable, Callable

import uvloop

from trimtab.catalogue import Catalogue
from trimtab.engine.bounds import input_size
from trimtab.messages import MessagesBody
from trimtab.vision import Images, ImageSettings, Workshop
from trimtab.vision.workshop import PROCESSES

ROUNDS = 9
BAR_MS = 1.0
MIB = 1024 * 1024
CATALOGUE = Catalogue.load()
MODEL = CATALOGUE.find("claude-opus-4-7")


def screenshot(seed: int, width: int = 3840, height: int = 2160) -> bytes:
    """A PNG with the look of a screen: plain areas, and lines of something like text."""
    noise = random.Random(seed)
    plain = bytes([0]) + bytes([240, 240, 245]) * width
    rows = []
    for y in range(height):
        if y % 24 < 12:
            words = noise.randbytes(width // 8)
            rows.append(bytes([0]) + b"".join(bytes([byte]) * 24 for byte in words[: width // 8]))
        else:
            rows.append(plain)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(rows), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def body(images: list[bytes]) -> bytes:
    """A conversation in which each image is the result of a tool."""
    blocks = [
        {
            "type": "tool_result",
            "tool_use_id": f"toolu_{number}",
            "content": [
                {
                    "type": "image",
                    "source": {
                        "type": "base64",
                        "media_type": "image/png",
                        "data": base64.b64encode(image).decode(),
                    },
                }
            ],
        }
        for number, image in enumerate(images)
    ]
    messages = [{"role": "user", "content": [block]} for block in blocks]
    return json.dumps({"model": "claude-opus-4-7", "max_tokens": 1024, "messages": messages}).encode()


def best_ms(work: Callable[[], object]) -> float:
    """Processor time of the thread, best of the rounds."""
    times = []
    for _ in range(ROUNDS):
        before = time.thread_time()
        work()
        times.append(time.thread_time() - before)
    return min(times) * 1000


def measuring() -> bool:
    """Print what finding and measuring costs; whether the bar is met."""
    assert MODEL is not None
    met = True
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 3840, 2160) + b"\x08\x02\0\0\0"
    for name, count, size in (
        ("1 image of 100 KB", 1, 75_000),
        ("1 of 1 MB", 1, 750_000),
        ("20 of 1 MB", 20, 750_000),
    ):
        raw = body([head + random.Random(number).randbytes(size) for number in range(count)])
        asked = MessagesBody(raw)
        found = input_size(asked, MODEL)
        assert (found.images, found.unknown) == (count, 0)
        read = best_ms(functools.partial(MessagesBody, raw))
        sized = best_ms(functools.partial(input_size, asked, MODEL))
        print(f"  {name:18} read {read:7.3f} ms, found and measured {sized:7.3f} ms")
        met = met and (count > 1 or sized <= BAR_MS)
    return met


async def lag_ms(work: Awaitable[object]) -> tuple[float, float, float]:
    """How late this loop is woken while something goes on: median, 99th percentile, worst."""
    late: list[float] = []
    task = asyncio.ensure_future(work)
    while not task.done():
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append((time.perf_counter() - before - 0.001) * 1000)
    await task
    late.sort()
    return statistics.median(late), late[int(len(late) * 0.99)], late[-1]


def count_on() -> None:
    """Keep a core busy."""
    while True:
        sum(range(10_000))


async def beside_counting(seconds: float) -> tuple[float, float, float]:
    """The lag beside as many processes that only count."""
    counting = [multiprocessing.get_context("spawn").Process(target=count_on) for _ in range(PROCESSES)]
    for process in counting:
        process.start()
    try:
        await asyncio.sleep(1)
        return await lag_ms(asyncio.sleep(seconds))
    finally:
        for process in counting:
            process.kill()
            process.join()


async def resizing(conversations: int, screens: int, *, beside: bool = True) -> None:
    """Print what resizing costs, and the loop's lag meanwhile."""
    assert MODEL is not None
    workshop = Workshop(512 * MIB)
    images = Images(ImageSettings(policy="fit"), workshop, CATALOGUE.platforms)
    asked = [
        MessagesBody(body([screenshot(100 * one + number) for number in range(screens)]))
        for one in range(conversations)
    ]

    async def turn() -> None:
        await asyncio.gather(*[images.prepare(one, {}, MODEL, ["anthropic"], None, "") for one in asked])

    try:
        for name in ("new", "again"):
            before, cpu = time.perf_counter(), time.process_time()
            median, high, worst = await lag_ms(turn())
            took, cpu = time.perf_counter() - before, time.process_time() - cpu
            count = conversations * screens
            print(
                f"  {count} screens {name:5}: {took * 1000 / count:7.1f} ms each, {cpu * 1000 / count:6.2f} ms of this "
                f"process; lag {median:.2f} ms median, {high:.1f} p99, {worst:.1f} worst"
            )
    finally:
        await workshop.aclose()
    if not beside:
        return
    median, high, worst = await beside_counting(3)
    print(
        f"  beside {PROCESSES} processes that count: lag {median:.2f} ms median, {high:.1f} p99, {worst:.1f} worst"
    )


def main() -> int:
    """Run both; 1 where the bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few images only")
    smoke = parser.parse_args().smoke
    print("finding and measuring")
    met = measuring()
    if importlib.util.find_spec("PIL") is None:
        print("resizing: not measured, Pillow is not installed")
    else:
        print("resizing 3840 x 2160 to 2576 x 1449")
        uvloop.run(resizing(1, 2, beside=False) if smoke else resizing(4, 5))
    print(f"bar {BAR_MS:g} ms for an image of 1 MB: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
