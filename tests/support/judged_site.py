"""A gateway whose answers are judged, in the running loop, and what clients ask of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from serving_harness import Site, site
from waiting import until_given


def asked(text: str, **fields: Any) -> dict[str, Any]:
    """The body of a request."""
    return {
        "model": "trimtab/auto",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": text}],
        **fields,
    }


def at(folder: Path, work: Callable[[Site], Awaitable[None]], config: str, script: str) -> None:
    """Do some work with a gateway of this configuration before a simulator of this script."""

    async def run() -> None:
        async with site(folder, config, script) as there:
            await work(there)

    asyncio.run(run())


async def told(there: Site, name: str) -> dict[str, Any]:
    """The record of a request, once it is written."""
    _, _, body = await until_given(
        lambda: there.get(f"/trimtab/v1/requests/{name}"), lambda answer: answer[0] == 200
    )
    found: dict[str, Any] = json.loads(body)
    return found
