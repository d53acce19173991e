"""What `trimtab doctor` finds out of a platform's credentials, and that no model is made to answer for it."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_upstream import CUT, Received, Upstream, whole

from trimtab.app import load_settings
from trimtab.app.check import Finding, diagnose
from trimtab.app.live import live_models
from trimtab.app.platforms import ids_served, open_entry
from trimtab.app.tried import Tried, tried
from trimtab.errors import NotFound

BODIES = {
    "bedrock": "kind = 'bedrock'\nregion = 'eu-west-1'\napi_key = 'env:KEY_A'\n",
    "converse": "kind = 'bedrock'\nendpoint = 'converse'\nregion = 'eu-west-1'\napi_key = 'env:KEY_A'\n",
    "mantle": "kind = 'bedrock'\nendpoint = 'mantle'\nregion = 'eu-west-1'\napi_key = 'env:KEY_A'\n",
    "vertex": "kind = 'vertex'\nproject = 'p-1'\nregion = 'global'\naccess_token = 'env:KEY_A'\n",
    "foundry": "kind = 'foundry'\napi_key = 'env:KEY_A'\n",
}
COUNTED = b'{"input_tokens":8,"inputTokens":8}'


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    stub = Upstream(lambda _: whole(COUNTED))
    yield stub
    stub.close()


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_A", "sk-secret-a")
    monkeypatch.setenv("KEY_B", "sk-secret-b")
    for name in ("AWS_PROFILE", "AWS_REGION", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def found(folder: Path, entry: str, upstream: Upstream) -> Tried:
    file = folder / "trimtab.toml"
    file.write_text(f"version = 1\n[platforms.x]\n{entry}base_url = '{upstream.url}'\n")
    settings = load_settings(file)

    async def work() -> Tried:
        ((key, provider),) = open_entry(settings, "x").items()
        try:
            return await tried(provider, ids_served({key: provider}, settings.catalogue)[key])
        finally:
            await provider.aclose()

    return asyncio.run(work())


def free(request: Received) -> bool:
    """Whether the request makes no model answer."""
    return b"count" in request.target or request.method == b"GET"


@pytest.mark.parametrize("kind", BODIES)
def test_where_there_is_no_list_tokens_are_counted_which_costs_nothing(
    kind: str, tmp_path: Path, upstream: Upstream
) -> None:
    result = found(tmp_path, BODIES[kind], upstream)
    assert result.level == "ok", result
    assert result.text.startswith("takes the credentials, and counted tokens for claude-")
    assert result.text.endswith(", which costs nothing")
    assert upstream.received
    assert all(free(request) for request in upstream.received)


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize(
    ("status", "level"),
    [(b"401 No", "problem"), (b"403 No", "problem"), (b"404 No", "note"), (b"429 No", "note"), (b"500 No", "problem")],
)  # fmt: skip
def test_what_a_platform_says_of_the_credentials_is_one_clear_line(
    kind: str, status: bytes, level: str, tmp_path: Path, upstream: Upstream
) -> None:
    said = b'{"type":"error","error":{"type":"x","message":"the key\\nsk-? \\u001b[2J is not known"}}'
    upstream.answer = lambda _: whole(said, status=status)
    result = found(tmp_path, BODIES[kind], upstream)
    assert result.level == level
    assert result.text.startswith(f"answered {status[:3].decode()} to counting tokens for claude-")
    assert "is not known" in result.text
    assert result.text.isprintable()
    assert "sk-secret" not in result.text
    assert len(result.text) < 500


@pytest.mark.parametrize("kind", BODIES)
def test_a_simulated_platform_is_called_so(kind: str, tmp_path: Path, upstream: Upstream) -> None:
    upstream.answer = lambda _: whole(COUNTED, b"x-trimtab-simulated: true")
    assert found(tmp_path, BODIES[kind], upstream).simulated


def test_a_platform_that_hangs_up_is_a_problem(tmp_path: Path, upstream: Upstream) -> None:
    upstream.answer = lambda _: [CUT]
    assert found(tmp_path, BODIES["bedrock"], upstream).level == "problem"


SERVER = "kind = 'openai'\napi_key = 'env:KEY_A'\nmodels = {'claude-haiku-4-5' = 'own/name'}\n"


def listing(*names: str) -> Callable[[Received], Any]:
    body = json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})
    return lambda _: whole(body.encode())


def test_a_server_of_the_openai_api_is_asked_for_its_list(tmp_path: Path, upstream: Upstream) -> None:
    upstream.answer = listing("own/name", "other")
    assert found(tmp_path, SERVER, upstream) == Tried("ok", "answers and lists 2 models")
    (request,) = upstream.received
    assert (request.method, request.target) == (b"GET", b"/models")
    assert request.values(b"authorization") == [b"Bearer sk-secret-a"]
    assert b"anthropic-version" not in request.names()


def test_a_name_that_a_server_does_not_list_is_told(tmp_path: Path, upstream: Upstream) -> None:
    upstream.answer = listing("other")
    result = found(tmp_path, SERVER, upstream)
    assert result == Tried("note", "answers and lists 1 model, but not 'own/name', which its models name")


def test_a_servers_own_names_are_not_held_against_the_catalogue(tmp_path: Path, upstream: Upstream) -> None:
    file = tmp_path / "trimtab.toml"
    file.write_text(f"version = 1\n[platforms.x]\n{SERVER}base_url = '{upstream.url}'\n")
    with pytest.raises(NotFound, match="names of its own"):
        live_models(load_settings(file))


def test_each_key_of_a_pool_has_its_line(tmp_path: Path, upstream: Upstream) -> None:
    def answer(request: Received) -> Any:
        if request.values(b"x-api-key") == [b"sk-secret-b"]:
            return whole(b'{"type":"error","error":{"message":"invalid x-api-key"}}', status=b"401 No")
        return whole(b'{"data":[{"id":"claude-opus-4-7"}],"has_more":false}')

    upstream.answer = answer
    file = tmp_path / "trimtab.toml"
    file.write_text(
        f"version = 1\n[store]\nurl = 'sqlite:///{tmp_path}/t.db'\n[platforms.claude]\nkind = 'anthropic'\n"
        f"api_keys = ['env:KEY_A', 'env:KEY_B']\nbase_url = '{upstream.url}'\n"
    )
    lines = [one for one in diagnose(file, network=True) if one.subject.startswith("platform ")]
    assert lines[0] == Finding("ok", "platform claude, key 1", "answers and lists 1 model")
    assert (lines[1].level, lines[1].subject) == ("problem", "platform claude, key 2")
    assert "claude answered 401 to GET /v1/models" in lines[1].text
    assert "sk-secret" not in "".join(one.text for one in lines)
