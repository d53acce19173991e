"""A worker process for the chaos test: chains of steps that leave a line in a file when they begin and when they end."""

import asyncio
import os
import random
import signal
import sys
import time
from pathlib import Path

from trimtab.jobs import JobBoard, JobContext, JobExchange, JobId, JobSettings, JobTables, Worker
from trimtab.records import new_request_id
from trimtab.store import StoreSettings, open_database


def main(url: str, name: str, log_path: str) -> None:
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(*words: object) -> None:
        os.write(log, (" ".join(map(str, (time.time(), name, *words))) + "\n").encode())

    async def chain(context: JobContext) -> int:
        steps, step_s = context.read(tuple[int, float])
        job, epoch = context.job.id, context.held.epoch
        note("run", job, "-", epoch)
        total = 0
        try:
            for n in range(steps):

                async def body(n: int = n) -> int:
                    note("begin", job, f"s{n}", epoch)
                    await asyncio.sleep(step_s * random.uniform(0.5, 1.5))
                    note("end", job, f"s{n}", epoch)
                    return n

                total += await context.step(f"s{n}", body)
        except BaseException as problem:
            note("stopped", job, type(problem).__name__, epoch)
            raise
        return total

    database = open_database(StoreSettings(url=url), clock_ms=lambda: time.time_ns() // 1_000_000)
    bits = random.Random().getrandbits
    board = JobBoard(JobTables(database), lambda: JobId(new_request_id(time.time_ns() // 1_000_000, bits)))

    async def run() -> None:
        worker = Worker(
            JobExchange(database, name, 6_000),
            {"chain": chain},
            JobSettings(concurrency=16, grace_s=5),
            tick=lambda: (board.fire_due(), None)[1],
            jitter=random.random,
            on_problem=lambda line: note("problem", "-", "-", 0, line),
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        note("ready", "-", "-", 0)
        await worker.run()

    asyncio.run(run())
    database.close()


if __name__ == "__main__":
    Path(sys.argv[3]).touch()
    main(*sys.argv[1:4])
