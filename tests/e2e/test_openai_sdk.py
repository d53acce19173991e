"""The official OpenAI SDK, unchanged but for the base URL, against `trimtab serve` before a simulated server.

The server is `trimtab simulate`, over real HTTP. vLLM, llama.cpp, Ollama and OpenAI's own were not asked: none of them
can be run here.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

openai = pytest.importorskip(
    "openai", reason="the openai package is not installed: requirements/dev.txt has it"
)

MODEL = "qwen3-32b"
SERVED = "Qwen/Qwen3-32B"
OVERLAY = """
models:
- id: qwen3-32b
  limits: {context: 32768, max_output: 4096}
  prices:
  - {effective_from: 2026-01-01, input: 0.50, output: 1.50, cache_write_5m: 0.60, cache_write_1h: 0.60, cache_read: 0.05}
- id: not-there
  limits: {context: 32768, max_output: 4096}
  prices: &p
  - {effective_from: 2026-01-01, input: 1, output: 1, cache_write_5m: 1, cache_write_1h: 1, cache_read: 1}
- id: keyless
  limits: {context: 32768, max_output: 4096}
  prices:
  - {effective_from: 2026-01-01, input: 1, output: 1, cache_write_5m: 1, cache_write_1h: 1, cache_read: 1}
""".replace(" &p", "")
SCRIPT = """
version: 1
rules:
- match: {contains: 3 + 4}
  reply: {text: 3 + 4 = 7}
- match: {contains: slow down}
  reply: {error: {status: 429, message: Too fast, retry_after_s: 1}}
- match: {contains: fall over}
  reply: {error: {status: 500, message: I fell over}}
- match: {contains: break off, stream: true}
  reply: {cut: {after_events: 5}}
- match: {contains: go wrong, stream: true}
  reply: {stream_error: {after_events: 5, type: api_error, message: It went wrong}}
- match: {contains: weather}
  reply: {text: I look., tool_use: {name: get_weather, input: {city: Zürich, days: 2}}}
