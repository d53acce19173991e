"""Callers on the vendor's SDK, without its retries: `python platform_callers.py URL KEY COUNT`, until a line comes in.

Prints "ready", and at the end a line of JSON for each request: what came, event by event.
"""

import asyncio
import itertools
import json
import random
import sys
import time

import anthropic
from client import async_client

numbers = itertools.count(1)
MODEL = "trimtab/default"


async def ask(client, stream):
    name = f"sdk-{next(numbers)}"
    told = {"name": name, "stream": stream, "status": 200, "problem": "", "events": [], "message": None}
    told["began"] = time.monotonic()
    asked = {
        "model": MODEL,
        "max_tokens": 64,
        "messages": [{"role": "user", "content": f"ask:{name};;"}],
        "extra_headers": {"x-trimtab-session": name},
    }
    try:
        if stream:
            async with await client.messages.create(stream=True, **asked) as events:
                async for event in events:
                    told["events"].append(event.model_dump(mode="json"))
        else:
            told["message"] = (await client.messages.create(**asked)).model_dump(mode="json")
    except anthropic.APIStatusError as problem:
        told["status"], told["problem"] = problem.status_code, str(problem)
    except Exception as problem:  # any: a cut raises what the SDK's HTTP library of this version has for it
        told["status"], told["problem"] = 0, f"{type(problem).__name__}: {problem}"
    told["ended"] = time.monotonic()
    return told


async def call(client, stream, stopping, all_told):
    while not stopping.is_set():
        all_told.append(await ask(client, stream))
        await asyncio.sleep(random.uniform(0.2, 0.8))


async def main():
    stopping, all_told = asyncio.Event(), []
    print("ready", flush=True)
    async with async_client(api_key=sys.argv[2]) as client:
        callers = [call(client, n % 2 == 0, stopping, all_told) for n in range(int(sys.argv[3]))]
        working = asyncio.gather(*callers)
        await asyncio.to_thread(sys.stdin.readline)
        stopping.set()
        await working
    for told in all_told:
        print(json.dumps(told))


asyncio.run(main())
