"""What a platform says of its models right now, for `trimtab models --check` and `trimtab doctor`."""

import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from trimtab.app.platforms import open_entry
from trimtab.app.process import run_loop
from trimtab.app.settings import Settings
from trimtab.errors import ConfigError, NotFound, UpstreamBroken, UpstreamError
from trimtab.providers import Call, Provider

MAX_PAGES = 20

MAX_PAGE_BYTES = 16 * 1024 * 1024
"""A page of 1,000 models is about 1 MB; what is larger is not a model list."""


class LiveModels(msgspec.Struct, frozen=True):
    """What one platform entry lists."""

    platform: str
    """The entry's name."""
    simulated: bool
    models: list[dict[str, Any]]


class _Page(msgspec.Struct):
    data: list[dict[str, Any]]
    has_more: bool = False
    last_id: str | None = None
    simulated: bool = False


def live_models(settings: Settings, platform: str | None = None) -> LiveModels:
    """The models that an entry (the first, if none is named) lists now; of a pool, to its first key. Blocks on the
    network; spends nothing.

    Raises `ConfigError` for an unknown entry, `UpstreamError` when the list cannot be had, `NotFound` where the kind of
    platform has none.
    """
    name = platform if platform is not None else next(iter(settings.platforms))
    if name not in settings.platforms:
        raise ConfigError("--platform", f"{name!r}: must be one of {', '.join(settings.platforms)}")
    providers = list(open_entry(settings, name).values())

    async def ask() -> LiveModels:
        try:
            if providers[0].platform == "openai":
                raise NotFound(
                    f"{name}: an openai entry lists names of its own, which the catalogue does not have"
                )
            return await models_listed(providers[0])
        finally:
            for provider in providers:
                await provider.aclose()

    return run_loop(ask())


async def models_listed(provider: Provider) -> LiveModels:
    """The models that a platform lists now. Raises as `live_models`."""
    models: list[dict[str, Any]] = []
    query = b"limit=1000"
    for _ in range(MAX_PAGES):
        page = await _one_page(provider, query)
        models += page.data
        if not page.has_more or not page.last_id:
            return LiveModels(provider.name, provider.simulated or page.simulated, models)
        # Quoted whole: what the platform sends must not end our next request line and start another.
        query = b"limit=1000&after_id=" + quote(page.last_id, safe="").encode()
    raise UpstreamBroken(f"the model list has more than {MAX_PAGES} pages")


async def _one_page(provider: Provider, query: bytes) -> _Page:
    headers = [(b"anthropic-version", provider.api_versions[-1].encode())]
    reply = await provider.send(Call(method="GET", path="/v1/models", query=query, headers=headers))
    try:
        body = bytearray()
        while chunk := await reply.read():
            body += chunk
            if len(body) > MAX_PAGE_BYTES:
                raise UpstreamBroken(f"{provider.name}: the model list has over {MAX_PAGE_BYTES} bytes")
    finally:
        reply.close()
    if reply.status != 200:
        raise UpstreamError(
            f"{provider.name} answered {reply.status} to GET /v1/models: {_one_line(bytes(body[:300]))}"
        )
    try:
        page = msgspec.json.decode(body, type=_Page)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise UpstreamBroken(f"{provider.name}: the model list is not what it should be: {problem}") from None
    page.simulated = (b"x-trimtab-simulated", b"true") in reply.headers
    return page


def _one_line(text: bytes) -> str:
    """The platform's words for a terminal: nothing in them may end the line or steer it."""
    return "".join(c if c.isprintable() else " " for c in text.decode("utf-8", "replace"))


def today() -> datetime.date:
    """The day, UTC, by which prices and life cycles are judged."""
    return datetime.datetime.now(datetime.UTC).date()
