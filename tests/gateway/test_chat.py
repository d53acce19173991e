"""Chat Completions through a whole gateway, against a platform made of sockets: bytes, money, limits of what is served."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from serving_harness import Site, chunk, head, run, site, take_request, upstream

PATH = "/v1/chat/completions"
OVERLAY = """
models:
- id: qwen3-32b
  limits: {context: 32768, max_output: 4096}
  prices:
  - {effective_from: 2026-01-01, input: 0.50, output: 1.50, cache_write_5m: 0.60, cache_write_1h: 0.60, cache_read: 0.05}
"""
HI = [{"role": "user", "content": "Hi"}]
ASK = {"model": "qwen3-32b", "messages": HI, "max_tokens": 100}
COUNTS = {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 40}}
COST = 60 * 500 + 40 * 50 + 20 * 1500
"""Nano-dollars of these counts: $0.50 and $1.50 per million tokens, $0.05 for what was cached."""
ANSWER = b'{"id":"c1", "model":"Qwen/Qwen3-32B","choices":[{"index":0,"message":{"role":"assistant","content":"H\\u00e9"},"finish_reason":"stop"}],"usage":%b }' % json.dumps(COUNTS).encode()  # fmt: skip


def said(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"id": "c1", "model": "Qwen/Qwen3-32B", **fields}).encode() + b"\n\n"


FIRST = said(choices=[{"index": 0, "delta": {"role": "assistant", "content": "日本"}, "finish_reason": None}])
COMMENT = b": keep-alive\n\n"
LAST = said(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = said(choices=[], usage=COUNTS)
DONE = b"data: [DONE]\n\n"
SSE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nx-request-id: up_1\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


class Server:
    """What a platform gets and says: pieces of an answer, after each request."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.received: list[tuple[bytes, bytes]] = []
        self.left = asyncio.Event()
        self.holds = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            self.received.append(await take_request(reader))
            for piece in self.pieces:
                writer.write(piece)
                await writer.drain()
            if self.holds:
                await reader.read(1)
                self.left.set()
                return

    @property
    def body(self) -> bytes:
        return self.received[-1][1]

    @property
    def head(self) -> bytes:
        return self.received[-1][0].lower()


