"""Callers: each asks, waits for the answer, pauses and asks again, over raw HTTP/1.1, and writes down what it got."""

import asyncio
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import uvloop
from drive import Key

ANSWER_S = 120.0
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Answer:
    """What a caller got for one request."""

    name: str
    caller: str
    """The kind of caller."""
    began: float
    ended: float
    status: int
    """0: no answer, or not a whole one."""
    retry_after: float | None
    request: str
    """The gateway's id for it, where it was told."""
    text: str
    """Of an error."""
    port: int
    """Our end of the connection, which one process of the gateway has at the other end."""


@dataclass
class Caller:
    """A kind of caller, and how many of them there are."""

    kind: str
    key: Key | None = None
    count: int = 1
    took_ms: Callable[[], int] = lambda: 30
    """How long the platform takes."""
    pause_s: Callable[[], float] = lambda: 0.0
    """After a whole answer."""
    retry_s: Callable[[float], float] = lambda after: min(after, random.uniform(0.05, 0.2))
    """After a refusal that said when to try again (1 s where it did not)."""
    stream: bool = False
    cut: bool = False
    """The platform closes the connection instead of answering."""
    body: bytes = field(init=False)
    credential: bytes = field(init=False)

    def __post_init__(self) -> None:
        content = {"model": "trimtab/default", "max_tokens": 8, "stream": self.stream}
        content["messages"] = [{"role": "user", "content": "How many calls are open now, and how many came?"}]
        self.body = json.dumps(content, separators=(",", ":")).encode()
        self.credential = f"x-api-key: {self.key.secret}\r\n".encode() if self.key is not None else b""

    @property
    def key_name(self) -> str:
        return self.key.name if self.key is not None else "nobody"

    def request(self, name: str) -> bytes:
        return (
            b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nanthropic-version: 2023-06-01\r\n"
            b"content-type: application/json\r\nx-trimtab-session: %b\r\nx-chaos: %b %b %d%b\r\n%bcontent-length: %d\r\n\r\n%b"
            % (
                name.encode(),
                name.encode(),
                self.key_name.encode(),
                self.took_ms(),
                b" cut" if self.cut else b"",
                self.credential,
                len(self.body),
                self.body,
            )
        )


class Load:
    """All callers, on an event loop in a thread of its own."""

    def __init__(self, port: int, callers: Iterable[Caller], *, seed: int = 0) -> None:
        self.answers: list[Answer] = []
        self._port = port
        self._callers = list(callers)
        self._random = random.Random(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()))

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Every caller waits for its last answer."""
        self.stop()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def of(self, kind: str) -> list[Answer]:
        return [answer for answer in list(self.answers) if answer.caller == kind]

    async def _run(self) -> None:
        await asyncio.gather(*(self._call(caller) for caller in self._callers for _ in range(caller.count)))

    async def _call(self, caller: Caller) -> None:
        line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._stopping.is_set():
            name = f"{caller.kind}-{next(_numbers)}"
            began = time.monotonic()
            status, retry, request, text, port, whole = 0, None, "", "", 0, False
            try:
                async with asyncio.timeout(ANSWER_S):
                    if line is None:
                        line = await asyncio.open_connection("127.0.0.1", self._port)
                    port = line[1].get_extra_info("sockname")[1]
                    line[1].write(caller.request(name))
                    status, headers, body = await http_answer(line[0])
                    whole = True
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as problem:
                text = f"{type(problem).__name__}: {problem}"
            else:
                request = headers.get(b"x-trimtab-request", b"").decode()
                after = headers.get(b"retry-after")
                retry = None if after is None else float(after)
                if status != 200:
                    text = body.decode(errors="replace")
                elif b'"type":"error"' in body or (caller.stream and b"message_stop" not in body):
                    status, text = 0, body.decode(errors="replace")
                if headers.get(b"connection") == b"close":
                    whole = False
            ended = time.monotonic()
            self.answers.append(Answer(name, caller.kind, began, ended, status, retry, request, text, port))
            if not whole and line is not None:
                line[1].transport.abort()
                line = None
            if status == 200:
                pause = caller.pause_s()
            elif status == 0:
                pause = 0.05
            else:
                pause = caller.retry_s(1.0 if retry is None else retry)
            if pause and not self._stopping.is_set():
                await asyncio.sleep(pause)
        if line is not None:
            line[1].transport.abort()


async def http_answer(reader: asyncio.StreamReader) -> tuple[int, dict[bytes, bytes], bytes]:
    """(status, headers, body) of a whole answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in head[1:])}
    if headers.get(b"transfer-encoding") == b"chunked":
        parts = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        await reader.readexactly(2)
        body = b"".join(parts)
    else:
        body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
    return int(head[0].split(b" ")[1]), headers, body
