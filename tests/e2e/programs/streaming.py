"""Streams, by both doors of the SDK (`create(stream=True)` and the `messages.stream` helper), sync and async."""

import asyncio

from client import SONNET, ask, async_client, client, seen, tell, text_of, trimtab_headers

QUESTION = ask("Tell me in a few sentences what a trim tab is.")


def by_create() -> dict:
    kinds: list[str] = []
    text = ""
    usage: dict = {}
    stop = None
    with client().messages.create(model=SONNET, max_tokens=300, messages=QUESTION, stream=True) as events:
        for event in events:
            kinds.append(event.type)
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                text += event.delta.text
            if event.type == "message_start":
                usage["input_tokens"] = event.message.usage.input_tokens
            if event.type == "message_delta":
                usage["output_tokens"] = event.usage.output_tokens
                stop = event.delta.stop_reason
    return {"kinds": kinds, "text": text, "usage": usage, "stop_reason": stop}


def by_helper() -> dict:
    with client().messages.stream(model=SONNET, max_tokens=300, messages=QUESTION) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
        headers = trimtab_headers(stream.response)
    return {
        **seen(final),
        "pieces": len(pieces),
        "joined": "".join(pieces) == text_of(final),
        "headers": headers,
    }


async def by_async_create() -> dict:
    text = ""
    kinds: list[str] = []
    stream = await async_client().messages.create(
        model=SONNET, max_tokens=300, messages=QUESTION, stream=True
    )
    async for event in stream:
        kinds.append(event.type)
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            text += event.delta.text
    return {"kinds": kinds, "text": text}


async def by_async_helper() -> dict:
    async with async_client().messages.stream(model=SONNET, max_tokens=300, messages=QUESTION) as stream:
        pieces = [piece async for piece in stream.text_stream]
        final = await stream.get_final_message()
    return {**seen(final), "joined": "".join(pieces) == text_of(final)}


def left_early() -> dict:
    """A program that breaks off a stream, then goes on with the same client."""
    api = client()
    with api.messages.stream(model=SONNET, max_tokens=300, messages=QUESTION) as stream:
        first = next(iter(stream.text_stream))
    after = api.messages.create(model=SONNET, max_tokens=16, messages=ask("What is 1 + 1?"))
    return {"first": bool(first), "after": after.stop_reason}


async def main() -> tuple[dict, dict]:
    return await by_async_create(), await by_async_helper()


async_create, async_helper = asyncio.run(main())
tell(
    {
        "create": by_create(),
        "helper": by_helper(),
        "async_create": async_create,
        "async_helper": async_helper,
        "left_early": left_early(),
    }
)