def whole(body: bytes, status: bytes = b"200 OK", *more: bytes) -> bytes:
    lines = (
        b"HTTP/1.1 " + status,
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        *more,
    )
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def events(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> tuple[bytes, ...]:
    return (SSE, *map(chunk, pieces), end)


@asynccontextmanager
async def serving(folder: Path, server: Server, more: str = "", first: str = "") -> AsyncIterator[Site]:
    (folder / "overlay.yaml").write_text(OVERLAY)
    async with upstream(server) as config:
        url = config.partition('base_url = "')[2].partition('"')[0]
        entry = (
            f'[platforms.vllm]\nkind = "openai"\nbase_url = "{url}/v1"\napi_key = "env:TEST_KEY"\n'
            'models = {"qwen3-32b" = "Qwen/Qwen3-32B"}\n'
        )
        async with site(folder, f'[catalogue]\noverlay = "overlay.yaml"\n{first}{entry}{more}') as found:
            yield found


SIMULATOR = '[platforms.sim]\nkind = "simulator"\nlatency_scale = 0.0\nscript = "script.yaml"\n'


def test_a_chat_request_goes_out_byte_for_byte_with_the_servers_name_of_the_model(tmp_path: Path) -> None:
    async def work() -> None:
        server = Server(whole(ANSWER, b"200 OK", b"x-request-id: up_9"))
        async with serving(tmp_path, server) as here:
            raw = '{ "messages":[{"role":"user","content":"Hé"}], "tools" : [ {"x":1.50} ],"model":"qwen3-32b","seed":7}'
            headers = b"authorization: Bearer sk-callers\r\nopenai-organization: callers\r\nx-stainless-lang: python\r\n"
            status, answered, body = await here.post(raw.encode(), PATH, headers)
            assert (status, body) == (200, ANSWER)
            assert server.body == raw.replace('"qwen3-32b"', '"Qwen/Qwen3-32B"').encode()
            assert server.head.startswith(b"post /v1/chat/completions http/1.1\r\n")
            assert b"authorization: bearer upstream-secret\r\n" in server.head
            assert b"callers" not in server.head
            assert b"anthropic-" not in server.head
            assert b"x-stainless-lang: python" in server.head
            assert answered["x-trimtab-cost-usd"] == f"{COST / 1e9:.9f}"
            assert answered["x-trimtab-platform"] == "vllm"
            assert "x-trimtab-adaptations" not in answered
            record = await here.record(answered["x-trimtab-request"])
            assert (record["surface"], record["endpoint"], record["result"]) == ("chat", "chat", "ok")
            assert record["cost_nanousd"] == COST
            [attempt] = record["attempts"]
            assert attempt["cost_source"] == "reported"
            assert attempt["provider_request_id"] == "up_9"
            assert attempt["stop_reason"] == "stop"
            assert attempt["response_model"] == attempt["model"] == "Qwen/Qwen3-32B"
            assert attempt["usage"] == {
                "input_tokens": 60,
                "output_tokens": 20,
                "cache_read_input_tokens": 40,
            }
            # Without tools the bound is a byte a token and the template, at the costliest rate of input.
            assert attempt["reserved_nanousd"] == (len(raw.encode()) + 2000 + 6000) * 600 + 4096 * 1500
            assert here.held == "0.0"

    run(work)


def test_a_chat_request_narrows_itself_to_an_entry_and_hears_of_a_wrong_one_in_the_shape_of_its_api(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        server = Server(whole(ANSWER))
        async with serving(tmp_path, server, more=SIMULATOR) as here:
            status, answered, _ = await here.post(ASK, PATH, b"x-trimtab-platform: vllm\r\n")
            assert (status, answered["x-trimtab-platform"]) == (200, "vllm")
            assert b"x-trimtab-" not in server.head
            for named, code, says in (
                (b"vlm", 400, "x-trimtab-platform: 'vlm' is not a configured platform; there are vllm, sim"),
                (
                    b"sim",
                    404,
                    "x-trimtab-platform: 'qwen3-32b' is not served by sim; platforms that serve it: vllm",
                ),
            ):
                status, _, body = await here.post(ASK, PATH, b"x-trimtab-platform: " + named + b"\r\n")
                assert (status, json.loads(body)["error"]["message"]) == (code, says)

    run(work)


def test_a_stream_whose_usage_the_client_asked_for_passes_byte_for_byte(tmp_path: Path) -> None:
    async def work() -> None:
        server = Server(*events(FIRST, COMMENT, LAST, USAGE, DONE))
        async with serving(tmp_path, server) as here:
            ask = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
            status, answered, body = await here.post(ask, PATH, b"")
            assert (status, body) == (200, FIRST + COMMENT + LAST + USAGE + DONE)
            assert answered["content-type"] == "text/event-stream; charset=utf-8"
            assert "x-trimtab-adaptations" not in answered
            record = await here.record(answered["x-trimtab-request"])
            assert (record["cost_nanousd"], record["result"]) == (COST, "ok")
            assert record["attempts"][0]["cost_source"] == "reported"
            assert json.loads(server.body) == {**ask, "model": "Qwen/Qwen3-32B"}

    run(work)


@pytest.mark.parametrize("options", [None, {"include_usage": False}, {"other": 1}])
def test_a_stream_without_usage_is_priced_exactly_and_looks_as_if_nobody_had_asked(
    tmp_path: Path, options: dict[str, Any] | None
) -> None:
    async def work() -> None:
        joined = FIRST + COMMENT + LAST + USAGE + DONE
        server = Server(*events(*(joined[at : at + 37] for at in range(0, len(joined), 37))))
        async with serving(tmp_path, server) as here:
            ask: dict[str, Any] = {**ASK, "stream": True}
            if options is not None:
                ask["stream_options"] = options
            _, answered, body = await here.post(ask, PATH, b"")
            assert body == FIRST + COMMENT + LAST + DONE
            assert answered["x-trimtab-adaptations"] == "stream_options.include_usage=true"
            asked = json.loads(server.body)["stream_options"]
            assert asked == {**(options or {}), "include_usage": True}
            record = await here.record(answered["x-trimtab-request"])
            assert (record["cost_nanousd"], record["result"]) == (COST, "ok")
            assert record["adaptations"] == ["stream_options.include_usage=true"]

    run(work)


def test_a_stream_without_its_end_ends_in_an_error_and_is_settled(tmp_path: Path) -> None:
    async def work() -> None:
        server = Server(*events(FIRST, LAST, USAGE))
        async with serving(tmp_path, server) as here:
            _, answered, body = await here.post({**ASK, "stream": True}, PATH, b"")
            assert body.startswith(FIRST + LAST + b'data: {"error":{')
            error = json.loads(body.removeprefix(FIRST + LAST).removeprefix(b"data: "))["error"]
            assert error["type"] == "server_error"
            assert "[DONE]" in error["message"]
            record = await here.record(answered["x-trimtab-request"])
            assert (record["result"], record["cost_nanousd"]) == ("truncated", COST)

    run(work)


def test_a_stream_that_breaks_before_its_counts_costs_its_worst_case(tmp_path: Path) -> None:
    async def work() -> None:
        server = Server(*events(FIRST))
        async with serving(tmp_path, server) as here:
            ask = {**ASK, "stream": True, "n": 3}
            _, answered, _ = await here.post(ask, PATH, b"")
            record = await here.record(answered["x-trimtab-request"])
            [attempt] = record["attempts"]
            assert attempt["cost_source"] == "estimated"
            reserved = (len(json.dumps(ask)) + 2000) * 600 + 3 * 100 * 1500
            assert record["cost_nanousd"] == attempt["reserved_nanousd"] == reserved
            assert here.held == "0.0"

    run(work)


def test_an_error_inside_a_stream_passes_and_is_recorded(tmp_path: Path) -> None:
    async def work() -> None:
        broken = said(error={"message": "out of memory", "type": "server_error", "code": None})
        server = Server(*events(FIRST, broken))
        async with serving(tmp_path, server) as here:
            _, answered, body = await here.post({**ASK, "stream": True}, PATH, b"")
            assert body == FIRST + broken
            record = await here.record(answered["x-trimtab-request"])
            assert (record["result"], record["error"]) == ("error", "server_error")

    run(work)


def test_an_error_answer_of_the_server_passes_as_it_came_and_costs_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        refusal = (
            b'{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}'
        )
        server = Server(whole(refusal, b"429 Too Many Requests", b"retry-after: 3"))
        async with serving(tmp_path, server) as here:
            status, answered, body = await here.post(ASK, PATH, b"")
            assert (status, body, answered["retry-after"]) == (429, refusal, "3")
            record = await here.record(answered["x-trimtab-request"])
            assert (record["cost_nanousd"], record["result"]) == (0, "error")
            assert record["error"] == "requests: slow down"

    run(work)


def test_a_client_that_goes_away_ends_the_servers_work(tmp_path: Path) -> None:
    async def work() -> None:
        server = Server(SSE, chunk(FIRST))
        server.holds = True
        async with serving(tmp_path, server) as here:
            reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
            body = json.dumps({**ASK, "stream": True}).encode()
            writer.write(head("POST", PATH, b"", len(body)) + body)
            got = await reader.readuntil(FIRST)
            request = got.partition(b"x-trimtab-request: ")[2].partition(b"\r\n")[0].decode()
            writer.close()
            await asyncio.wait_for(server.left.wait(), 60)
            for _ in range(200):
                status, _, found = await here.get(f"/trimtab/v1/requests/{request}")
                if status == 200:
                    break
                await asyncio.sleep(0.02)
            record = json.loads(found)
            assert record["result"] == "cancelled"
            assert record["cost_nanousd"] == record["attempts"][0]["reserved_nanousd"]

    run(work)


def test_what_another_surface_serves_is_said_in_the_words_of_each(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, Server(whole(ANSWER)), first=SIMULATOR) as here:
            status, _, body = await here.post({**ASK, "model": "claude-haiku-4-5"}, PATH, b"")
            error = json.loads(body)["error"]
            assert (status, error["type"], error["param"], error["code"]) == (
                404,
                "invalid_request_error",
                "model",
                "model_not_found",
            )
            assert "/v1/messages" in error["message"]
            assert "'sim'" in error["message"]
            status, answered, body = await here.post(ASK)
            error = json.loads(body)["error"]
            assert (status, error["type"]) == (404, "not_found_error")
            assert PATH in error["message"]
            assert (await here.record(answered["x-trimtab-request"]))["surface"] == "messages"
            status, _, _ = await here.post({**ASK, "model": "claude-haiku-4-5"})
            assert status == 200, "the other surface works beside it"

    run(work)


def test_a_tier_may_mean_a_model_of_this_surface(tmp_path: Path) -> None:
    async def work() -> None:
        server = Server(whole(ANSWER))
        tiers = '[tiers]\nfast = "qwen3-32b"\n'
        async with serving(tmp_path, server, tiers, first=SIMULATOR) as here:
            status, answered, _ = await here.post({**ASK, "model": "trimtab/fast"}, PATH, b"")
            assert (status, answered["x-trimtab-arm"]) == (200, "qwen3-32b")
            assert json.loads(server.body)["model"] == "Qwen/Qwen3-32B"
            assert (await here.record(answered["x-trimtab-request"]))["plan"]["tier"] == "fast"

    run(work)


@pytest.mark.parametrize(
    ("body", "headers", "status", "param", "says"),
    [
        (b"{", b"", 400, None, "not valid JSON"),
        (b'{"model":"qwen3-32b","model":"x","messages":[]}', b"", 400, "model", "Duplicate"),
        (b'{"model":"qwen3-32b"}', b"", 400, "messages", "required"),
        (b'{"model":"qwen3-32b","messages":[],"n":0}', b"", 400, "n", "from 1 to 128"),
        (b'{"model":"nobody","messages":[]}', b"", 404, "model", "not known here"),
        (
            b'{"model":"qwen3-32b","messages":[]}',
            b"x-trimtab-effort: hihg\r\n",
            400,
            None,
            "'hihg' is no effort",
        ),
        (
            b'{"model":"qwen3-32b","messages":[]}',
            b"x-trimtab-nope: 1\r\n",
            400,
            None,
            "nothing in this version",
        ),
    ],
)
def test_what_is_refused_here_is_said_in_openais_shape_and_recorded(
    tmp_path: Path, body: bytes, headers: bytes, status: int, param: str | None, says: str
) -> None:
    async def work() -> None:
        server = Server(whole(ANSWER))
        async with serving(tmp_path, server) as here:
            got, answered, text = await here.post(body, PATH, headers)
            error = json.loads(text)["error"]
            assert (got, error["type"]) == (status, "invalid_request_error")
            assert set(error) == {"message", "type", "param", "code"}
            assert says in error["message"]
            if param is not None:
                assert error["param"] == param
            assert answered["x-request-id"] == answered["x-trimtab-request"]
            record = await here.record(answered["x-request-id"])
            assert (record["surface"], record["result"], record["status"]) == ("chat", "error", status)
            assert not server.received

    run(work)


def test_what_tokens_do_not_bound_is_refused_under_a_hard_budget_unless_it_may_pass_it(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        server = Server(whole(ANSWER))
        held = '[budgets.night]\ntag = "night"\nusd_per_day = 5\n'
        passed = '[budgets.day]\ntag = "day"\nusd_per_day = 5\nmay_overshoot = true\n'
        asked = b'{"model":"qwen3-32b","messages":[],"service_tier":"priority"}'
        async with serving(tmp_path, server, held + passed) as here:
            status, _, text = await here.post(asked, PATH, b"x-trimtab-tags: night\r\n")
            assert status == 403
            assert "service_tier" in (said := json.loads(text)["error"]["message"])
            assert "budget 'night.usd_per_day' is a hard one for tag 'night'" in said
            assert not server.received
            assert (await here.post(asked, PATH, b"x-trimtab-tags: day\r\n"))[0] == 200

    run(work)


def test_other_methods_and_other_paths_of_the_api_are_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, Server(whole(ANSWER))) as here:
            status, answered, body = await here.get(PATH)
            assert (status, answered["allow"]) == (405, "POST")
            assert json.loads(body)["error"]["type"] == "invalid_request_error"
            status, _, body = await here.post(ASK, "/v1/responses")
            assert status == 404
            assert PATH in json.loads(body)["error"]["message"]
            status, _, body = await here.get("/v1/files")
            assert status == 404, "no platform of the vendor's API is configured"

    run(work)


def test_a_server_that_cannot_be_reached_is_told_apart(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(tmp_path, Server()) as here:
            pass
        (tmp_path / "t").mkdir()
        dead = '[platforms.vllm]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\nmodels = {"qwen3-32b" = "q"}\n'
        (tmp_path / "t" / "overlay.yaml").write_text(OVERLAY)
        async with site(tmp_path / "t", f'[catalogue]\noverlay = "overlay.yaml"\n{dead}') as here:
            status, answered, body = await here.post(ASK, PATH, b"")
            error = json.loads(body)["error"]
            assert (status, error["type"], error["code"]) == (502, "server_error", "upstream_error")
            assert answered["x-should-retry"] == "true"
            assert (await here.record(answered["x-request-id"]))["cost_nanousd"] == 0

    run(work)


def test_a_request_with_an_idempotency_key_is_made_once(tmp_path: Path) -> None:
    async def work() -> None:
        server = Server(whole(ANSWER))
        async with serving(tmp_path, server) as here:
            headers = b"idempotency-key: k1\r\n"
            first = await here.post(ASK, PATH, headers)
            second = await here.post(ASK, PATH, headers)
            assert first[2] == ANSWER
            assert len(server.received) == 1
            assert second[0] in (200, 409)
            if second[0] == 409:
                assert json.loads(second[2])["error"]["code"] == "conflict"

    run(work)
