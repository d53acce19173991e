"""Platforms of kind `openai`: what goes out, what does not, and mistakes in the configuration."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from scripted_upstream import Upstream, whole

from trimtab.catalogue import Catalogue
from trimtab.config import Secret
from trimtab.errors import ConfigError, NotFound
from trimtab.providers import Call, Provider
from trimtab.providers.openai import OpenAISettings, open_openai

MODEL = "claude-opus-4-7"


@pytest.fixture
def server() -> Iterator[Upstream]:
    stub = Upstream(lambda _: whole(b'{"choices":[]}'))
    yield stub
    stub.close()


def where(key: str) -> str:
    return f"trimtab.toml: platforms.p.{key}"


def opened(catalogue: Catalogue, **settings: Any) -> Provider:
    written: dict[str, Any] = {"base_url": "http://127.0.0.1:1/v1", "models": {MODEL: "served"}, **settings}
    return open_openai("p", OpenAISettings(**written), where, catalogue)


def sent(provider: Provider, **fields: Any) -> bytes:
    async def work() -> bytes:
        call = Call(
            "POST",
            "/v1/chat/completions",
            [
                (b"content-type", b"application/json"),
                (b"openai-organization", b"callers"),
                (b"openai-project", b"callers"),
                (b"openai-beta", b"x=1"),
                (b"anthropic-version", b"2023-06-01"),
            ],
            b'{"model":"served"}',
            endpoint="chat",
        )
        try:
            reply = await provider.send(call)
            found = b""
            while piece := await reply.read():
                found += piece
            return found
        finally:
            await provider.aclose()

    return asyncio.run(work())


def test_the_servers_path_key_and_account_go_out_and_the_callers_do_not(
    catalogue: Catalogue, server: Upstream
) -> None:
    provider = opened(
        catalogue,
        base_url=f"{server.url}/openai/v1/",
        api_key=Secret("k-1", "env:K"),
        organization="org-1",
        project="proj-1",
    )
    assert sent(provider) == b'{"choices":[]}'
    [got] = server.received
    assert (got.method, got.target, got.body) == (
        b"POST",
        b"/openai/v1/chat/completions",
        b'{"model":"served"}',
    )
    assert got.values(b"authorization") == [b"Bearer k-1"]
    assert got.values(b"openai-organization") == [b"org-1"]
    assert got.values(b"openai-project") == [b"proj-1"]
    assert got.values(b"openai-beta") == [b"x=1"]
    assert got.values(b"anthropic-version") == []


def test_a_server_without_a_key_is_sent_none(catalogue: Catalogue, server: Upstream) -> None:
    sent(opened(catalogue, base_url=f"{server.url}/v1"))
    assert not server.received[0].names() & {b"authorization", b"openai-organization", b"openai-project"}


def test_only_models_that_are_named_are_served_under_the_servers_names(catalogue: Catalogue) -> None:
    provider = opened(catalogue)
    served = {model.id: provider.model_id(model) for model in catalogue.models}
    assert {name for name, own in served.items() if own is not None} == {MODEL}
    assert served[MODEL] == "served"


@pytest.mark.parametrize("endpoint", ["messages", "count_tokens", "other"])
def test_operations_of_the_messages_api_are_refused_before_anything_is_sent(
    catalogue: Catalogue, server: Upstream, endpoint: Any
) -> None:
    provider = opened(catalogue, base_url=f"{server.url}/v1")
    with pytest.raises(NotFound, match="another platform"):
        asyncio.run(provider.send(Call("POST", "/v1/messages", [], b"{}", endpoint=endpoint)))
    assert not server.received


@pytest.mark.parametrize(
    ("settings", "key", "says"),
    [
        ({"base_url": "http://10.0.0.1/v1"}, "base_url", "https"),
        ({"base_url": "api.openai.com"}, "base_url", "URL"),
        ({"models": {}}, "models", "is empty"),
        ({"models": {"nobody": "x"}}, "models", "catalogue.overlay"),
        ({"models": {MODEL: ""}}, f"models.{MODEL}", "printable"),
        ({"models": {MODEL: "a\nb"}}, f"models.{MODEL}", "printable"),
        ({"organization": "two words"}, "organization", "ASCII"),
        ({"project": "é"}, "project", "ASCII"),
        ({"header_s": 0.0}, "header_s", "greater than 0"),
    ],
)
def test_each_mistake_is_one_line_that_says_what_to_do(
    catalogue: Catalogue, settings: dict[str, Any], key: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        opened(catalogue, **settings)
    assert refused.value.where == where(key)
