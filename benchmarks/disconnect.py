"""How soon the platform's connection is closed once a client has gone (bar: 100 ms).

    python benchmarks/disconnect.py [--smoke]

A real `trimtab serve` stands between this process, which plays the client, and a socket server in this process, which
plays the platform. Each round opens a request, waits until the platform has it (before any answer, or in the middle of
a stream), resets the client's connection, and takes the time until the platform's socket reads end-of-file. Both ends
share one clock. Afterwards every round must be in the store once, as cancelled.
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
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


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
        await reader.readuntil(b"}]}")
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


async def one_round(port: int, platform: Platform, streams: bool) -> float:
    """Milliseconds from the client's reset to the platform's end-of-file."""
    platform.next_round(streams)
    body = json.dumps(
        {
            "model": "trimtab/auto",
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
    if streams:
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
        f'api_key = "env:KEY"\nbase_url = "http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}"\n',
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
        delays: dict[str, list[float]] = {"before any answer": [], "in the middle of a stream": []}
        for _ in range(rounds):
            for name, streams in zip(delays, (False, True), strict=True):
                delays[name].append(await one_round(port, platform, streams))
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
    for name, values in delays.items():
        ordered = sorted(values)
        p99 = ordered[int(len(ordered) * 0.99) - 1]
        verdict = "met" if ordered[-1] <= 100 else "MISSED"
        print(f"{name:28} {statistics.median(values):8.2f} {p99:8.2f} {ordered[-1]:8.2f} {100:6}   {verdict}")
    print(
        f"recorded as cancelled: {recorded} of {2 * rounds}, each once: {recorded == distinct == 2 * rounds}"
    )


if __name__ == "__main__":
    main()
