"""The jobs of `benchmarks/jobs.py` on DBOS, as shipped. Runs in `.venv-bench-dbos`, never imported.

Arguments: database URL, steps in sequence, steps of each of 16 workflows, queued workflows. Prints one line of JSON.
"""

import asyncio
import json
import sys
import time

from dbos import DBOS  # type: ignore[import-not-found]

AT_ONCE = 16
# By default DBOS looks at its queues once a second, which would be all that is measured.
POLL_S = 0.05


async def _nothing() -> int:
    return 1


async def _chain(steps: int) -> float:
    started = time.perf_counter()
    for _ in range(steps):
        await nothing()
    return time.perf_counter() - started


async def _one() -> int:
    await nothing()
    return 1


nothing = DBOS.step()(_nothing)
chain = DBOS.workflow()(_chain)
one = DBOS.workflow()(_one)


async def measure(sequential: int, each: int, jobs: int) -> dict[str, float]:
    queue = await DBOS.register_queue_async("bench", worker_concurrency=AT_ONCE, polling_interval_sec=POLL_S)
    await (await DBOS.start_workflow_async(chain, 5)).get_result()
    await (await queue.enqueue_async(one)).get_result(polling_interval_sec=POLL_S)
    handle = await DBOS.start_workflow_async(chain, sequential)
    alone_s = await handle.get_result()
    started = time.perf_counter()
    handles = [await DBOS.start_workflow_async(chain, each) for _ in range(AT_ONCE)]
    await asyncio.gather(*(handle.get_result() for handle in handles))
    together_s = time.perf_counter() - started
    started = time.perf_counter()
    queued = [await queue.enqueue_async(one) for _ in range(jobs)]
    await asyncio.gather(*(handle.get_result(polling_interval_sec=POLL_S) for handle in queued))
    queued_s = time.perf_counter() - started
    return {
        "sequential": sequential / alone_s,
        "together": AT_ONCE * each / together_s,
        "jobs": jobs / queued_s,
    }


def main() -> None:
    url, *counts = sys.argv[1:]
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})
    DBOS.launch()
    result = asyncio.run(measure(*map(int, counts)))
    print(json.dumps(result), flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    main()
