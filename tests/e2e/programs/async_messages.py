"""The async client: single calls, and many at once over a pool of connections."""

import asyncio

from client import SONNET, ask, async_client, seen, tell, trimtab_headers


async def main() -> None:
    async with async_client() as api:
        raw = await api.messages.with_raw_response.create(
            model=SONNET, max_tokens=64, messages=ask("What is 6 * 7?")
        )
        # An async client's raw `parse` is a plain call in some versions and a coroutine in others.
        parsed = raw.parse()
        message = await parsed if asyncio.iscoroutine(parsed) else parsed
        many = await asyncio.gather(
            *(
                api.messages.create(model=SONNET, max_tokens=64, messages=ask(f"What is {n} * {n}?"))
                for n in range(20)
            )
        )
    tell(
        {
            "one": {**seen(message), "headers": trimtab_headers(raw)},
            "many": [each.stop_reason for each in many],
            "distinct": len({each.id for each in many}),
        }
    )


asyncio.run(main())
