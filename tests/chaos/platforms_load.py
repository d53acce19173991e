"""Callers who read what they get: over raw HTTP/1.1 on many connections, and programs on the vendor's SDK.

What it is not: a caller who tries again: each request counts, and none of the SDK's own retries helps.
"""

import asyncio
import itertools
import json
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import uvloop
from drive import Key
from platforms_answers import Said, Verdict, events_of, read_stream, read_whole
from platforms_framing import mark
from sdk_programs import E2E

ANSWER_S = 60.0
PROGRAM = Path(__file__).with_name("programs") / "platform_callers.py"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Group:
    """So many callers of one kind."""

    kind: str
    key: Key
    count: int
    stream: bool
    pause_s: float = 0.8
    """Between a whole answer and the next request, on average."""
    leaves_s: float = 0.0
    """Callers that go away, at most so long after they asked; 0: they wait."""


class Callers:
    """All groups, on an event loop in a thread of its own."""

    def __init__(self, port: int, groups: Iterable[Group], *, seed: int = 0) -> None:
        self.said: list[Said] = []
        self._port = port
        self._groups = list(groups)
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()))

    def __enter__(self) -> "Callers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Every caller waits for its last answer."""
        self._stopping.set()
        self._thread.join()

    async def _run(self) -> None:
        await asyncio.gather(*(self._call(group) for group in self._groups for _ in range(group.count)))

    async def _call(self, group: Group) -> None:
        caller = Caller(self._port, group.key)
        await asyncio.sleep(self._random.uniform(0, group.pause_s))
        while not self._stopping.is_set():
            name = f"{group.kind}-{next(_numbers)}"
            if group.leaves_s:
                patience_s = self._random.uniform(0, group.leaves_s)
                self.said.append(
                    await caller.ask_and_leave(name, group.kind, patience_s, stream=group.stream)
                )
            else:
                self.said.append(await caller.ask(name, group.kind, stream=group.stream))
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * group.pause_s)
        caller.close()


class Caller:
    """One connection, opened again where it must be."""

    def __init__(self, port: int, key: Key) -> None:
        self._port, self._key = port, key
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, name: str, kind: str, *, stream: bool, order: str = "", wishes: Mapping[str, str] | None = None
    ) -> Said:
        """Send one request and read its answer to the end. `order`: the platforms that may serve it, first one first."""
        began = time.monotonic()
        answer = _Answer()
        try:
            async with asyncio.timeout(ANSWER_S):
                if self._line is None:
                    self._line = await asyncio.open_connection("127.0.0.1", self._port)
                reader, writer = self._line
                writer.write(request(name, self._key, stream=stream, order=order, wishes=wishes or {}))
                await answer.read(reader)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as problem:
            answer.problem = f"{type(problem).__name__}: {problem}"
            self.close()
        if answer.headers.get(b"connection") == b"close":
            self.close()
        return answer.said(name, kind, began, stream=stream)

    async def ask_and_leave(self, name: str, kind: str, patience_s: float, *, stream: bool) -> Said:
        """Send one request and close the connection after a while, whatever has come by then."""
        began = time.monotonic()
        try:
            self._line = await asyncio.open_connection("127.0.0.1", self._port)
            self._line[1].write(request(name, self._key, stream=stream, order="", wishes={}))
            await asyncio.sleep(patience_s)
        except OSError:
            pass  # it leaves anyway
        self.close()
        return Said(name, kind, began, time.monotonic(), 0, "left", "", "", stream)

    def close(self) -> None:
        if self._line is not None:
            self._line[1].transport.abort()
            self._line = None


class _Answer:
    """What has come of one answer."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.ended = False
        self.problem = ""

    async def read(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        self.headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in head[1:])
        }
        self.status = int(head[0].split(b" ")[1])
        if self.headers.get(b"transfer-encoding") == b"chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                self.body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        else:
            self.body = await reader.readexactly(int(self.headers.get(b"content-length", b"0")))
        self.ended = True

    def said(self, name: str, kind: str, began: float, *, stream: bool) -> Said:
        ended = time.monotonic()
        after = self.headers.get(b"retry-after")
        verdict: Verdict
        if not self.status:
            verdict, why, attempt = "nothing", self.problem, ""
        elif self.headers.get(b"content-type", b"").startswith(b"text/event-stream"):
            events, torn = events_of(self.body)
            verdict, why, attempt = read_stream(name, events, ended=self.ended, torn=torn)
        elif not self.ended:
            verdict, why, attempt = "nothing", f"{self.status}, then {self.problem}", ""
        else:
            verdict, why, attempt = read_whole(name, self.status, self.body)
            if stream and self.status == 200:
                verdict, why = "wrong", "asked for a stream, got it in one piece"
        platform = self.headers.get(b"x-trimtab-platform", b"").decode().partition("#")[0]
        if verdict == "whole" and attempt.rpartition("-")[0] != platform:
            verdict, why = "wrong", f"words of {attempt} under x-trimtab-platform: {platform}"
        retry_after = None if after is None else after.decode()
        return Said(name, kind, began, ended, self.status, verdict, why, attempt, stream, retry_after)


def request(name: str, key: Key, *, stream: bool, order: str, wishes: Mapping[str, str]) -> bytes:
    content = {
        "model": "trimtab/default",
        "max_tokens": 64,
        "stream": stream,
        "messages": [{"role": "user", "content": mark(name, wishes)}],
    }
    body = json.dumps(content, separators=(",", ":")).encode()
    named = f"x-trimtab-platform: {order}\r\n" if order else ""
    head = (
        "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nanthropic-version: 2023-06-01\r\n"
        f"content-type: application/json\r\nx-trimtab-session: {name}\r\nx-api-key: {key.secret}\r\n"
        f"{named}content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class SdkCallers:
    """Callers on the vendor's SDK, in a process of their own, until the end of the block."""

    def __init__(self, python: Path, url: str, key: Key, folder: Path, count: int) -> None:
        self.said: list[Said] = []
        self._command = [
            str(python),
            "-W",
            "error::ResourceWarning",
            str(PROGRAM),
            url,
            key.secret,
            str(count),
        ]
        self._environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(E2E),
        }

    def __enter__(self) -> "SdkCallers":
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        output = self._process.communicate("stop\n", timeout=2 * ANSWER_S)[0]
        assert self._process.returncode == 0
        self.said += [_said(json.loads(line)) for line in output.splitlines()]


def _said(told: dict[str, object]) -> Said:
    name, stream = str(told["name"]), bool(told["stream"])
    status = int(str(told["status"]))
    verdict: Verdict
    if told["problem"]:
        # The SDK makes an exception of an error answer, of an error event and of a cut; the raw callers tell them apart.
        verdict = "broken" if told["events"] else "refused" if status else "nothing"
        why, attempt = str(told["problem"]), ""
    elif stream:
        events = told["events"]
        assert isinstance(events, list)
        verdict, why, attempt = read_stream(name, events, ended=True)
    else:
        verdict, why, attempt = read_whole(name, status, json.dumps(told["message"]).encode())
    began, ended = float(str(told["began"])), float(str(told["ended"]))
    return Said(name, "sdk", began, ended, status, verdict, why, attempt, stream)


def p95(said: Iterable[Said], keep: Callable[[Said], bool]) -> float:
    """Seconds from asking to the end of the answer, of those to keep."""
    took = sorted(one.ended - one.began for one in said if keep(one))
    return took[int(0.95 * len(took))] if took else float("nan")
