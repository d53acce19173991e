"""As many requests as a server takes, from a process of its own that costs little: ready-made bytes, few connections.

    python flood.py PORT REQUESTS STEP SECRET [BYTES]

Prints the number of answers so far after each STEP of them, and at the end how many had each status. Connections take
turns: a JSON answer, a stream, a key with limits (SECRET), and now and then a request that is refused. BYTES is how long
the system prompt is, 0 if it is left out. The platform may be the simulator or `upstream.py`.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from typing import cast

import uvloop

CONNECTIONS = 24
BAD_EVERY = 100


def request(stream: bool, secret: str, size: int, *, bad: bool = False) -> bytes:
    content = {"model": "no-such-model" if bad else "trimtab/default", "max_tokens": 16, "stream": stream}
    if size:
        content["system"] = "Steer. " * (size // 7)
    content["messages"] = [{"role": "user", "content": "What is 17 * 23?"}]
    body = json.dumps(content, separators=(",", ":")).encode()
    key = f"x-api-key: {secret}\r\n" if secret else ""
    head = (
        "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nanthropic-version: 2023-06-01\r\n"
        f"content-type: application/json\r\nx-chaos: flood flood 0\r\n{key}content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Flood:
    def __init__(self, total: int, step: int) -> None:
        self.total = self.left = total
        self.step = step
        self.done = 0
        self.statuses: Counter[bytes] = Counter()
        self.finished = asyncio.get_running_loop().create_future()

    def answered(self, status: bytes) -> bool:
        """Count an answer; whether there is more to ask."""
        self.statuses[status] += 1
        self.done += 1
        if self.done % self.step == 0:
            print(self.done, time.monotonic(), flush=True)
        if self.left > 0:
            self.left -= 1
            return True
        if self.done == self.total:
            self.finished.set_result(None)
        return False


class Connection(asyncio.Protocol):
    """Asks again as soon as it has its answer."""

    def __init__(self, flood: Flood, stream: bool, secret: str, size: int) -> None:
        self._flood = flood
        self._good, self._bad = request(stream, secret, size), request(stream, secret, size, bad=True)
        self._asked = 0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._flood.left -= 1
        self._ask()

    def _ask(self) -> None:
        self._asked += 1
        self._transport.write(self._good if self._asked % BAD_EVERY else self._bad)

    def data_received(self, data: bytes) -> None:
        self._received += data
        received = self._received
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        at = received.find(b"content-length: ", 0, end)
        if at >= 0:
            if len(received) < end + 4 + int(received[at + 16 : received.find(b"\r\n", at)]):
                return
        elif not received.endswith(b"\r\n0\r\n\r\n"):
            return
        self._received = b""
        if self._flood.answered(received[9:12]):
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._flood.finished.done() and self._flood.left > 0:
            self._flood.finished.set_exception(RuntimeError(f"the server closed a connection: {exc}"))


async def main() -> None:
    port, total, step, secret = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    size = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    flood = Flood(total, step)
    loop = asyncio.get_running_loop()
    for n in range(CONNECTIONS):
        kind = (n % 2 == 1, secret if n % 4 >= 2 else "", size)
        await loop.create_connection(lambda kind=kind: Connection(flood, *kind), "127.0.0.1", port)
    await flood.finished
    print(json.dumps({status.decode(): n for status, n in flood.statuses.items()}), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
