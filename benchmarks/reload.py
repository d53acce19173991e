"""Whether a reload fails a request, and how soon all workers have a new configuration (bars: none; 2 s).

    python benchmarks/reload.py [--smoke] [--workers N]

A real `trimtab serve --workers N` stands between this process, which plays clients, and a socket server in this
process, which plays the platform. Clients ask over kept connections, half of them for streams of 20 events, as fast as
they are answered. Every 100 ms a new configuration is put in the place of the old one and announced by SIGHUP; those
that come while one is being put in force are taken together. Ack time is what the supervisor reports: from the moment
a configuration has been read and checked to the last worker's word that it works by it.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import sys
import tempfile
from pathlib import Path

EVENT = b'event: ping\ndata: {"type":"ping"}\n\n'
STREAM = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":2}}}\n\n'
    + 18 * EVENT
    + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
WHOLE = json.dumps({"type": "message", "usage": {"input_tokens": 2, "output_tokens": 1}}).encode()
EVERY_S = 0.1
CLIENTS = 8
BAR_MS = 2000


async def platform(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection of the gateway; answers until it ends."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            body = await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            if b'"stream": true' in body:
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                for event in STREAM.split(b"\n\n")[:-1]:
                    writer.write(b"%x\r\n%b\n\n\r\n" % (len(event) + 2, event))
                    await asyncio.sleep(0.005)
                writer.write(b"0\r\n\r\n")
            else:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(WHOLE), WHOLE))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


class Client:
    """Asks over one kept connection, over a new one where it was closed with an answer."""

    def __init__(self, port: int, streams: bool) -> None:
        self.port, self.streams = port, streams
        self.answers = 0
        self.failures: list[str] = []
        body = json.dumps(
            {
                "model": "trimtab/default",
                "max_tokens": 8,
                "stream": streams,
                "messages": [{"role": "user", "content": "x"}],
            }
        ).encode()
        self.request = (
            b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nanthropic-version: 2023-06-01\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )

    async def work(self, ended: asyncio.Event) -> None:
        """Ask until told to end."""
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not ended.is_set():
            try:
                if connection is None:
                    connection = await asyncio.open_connection("127.0.0.1", self.port)
                async with asyncio.timeout(30):
                    last = await self.ask(*connection)
                self.answers += 1
            except Exception as problem:
                self.failures.append(repr(problem)[:200])
                last = True
            if last and connection is not None:
                connection[1].close()
                connection = None
        if connection is not None:
            connection[1].close()

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its whole answer; whether the connection ends with it."""
        writer.write(self.request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if self.streams and head.startswith(b"http/1.1 200"):
            got = b""
            while size := int(await reader.readline(), 16):
                got += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
            wanted = STREAM
        else:
            got = await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            wanted = WHOLE
        if got != wanted:
            raise ValueError(f"{head[:15]!r} {got[:150]!r}")
        return b"connection: close" in head


async def measure(seconds: float, workers: int, folder: str) -> tuple[list[Client], list[float], list[str]]:
    """All clients, acknowledgement times in ms, and lines of the server about anything else."""
    upstream = await asyncio.start_server(platform, "127.0.0.1", 0)
    config = Path(folder) / "trimtab.toml"

    def write(number: int) -> None:
        tier = ("claude-sonnet-4-6", "claude-opus-4-7")[number % 2]
        beside = config.with_suffix(".new")
        beside.write_text(
            f'version = 1  # {number}\n[store]\nurl = "sqlite:///{folder}/t.db"\n[tiers]\ndefault = "{tier}"\n'
            f'[platforms.p]\nkind = "anthropic"\napi_key = "env:KEY"\n'
            f'base_url = "http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}"\n',
            encoding="utf-8",
        )
        beside.replace(config)

    write(0)
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trimtab", "serve", "--listen", "127.0.0.1:0"),
        *("--config", str(config), "--workers", str(workers)),
        env={**os.environ, "KEY": "k"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stderr is not None
    errors = asyncio.create_task(server.stderr.read())
    port = int((await server.stdout.readline()).rpartition(b":")[2])
    clients = [Client(port, streams=bool(number % 2)) for number in range(CLIENTS)]
    ended = asyncio.Event()
    working = [asyncio.create_task(client.work(ended)) for client in clients]
    for number in range(round(seconds / EVERY_S)):
        await asyncio.sleep(EVERY_S)
        write(number + 1)
        server.send_signal(signal.SIGHUP)
    await asyncio.sleep(1)
    ended.set()
    await asyncio.gather(*working)
    server.send_signal(signal.SIGTERM)
    await server.stdout.read()
    await server.wait()
    upstream.close()
    lines = (await errors).decode().splitlines()
    acknowledged = [re.search(r"is in force.* after (\d+) ms", line) for line in lines]
    others = [line for line, found in zip(lines, acknowledged, strict=True) if found is None]
    return clients, [float(found[1]) for found in acknowledged if found is not None], others


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="3 s instead of 30")
    parser.add_argument("--workers", type=int, default=3)
    given = parser.parse_args()
    seconds = 3.0 if given.smoke else 30.0
    with tempfile.TemporaryDirectory() as folder:
        clients, times, others = asyncio.run(measure(seconds, given.workers, folder))
    failures = [failure for client in clients for failure in client.failures]
    answers = sum(client.answers for client in clients)
    print(
        f"{given.workers} workers, {CLIENTS} clients, a new configuration every {EVERY_S * 1000:.0f} ms "
        f"for {seconds:g} s"
    )
    print(f"answers {answers}, failures {len(failures)} (bar 0: {'met' if not failures else 'MISSED'})")
    for failure in failures[:5]:
        print(f"  {failure}")
    if times:
        ordered = sorted(times)
        p99 = ordered[max(int(len(ordered) * 0.99) - 1, 0)]
        verdict = "met" if ordered[-1] <= BAR_MS else "MISSED"
        print(
            f"reloads {len(times)}; ack time ms: median {statistics.median(times):.0f}, p99 {p99:.0f}, "
            f"max {ordered[-1]:.0f} (bar {BAR_MS}: {verdict})"
        )
    else:
        print("reloads 0: MISSED")
    for line in others[:5]:
        print(f"  server: {line}")


if __name__ == "__main__":
    main()
