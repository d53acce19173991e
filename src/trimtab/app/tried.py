"""Whether a platform takes our credentials, found out without spending money: for `trimtab doctor`.

What it is not: a test that a model answers, which costs. It asks for the list of models, or, where there is none,
counts the tokens of one word. Invariant: nothing here makes a model answer.
"""

from typing import Literal

import msgspec

from trimtab.app.live import models_listed
from trimtab.errors import NotFound, TrimtabError, printable
from trimtab.messages import ReplyMeter
from trimtab.providers import Call, Provider

Level = Literal["ok", "note", "problem"]

MAX_BYTES = 64 * 1024
"""Of an answer that is a number, or an error."""

MAX_SHOWN = 300
"""Characters of what a platform says."""


class Tried(msgspec.Struct, frozen=True):
    """What came of it, in words that follow the name of the entry."""

    level: Level
    text: str
    simulated: bool = False


async def tried(provider: Provider, models: dict[str, str]) -> Tried:
    """Ask a platform. `models` are its own names of those that it serves, by catalogue id; the first one is asked of.

    Waits for the network, as long as the entry's deadlines let it.
    """
    try:
        live = await models_listed(provider)
    except NotFound:
        return await _counted(provider, models)
    except TrimtabError as problem:
        return Tried("problem", str(problem))
    if live.simulated:
        return Tried("note", "is simulated: no real model answers", simulated=True)
    said = f"answers and lists {len(live.models)} model{'s' * (len(live.models) != 1)}"
    listed = {entry.get("id") for entry in live.models}
    missing = [own for own in models.values() if own not in listed]
    if provider.platform == "openai" and missing:
        return Tried("note", f"{said}, but not {', '.join(map(repr, missing))}, which its models name")
    return Tried("ok", said)


async def _counted(provider: Provider, models: dict[str, str]) -> Tried:
    if not models:
        return Tried("note", "configured; it serves no model of the catalogue, so it was not asked")
    model, sent = next(iter(models.items()))
    try:
        status, simulated, body = await _exchange(provider, sent)
    except NotFound:
        return Tried("ok", "configured; it has no operation that is free, so it was not asked")
    except TrimtabError as problem:
        return Tried("problem", str(problem))
    if simulated:
        return Tried("note", "is simulated: no real model answers", simulated=True)
    if status == 200:
        return Tried("ok", f"takes the credentials, and counted tokens for {model}, which costs nothing")
    said = f"answered {status} to counting tokens for {model}: {_words(body)}"
    if status == 404:
        return Tried("note", f"{said}; another model may be there")
    return Tried("note" if status == 429 else "problem", said)


async def _exchange(provider: Provider, model: str) -> tuple[int, bool, bytes]:
    """(status, whether it says that it is simulated, body)."""
    asked = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    reply = await provider.send(
        Call(
            method="POST",
            path="/v1/messages/count_tokens",
            headers=[
                (b"content-type", b"application/json"),
                (b"anthropic-version", provider.api_versions[0].encode()),
            ],
            body=msgspec.json.encode(asked),
            endpoint="count_tokens",
            model=model,
        )
    )
    body = b""
    try:
        while len(body) < MAX_BYTES and (piece := await reply.read()):
            body += piece
    finally:
        reply.close()
    return reply.status, (b"x-trimtab-simulated", b"true") in reply.headers, body


def _words(body: bytes) -> str:
    """What an error says, in one line."""
    said = ReplyMeter(body, b"").error_message or body[:MAX_SHOWN].decode("utf-8", "replace")
    return printable(said.strip() or "without a word", MAX_SHOWN)