"""
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            },
        },
    }
]


def asked(text: str) -> Any:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The simulated server's address."""
    folder = tmp_path_factory.mktemp("platform")
    (folder / "script.yaml").write_text(SCRIPT)
    command = [
        sys.executable,
        "-m",
        "trimtab",
        "simulate",
        "--port",
        "0",
        "--latency-scale",
        "0",
        "--require-key",
    ]
    names = [f"{SERVED}=claude-haiku-4-5", "keyless=claude-haiku-4-5"]
    options = [part for name in names for part in ("--model", name)]
    process = subprocess.Popen(
        [*command, "--script", "script.yaml", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line, line
        yield line.partition("serves ")[2].split()[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


@pytest.fixture(scope="module")
def server(serve: Callable[..., Any], platform: str) -> Any:
    entry = f'kind = "openai"\nbase_url = "{platform}/v1"\n'
    config = (
        '[catalogue]\noverlay = "overlay.yaml"\n[server]\nrequire_keys = true\n'
        f'[platforms.vllm]\n{entry}api_key = "env:VLLM_KEY"\n'
        f'models = {{"{MODEL}" = "{SERVED}", "not-there" = "nobody/knows"}}\n'
        f'[platforms.open]\n{entry}models = {{"keyless" = "keyless"}}\n'
        '[platforms.sim]\nkind = "simulator"\nlatency_scale = 0.0\n'
    )
    return serve(
        config,
        before=lambda path: (path.parent / "overlay.yaml").write_text(OVERLAY),
        VLLM_KEY="server-secret",
    )


def key_of(server: Any, *arguments: str) -> str:
    """A new key."""
    done = subprocess.run(
        [sys.executable, "-m", "trimtab", "keys", "add", *arguments, "-q", "--config", str(server.config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=server.folder,
        env={**os.environ, "VLLM_KEY": "server-secret"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def secret(server: Any) -> str:
    return key_of(server, "tests")


@pytest.fixture
def client(server: Any, secret: str) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=secret, max_retries=0) as made:
        yield made


def record_of(server: Any, secret: str, request: str) -> dict[str, Any]:
    give_up = time.monotonic() + 60
    asking = urllib.request.Request(
        f"{server.url}/trimtab/v1/requests/{request}", headers={"authorization": f"Bearer {secret}"}
    )
    while True:
        try:
            with urllib.request.urlopen(asking, timeout=60) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as problem:
            with problem:
                if problem.code != 404 or time.monotonic() > give_up:
                    raise
            time.sleep(0.02)


def cost_of(usage: Any) -> int:
    details = usage.prompt_tokens_details
    cached, written = details.cached_tokens or 0, getattr(details, "cache_write_tokens", 0) or 0
    fresh = usage.prompt_tokens - cached - written
    return fresh * 500 + cached * 50 + written * 600 + int(usage.completion_tokens) * 1500


def test_a_plain_completion_is_answered_priced_and_recorded(client: Any, server: Any, secret: str) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=asked("What is 3 + 4?"), max_tokens=64, user="somebody"
    )
    made = raw.parse()
    assert made.choices[0].message.content == "3 + 4 = 7"
    assert made.choices[0].finish_reason == "stop"
    assert made.model == SERVED
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens
    assert raw.headers["x-trimtab-simulated"] == "true"
    assert raw.headers["x-trimtab-platform"] == "vllm"
    record = record_of(server, secret, raw.headers["x-trimtab-request"])
    assert (record["surface"], record["result"], record["simulated"]) == ("chat", "ok", True)
    assert record["session"].startswith("u:")
    assert record["attempts"][0]["cost_source"] == "reported"
    assert record["cost_nanousd"] == cost_of(made.usage)
    assert raw.headers["x-trimtab-cost-usd"] == f"{record['cost_nanousd'] / 1e9:.9f}"


def test_several_answers_are_all_billed(client: Any, server: Any, secret: str) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=asked("What is 3 + 4?"), max_completion_tokens=64, n=3
    )
    made = raw.parse()
    assert [choice.index for choice in made.choices] == [0, 1, 2]
    record = record_of(server, secret, raw.headers["x-trimtab-request"])
    assert record["cost_nanousd"] == cost_of(made.usage)
    assert record["attempts"][0]["reserved_nanousd"] >= 3 * 64 * 1500


def test_a_stream_without_usage_gives_what_the_sdk_expects_and_is_priced(
    client: Any, server: Any, secret: str
) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=asked("What is 3 + 4?"), max_tokens=64, stream=True
    )
    chunks = list(raw.parse())
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "3 + 4 = 7"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)
    assert raw.headers["x-trimtab-adaptations"] == "stream_options.include_usage=true"
    record = record_of(server, secret, raw.headers["x-trimtab-request"])
    [attempt] = record["attempts"]
    assert (record["result"], attempt["cost_source"]) == ("ok", "reported")
    whole = client.chat.completions.create(model=MODEL, messages=asked("What is 3 + 4?"), max_tokens=64)
    assert record["cost_nanousd"] == cost_of(whole.usage)


def test_a_stream_with_usage_ends_in_the_usage_that_is_billed(client: Any, server: Any, secret: str) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL,
        messages=asked("What is 3 + 4?"),
        max_tokens=64,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(raw.parse())
    assert chunks[-1].choices == []
    assert "x-trimtab-adaptations" not in raw.headers
    record = record_of(server, secret, raw.headers["x-trimtab-request"])
    assert record["cost_nanousd"] == cost_of(chunks[-1].usage)


def test_tools_go_there_and_back(client: Any) -> None:
    ask = {"model": MODEL, "messages": asked("How is the weather?"), "tools": TOOLS, "max_tokens": 200}
    made = client.chat.completions.create(**ask)
    [call] = made.choices[0].message.tool_calls
    assert made.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "get_weather",
        {"city": "Zürich", "days": 2},
    )
    pieces = [
        piece.function.arguments or ""
        for chunk in client.chat.completions.create(**ask, stream=True)
        for piece in chunk.choices[0].delta.tool_calls or ()
    ]
    assert json.loads("".join(pieces)) == {"city": "Zürich", "days": 2}
    answered = client.chat.completions.create(
        model=MODEL,
        max_tokens=64,
        tools=TOOLS,
        messages=[
            *ask["messages"],
            made.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
        ],
    )
    assert answered.choices[0].message.content


def test_tools_reach_the_server_byte_for_byte(serve: Callable[..., Any], upstream: Any) -> None:
    upstream.answer = lambda _: [
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    ]
    direct_first = len(upstream.received)
    server = serve(
        '[catalogue]\noverlay = "overlay.yaml"\n'
        f'[platforms.vllm]\nkind = "openai"\nbase_url = "{upstream.url}/v1"\nmodels = {{"{MODEL}" = "{MODEL}"}}\n',
        before=lambda path: (path.parent / "overlay.yaml").write_text(OVERLAY),
    )
    for url in (upstream.url, server.url):
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as made:
            made.chat.completions.create(
                model=MODEL, messages=asked("Grüße"), tools=TOOLS, max_tokens=9, extra_body={"top_k": 1.50}
            )
    theirs, ours = upstream.received[direct_first:]
    assert ours.body == theirs.body
    assert ours.target == theirs.target == b"/v1/chat/completions"
    assert not ours.values(b"authorization")


def test_errors_of_the_server_and_of_trimtab_raise_the_sdks_own_classes(
    client: Any, server: Any, secret: str
) -> None:
    def refused(kind: type[Exception], text: str = "Hi", **more: Any) -> Any:
        with pytest.raises(kind) as caught:
            client.chat.completions.create(
                **{"model": MODEL, "messages": asked(text), "max_tokens": 9, **more}
            )
        assert type(caught.value) is kind
        return caught.value

    assert refused(openai.RateLimitError, "slow down").code == "rate_limit_exceeded"
    assert "I fell over" in str(refused(openai.InternalServerError, "fall over"))
    there = refused(openai.NotFoundError, model="not-there")
    assert "nobody/knows" in str(there)
    assert refused(openai.AuthenticationError, model="keyless").status_code == 401
    here = refused(openai.NotFoundError, model="gpt-nobody-has")
    assert (here.code, here.param) == ("model_not_found", "model")
    assert "/v1/messages" in str(refused(openai.NotFoundError, model="claude-haiku-4-5"))
    assert refused(openai.BadRequestError, n=0).param == "n"
    record = record_of(server, secret, here.request_id)
    assert (record["surface"], record["status"]) == ("chat", 404)


def test_a_stream_that_goes_wrong_raises_and_costs_its_worst_case(
    client: Any, server: Any, secret: str
) -> None:
    for text, said in (("go wrong", "It went wrong"), ("break off", None)):
        raw = client.chat.completions.with_raw_response.create(
            model=MODEL, messages=asked(text), max_tokens=50, stream=True
        )
        with pytest.raises(openai.APIError, match=said):
            list(raw.parse())
        record = record_of(server, secret, raw.headers["x-trimtab-request"])
        [attempt] = record["attempts"]
        assert record["result"] in ("error", "truncated")
        assert (attempt["cost_source"], attempt["cost_nanousd"]) == ("estimated", attempt["reserved_nanousd"])


def test_a_key_is_needed_and_its_limits_hold(server: Any) -> None:
    def asking(secret: str, **more: Any) -> Any:
        ask = {"model": MODEL, "messages": asked("What is 3 + 4?"), "max_tokens": 64, **more}
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key=secret, max_retries=0) as made:
            for _ in range(10):
                try:
                    return made.chat.completions.create(**ask)
                except openai.InternalServerError as problem:
                    # On a busy machine the store may not deal out the key's money in time; it says so.
                    last = problem
        raise last

    with pytest.raises(openai.AuthenticationError) as caught:
        asking("tt-" + "x" * 40)
    assert caught.value.code == "invalid_api_key"

    once = key_of(server, "once", "--rpm", "1")
    assert asking(once).choices
    with pytest.raises(openai.RateLimitError) as limited:
        asking(once)
    assert int(limited.value.response.headers["retry-after"]) > 0

    poor = key_of(server, "poor", "--usd", "0.000001")
    with pytest.raises(openai.APIStatusError) as spent:
        asking(poor)
    assert (spent.value.status_code, spent.value.code) == (402, "insufficient_quota")

    bounded = key_of(server, "bounded", "--usd", "1")
    assert asking(bounded).choices
    with pytest.raises(openai.PermissionDeniedError):
        asking(bounded, service_tier="priority")

    other = key_of(server, "other", "--models", "claude-haiku-4-5")
    with pytest.raises(openai.PermissionDeniedError):
        asking(other)


def test_models_are_listed_for_this_sdk_too(client: Any) -> None:
    listed = client.models.list(extra_query={"limit": 1000})
    assert MODEL in [model.id for model in listed]
    assert client.models.retrieve(MODEL).id == MODEL
