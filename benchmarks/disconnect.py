"""How soon the platform's connection is closed once a client has gone (bar: 100 ms).

    python benchmarks/disconnect.py [--smoke]

A real `trimtab serve` stands between this process, which plays the client, and a socket server in this process, which
plays the platform. Each round opens a request, waits until the platform has it (before any answer; in the middle of a
stream; in the middle of one that is held back until it is judged; on the second step of a cascade, whose first answer
was rejected), resets the client's connection, and takes the time until the platform's socket reads end-of-file. Both
ends share one clock. Afterwards every round must be in the store once, as cancelled.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import apsw

EVENT = b'event: ping\ndata: {"type":"ping"}\n\n'
CUT = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":'
    b'[{"type":"text","text":"cut"}],"stop_reason":"max_tokens","stop_sequence":null,'
    b'"usage":{"input_tokens":5,"output_tokens":8}}'
)
"""What the second step follows: the check of the route is that no answer was cut."""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
WAYS = {
    "before any answer": ("trimtab/auto", False),
    "in the middle of a stream": ("trimtab/auto", True),
    "while a stream is held back": ("trimtab/judged", True),
    "on the second step": ("trimtab/judged", False),
}
"""Which model is asked for, and whether as a stream."""
ROUTE = """
[routes.judged]
ladder = ["claude-haiku-4-5", "claude-opus-4-7"]
verify = ["not_truncated"]
"""


class Platform:
    """Takes requests, answers half a stream or nothing, and notes when its connection ends."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.closed_at: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.streams = False

    def next_round(self, streams: bool) -> None:
        """Get ready for one more request."""
        self.reached.clear()
        self.closed_at = asyncio.get_running_loop().create_future()
        self.streams = streams

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while b"haiku" in await reader.readuntil(b"}]}") and not self.streams:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
                writer.write(b"content-length: %d\r\n\r\n%b" % (len(CUT), CUT))
        except asyncio.IncompleteReadError:
            writer.close()
            return
        if self.streams:
            writer.write(HEAD + b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
        self.reached.set()
        try:
            await reader.read()
        except ConnectionError:
            pass
        if not self.closed_at.done():
            self.closed_at.set_result(asyncio.get_running_loop().time())
        writer.close()


async def one_round(port: int, platform: Platform, model: str, streams: bool) -> float:
    """Milliseconds from the client's reset to the platform's end-of-file."""
    platform.next_round(streams)
    body = json.dumps(
        {
            "model": model,
            "max_tokens": 8,
            "stream": streams,
            "messages": [{"role": "user", "content": "x"}],
        }
    ).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nanthropic-version: 2023-06-01\r\ncontent-length: %d\r\n\r\n"
        % len(body)
        + body
    )
    await asyncio.wait_for(platform.reached.wait(), 10)
    if streams and model == "trimtab/auto":
        await asyncio.wait_for(reader.readuntil(EVENT), 10)
    left = asyncio.get_running_loop().time()
    writer.transport.abort()
    return (await asyncio.wait_for(platform.closed_at, 10) - left) * 1000


async def measure(rounds: int, folder: str) -> dict[str, list[float]]:
    """All rounds against one server."""
    platform = Platform()
    upstream = await asyncio.start_server(platform.serve, "127.0.0.1", 0)
    config = Path(folder) / "trimtab.toml"
    config.write_text(
        f'version = 1\n[store]\nurl = "sqlite:///{folder}/t.db"\n[platforms.p]\nkind = "anthropic"\n'
        f'api_key = "env:KEY"\nbase_url = "http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}"\n{ROUTE}',
        encoding="utf-8",
    )
    server = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "trimtab", "serve", "--listen", "127.0.0.1:0", "--config", str(config)],
        env={**os.environ, "KEY": "k"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        first = await asyncio.to_thread(server.stdout.readline)
        port = int(first.rpartition(":")[2])
        delays: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(rounds):
            for name, (model, streams) in WAYS.items():
                delays[name].append(await one_round(port, platform, model, streams))
        return delays
    finally:
        server.send_signal(signal.SIGTERM)
        await asyncio.to_thread(server.communicate)
        upstream.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="20 rounds instead of 500")
    rounds = 20 if parser.parse_args().smoke else 500
    with tempfile.TemporaryDirectory() as folder:
        delays = asyncio.run(measure(rounds, folder))
        found = apsw.Connection(f"{folder}/t.db").execute(
            "SELECT count(*), count(DISTINCT id) FROM requests WHERE result = 'cancelled'"
        )
        recorded, distinct = next(iter(found))
    print(f"{'client gone':28} {'median':>8} {'p99':>8} {'max':>8} {'bar':>6}   ms, {rounds} rounds each")
    asked = rounds * len(WAYS)
    for name, values in delays.items():
        ordered = sorted(values)
        p99 = ordered[int(len(ordered) * 0.99) - 1]
        verdict = "met" if ordered[-1] <= 100 else "MISSED"
        print(f"{name:28} {statistics.median(values):8.2f} {p99:8.2f} {ordered[-1]:8.2f} {100:6}   {verdict}")
    print(f"recorded as cancelled: {recorded} of {asked}, each once: {recorded == distinct == asked}")


if __name__ == "__main__":
    main()
