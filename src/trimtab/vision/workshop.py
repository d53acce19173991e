"""Where images are resized: a few processes beside this one, and what they made last.

What it is not: what is to be resized (`fitting`), or how (`resizer`). Invariants: the event loop does nothing but pass
bytes on; the same image in the same size is made once at a time, and is the same bytes whoever makes it; a process that
dies, or takes too long over one image, is ended and another one takes its place.
"""

import asyncio
import hashlib
import json
import logging
import os
import struct
import sys
from collections import OrderedDict
from pathlib import Path

import msgspec

PROCESSES = 2
"""At once; each is begun when it is needed. A screenshot of 3840 x 2160 takes one of them 0.7 to 1.2 s."""

IMAGE_S = 15.0
"""For one image. The largest that is taken, 64 megapixels, needs 3 to 6 s."""

WAIT_S = 60.0
"""For all images of a request together, turns in the queue counted; then the rest goes out as it came."""

MAX_WAITING_BYTES = 256 * 1024 * 1024
"""Base64 that waits for a process, at most: some 50 large photographs, 30 s of work. What comes on top goes out as it
came."""

IDLE_S = 120.0
"""After so long without an image the processes end; another one takes 0.2 s to begin and 25 MB."""

PIECE_BYTES = 128 * 1024
"""Handed to a process at a time. A pipe takes 64 KB; what waits behind it is moved up with each piece that goes."""

MAX_REASON_BYTES = 4096
"""An answer's words; a process that says more is out of order."""

LENGTHS = struct.Struct(">II")
"""Before each request and answer: how long its words are, and its image. The script has its own: it imports nothing."""

_SCRIPT = Path(__file__).with_name("resizer.py")
_log = logging.getLogger("trimtab.vision")


class Resized(msgspec.Struct, frozen=True):
    """What became of one image."""

    media_type: str
    width: int
    height: int
    data: bytes
    """Base64."""
    problem: str = ""
    """Why it stays as it is; then there is nothing else."""


class Size(msgspec.Struct, frozen=True):
    """What an image is to become."""

    width: int
    height: int
    most: int
    """Characters of base64, at most."""


class Workshop:
    """One per process. It belongs to the event loop that first uses it."""

    def __init__(self, cache_bytes: int, waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        self.cache_bytes = cache_bytes
        """A reload may change it."""
        self._made: OrderedDict[tuple[bytes, Size], Resized] = OrderedDict()
        self._held = 0
        self._waiting = 0
        self._most_waiting = waiting_bytes
        self._under_way: dict[tuple[bytes, Size], asyncio.Task[Resized]] = {}
        self._slots: asyncio.Semaphore | None = None
        self._free: list[asyncio.subprocess.Process] = []
        self._resting: asyncio.TimerHandle | None = None
        self._closed = False
        self.resized = 0
        """Images made by the processes."""
        self.again = 0
        """Images that were made before."""
        self.left = 0
        """Images that stay as they are."""

    @property
    def held_bytes(self) -> int:
        """What is kept of images made before."""
        return self._held

    async def resize(self, text: bytes, size: Size) -> Resized:
        """The image, given in base64, in another size. Never raises for the image; it says what the problem is.

        Cost: 1 ms for each megabyte in a thread, and where it was not made lately up to `IMAGE_S` in a process.
        """
        digest = await asyncio.to_thread(_digest, text)
        key = (digest, size)
        if (made := self._made.get(key)) is not None:
            self._made.move_to_end(key)
            self.again += 1
            return made
        task = self._under_way.get(key)
        if task is None:
            if self._waiting + len(text) > self._most_waiting:
                self.left += 1
                return _failed("too many images wait to be resized")
            self._waiting += len(text)
            task = self._under_way[key] = asyncio.create_task(self._make(text, size))
            task.add_done_callback(lambda done: self._finish(key, done, len(text)))
        return await asyncio.shield(task)

    def _finish(self, key: tuple[bytes, Size], task: "asyncio.Task[Resized]", size: int) -> None:
        self._under_way.pop(key, None)
        self._waiting -= size
        if task.cancelled() or task.exception() is not None:
            return
        made = task.result()
        if made.problem or len(made.data) > self.cache_bytes:
            return
        self._made[key] = made
        self._held += len(made.data)
        while self._held > self.cache_bytes:
            _, old = self._made.popitem(last=False)
            self._held -= len(old.data)

    async def _make(self, text: bytes, size: Size) -> Resized:
        if self._slots is None:
            self._slots = asyncio.Semaphore(PROCESSES)
        async with self._slots:
            if self._resting is not None:
                self._resting.cancel()
            try:
                return await self._made_by_process(text, size)
            finally:
                self._resting = asyncio.get_running_loop().call_later(IDLE_S, self._rest)

    async def _made_by_process(self, text: bytes, size: Size) -> Resized:
        process = self._free.pop() if self._free else None
        if process is not None and process.returncode is not None:
            process = None
        problem = "the process that resizes images cannot be begun"
        try:
            if process is None:
                process = await _begun()
            problem = "the process that resizes images ended over it"
            async with asyncio.timeout(IMAGE_S):
                made = await _asked(process, text, size)
            if not self._closed:
                self._free.append(process)
                process = None
        except TimeoutError:
            made = _failed(f"it took longer than {IMAGE_S:g} s")
        except (OSError, EOFError, ValueError) as broken:
            _log.warning("%s: %s", problem, broken or type(broken).__name__)
            made = _failed(problem)
        finally:
            if process is not None:
                await _ended(process)
        self.resized += not made.problem
        self.left += bool(made.problem)
        return made

    def _rest(self) -> None:
        """Nobody has needed the processes for a while."""
        for process in self._free:
            if process.stdin is not None:
                process.stdin.close()
        self._free.clear()

    async def aclose(self) -> None:
        """End the processes."""
        self._closed = True
        if self._resting is not None:
            self._resting.cancel()
        for task in list(self._under_way.values()):
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        for process in self._free:
            await _ended(process)
        self._free.clear()


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=24).digest()


def _failed(problem: str) -> Resized:
    return Resized("", 0, 0, b"", problem)


async def _begun() -> asyncio.subprocess.Process:
    """A process that holds nothing of ours: no secret of the environment, no open file."""
    kept = {
        name: os.environ[name] for name in ("PYTHONPATH", "PATH", "LD_LIBRARY_PATH") if name in os.environ
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # modules beside the script are not among those that it may import
        "-B",
        str(_SCRIPT),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=PIECE_BYTES,
        env=kept,
        start_new_session=True,  # Ctrl-C is for this process, which ends it
    )


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        try:
            process.kill()
        except ProcessLookupError:
            pass
    await process.wait()
    if process.stdin is not None:
        process.stdin.close()


async def _asked(process: asyncio.subprocess.Process, text: bytes, size: Size) -> Resized:
    assert process.stdin is not None
    assert process.stdout is not None
    words = json.dumps({"width": size.width, "height": size.height, "most": size.most}).encode()
    process.stdin.write(LENGTHS.pack(len(words), len(text)) + words)
    for at in range(0, len(text), PIECE_BYTES):
        process.stdin.write(text[at : at + PIECE_BYTES])
        await process.stdin.drain()
    said, made = LENGTHS.unpack(await process.stdout.readexactly(LENGTHS.size))
    if said > MAX_REASON_BYTES or made > size.most:
        raise ValueError(f"it says {said} and {made} bytes follow")
    told = json.loads(await process.stdout.readexactly(said))
    data = await process.stdout.readexactly(made)
    if "error" in told:
        return _failed(str(told["error"]))
    return Resized(str(told["media_type"]), int(told["width"]), int(told["height"]), data)
