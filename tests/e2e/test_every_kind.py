"""One gateway with an entry of each kind before one `trimtab simulate`, which gives out the credentials of the clouds.

Two processes and the official SDKs; a key for each entry, so that a request has one way to go.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google_service import Account
from sdk_programs import E2E, python_of, run_program
from simulate_program import simulating

from trimtab.admin import Actor, NewKey
from trimtab.app import opened_key_door
from trimtab.providers.simulator.issued import Issued

openai = pytest.importorskip("openai", reason="the openai package is not installed: requirements/dev.txt")

AWS = 'region = "eu-west-1"\n'
ENTRIES = {
    "claude": ("claude-opus-4-7", 'kind = "anthropic"\nbase_url = "{url}"\napi_key = "env:CLAUDE_KEY"\n'),
    "claude-aws": (
        "claude-opus-4-7",
        'kind = "anthropic_on_aws"\nworkspace = "wrkspc_1"\nbase_url = "{url}"\n' + AWS,
    ),
    "bedrock": ("eu.anthropic.claude-opus-4-7", 'kind = "bedrock"\nbase_url = "{url}"\n' + AWS),
    "converse": (
        "eu.anthropic.claude-opus-4-7",
        'kind = "bedrock"\nendpoint = "converse"\nbase_url = "{url}"\n' + AWS,
    ),
    "mantle": (
        "anthropic.claude-opus-4-7",
        'kind = "bedrock"\nendpoint = "mantle"\nbase_url = "{url}/anthropic"\n' + AWS,
    ),
    "vertex": (
        "claude-opus-4-7",
        'kind = "vertex"\nproject = "my-project"\nregion = "europe-west1"\nbase_url = "{url}"\n',
    ),
    "foundry": ("claude-opus-4-7", 'kind = "foundry"\nbase_url = "{url}/anthropic"\n'),
    "sim": ("claude-opus-4-7", 'kind = "simulator"\nlatency_scale = 0.0\n'),
}
"""What each calls Opus 4.7, and its configuration. The clouds find credentials in the environment."""
OTHERS = {
    "gpt": 'kind = "openai"\nbase_url = "{url}/v1"\nmodels = {{"qwen3-32b" = "Qwen/Qwen3-32B"}}\n',
    "ended": 'kind = "foundry"\nbase_url = "{url}/anthropic"\naccess_token = "env:ENDED"\n',
    "refused": 'kind = "foundry"\nbase_url = "{url}/anthropic"\ntenant_id = "t"\nclient_id = "nobody"\n'
    'client_secret = "env:CLAUDE_KEY"\n',
}
OVERLAY = """
models:
- id: qwen3-32b
  limits: {context: 32768, max_output: 4096}
  prices:
  - {effective_from: 2026-01-01, input: 0.50, output: 1.50, cache_write_5m: 0, cache_write_1h: 0, cache_read: 0}
"""
SCRIPT = """
version: 1
rules:
- match: {endpoint: credentials, contains: nobody}
  reply: {error: {status: 400, error_code: unauthorized_client, message: "AADSTS700016: no such application"}}
"""


class Scene(NamedTuple):
    """A gateway, and a key for each of its entries."""

    server: Any
    keys: dict[str, str]

    def record(self, request: str, key: str) -> Any:
        url = f"{self.server.url}/trimtab/v1/requests/{request}"
        give_up = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(
                    urllib.request.Request(url, headers={"x-api-key": key}), timeout=60
                ) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as problem:
                if problem.code != 404 or time.monotonic() > give_up:
                    raise
                time.sleep(0.05)

    def ask(self, entry: str) -> tuple[int, Any]:
        """Status and body of one request."""
        body = {
            "model": "claude-opus-4-7",
            "max_tokens": 32,
            "messages": [{"role": "user", "content": "Hi"}],
        }
        headers = {
            "x-api-key": self.keys[entry],
            "anthropic-version": "2023-06-01",
            "content-type": "application/json",
        }
        request = urllib.request.Request(f"{self.server.url}/v1/messages", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as problem:
            return problem.code, json.load(problem)


@pytest.fixture(scope="module")
def account() -> Account:
    return Account.new()


@pytest.fixture(scope="module")
def url(account: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("simulate")
    (folder / "key.pem").write_bytes(account.public)
    (folder / "script.yaml").write_text(SCRIPT)
    files = ("--google-key", "key.pem", "--script", "script.yaml")
    model = ("--model", "Qwen/Qwen3-32B=claude-haiku-4-5")
    with simulating(folder, *files, *model, "--token-life", "600") as address:
        yield address


@pytest.fixture(scope="module")
def scene(
    url: str, account: Account, serve: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Scene:
    home = tmp_path_factory.mktemp("home")
    (home / "token").write_text("the-token-of-the-pod")
    (home / "account.json").write_text(json.dumps(account.file(f"{url}/token")))
    (home / "overlay.yaml").write_text(OVERLAY)
    keys: dict[str, str] = {}
    entries = {**{name: text for name, (_, text) in ENTRIES.items()}, **OTHERS}

    def made(config: Path) -> None:
        with opened_key_door(config, create=True) as door:
            for name in entries:
                key = door.admin.add(Actor("tests"), NewKey(name=name, platforms=(name,)))
                keys[name] = key.secret.reveal()

    server = serve(
        f'[server]\nrequire_keys = true\n[catalogue]\noverlay = "{home}/overlay.yaml"\n'
        + "".join(f"[platforms.{name}]\n{text.format(url=url)}" for name, text in entries.items()),
        before=made,
        CLAUDE_KEY="sk-made-up",
        ENDED=Issued().token("azure", time.time() - 7200),
        AWS_ENDPOINT_URL_STS=url,
        AWS_ROLE_ARN="arn:aws:iam::123456789012:role/gateway",
        AWS_WEB_IDENTITY_TOKEN_FILE=str(home / "token"),
        GOOGLE_APPLICATION_CREDENTIALS=str(home / "account.json"),
        AZURE_AUTHORITY_HOST=url,
        AZURE_TENANT_ID="tenant",
        AZURE_CLIENT_ID="client",
        AZURE_CLIENT_SECRET="secret",
    )
    return Scene(server, keys)


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_sdk_is_answered_by_every_kind_of_platform_with_credentials_that_end(
    entry: str, scene: Scene
) -> None:
    server, key = scene.server, scene.keys[entry]
    said = run_program(python_of("2.11"), E2E / "platforms.py", server.url, server.folder, server.log, key)
    assert "391" in said["plain"]["text"]
    assert said["streamed"]["blocks"] == ["thinking", "text"]
    assert said["same"]
    assert said["called"]["blocks"] == ["tool_use"]
    assert said["tokens"] > 0
    assert said["headers"]["x-trimtab-simulated"] == "true"
    record = scene.record(said["headers"]["x-trimtab-request"], key)
    [attempt] = record["attempts"]
    assert (attempt["platform"], attempt["model"]) == (entry, ENTRIES[entry][0])
    assert attempt["cost_source"] == "reported"
    assert record["simulated"] is True


def test_the_openai_sdk_is_answered_by_a_server_of_its_api(scene: Scene) -> None:
    with openai.OpenAI(base_url=f"{scene.server.url}/v1", api_key=scene.keys["gpt"], max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="qwen3-32b", messages=[{"role": "user", "content": "What is 17 * 23?"}]
        )
        assert "391" in raw.parse().choices[0].message.content
    [attempt] = scene.record(raw.headers["x-trimtab-request"], scene.keys["gpt"])["attempts"]
    assert (attempt["platform"], attempt["model"]) == ("gpt", "Qwen/Qwen3-32B")


def test_credentials_that_have_ended_are_said_to_be_trimtabs(scene: Scene) -> None:
    status, body = scene.ask("ended")
    assert (status, body["error"]["type"]) == (401, "authentication_error")
    assert "have expired" in body["error"]["message"]


def test_a_server_that_gives_out_no_credentials_is_named_with_its_reason(scene: Scene) -> None:
    status, body = scene.ask("refused")
    assert status == 502
    assert "unauthorized_client: AADSTS700016: no such application" in body["error"]["message"]
