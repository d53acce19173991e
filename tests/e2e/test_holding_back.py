"""Answers that are held back until they were judged, as official SDKs and plain sockets see them: one valid answer, that
of the attempt that is released, and nothing of any other.

The first rung is always wrong here and the second always right, as a verifier knows that comes from a package of its own.
The platform is the simulator, in process and over HTTP; chat is over HTTP only.
"""

import http.client
import json
import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import apsw
import pytest
from known_verifier import installed
from sdk_programs import E2E, VERSIONS, python_of, run_program
from simulated_platforms import House, simulated
from waiting import until

from trimtab.catalogue import Catalogue

openai = pytest.importorskip(
    "openai", reason="the openai package is not installed: requirements/dev.txt has it"
)

HAIKU, OPUS = "claude-haiku-4-5-20251001", "claude-opus-4-7"
LEAK = "words of the first attempt"
SLOW_S = 0.8
"""Much longer than heads are held and signs of life are apart, so that there are several of them however slow the machine."""

SCRIPT = f"""
version: 1
rules:
- match: {{contains: slow climb, model: claude-haiku-4-5}}
  reply: {{stall: {{where: before_head, seconds: {SLOW_S}}}, usage: {{input_tokens: 11, output_tokens: 7}}}}
- match: {{contains: late error, model: claude-haiku-4-5}}
  reply: {{stall: {{where: before_head, seconds: {SLOW_S}}}, error: {{status: 500, message: It broke late}}}}
- match: {{contains: stands still at first, model: claude-haiku-4-5}}
  reply: {{stall: {{where: after_head, seconds: 600}}}}
- match: {{contains: stands still then, model: claude-opus-4-7}}
  reply: {{stall: {{where: before_head, seconds: 600}}}}
- match: {{contains: stands still beside, model: claude-sonnet-4-6}}
  reply: {{stall: {{where: before_head, seconds: 600}}}}
- match: {{model: claude-haiku-4-5}}
  reply: {{usage: {{input_tokens: 11, output_tokens: 7}}}}
- match: {{model: claude-opus-4-7}}
  reply: {{usage: {{input_tokens: 23, output_tokens: 5}}}}
cases:
- contains: ""
  answer: right
  wrong: ["{LEAK}"]
  chance: {{claude-haiku-4-5: 0.0, "*": 1.0}}
"""
CONFIG = """
[verification]
hold_headers_s = 0.2
keep_alive_s = 0.1
[verifiers.right]
kind = "known_rates"
right = "right"
[verifiers.opinion]
kind = "second_opinion"
arm = "claude-sonnet-4-6"
[routes.judged]
ladder = ["claude-haiku-4-5", "claude-opus-4-7"]
verify = ["right"]
[routes.doubted]
ladder = ["claude-haiku-4-5", "claude-opus-4-7"]
verify = ["opinion"]
"""
RELEASED = {"input_tokens": 23, "output_tokens": 5}
COST = 11 * 1_000 + 7 * 5_000 + 23 * 5_000 + 5 * 25_000
"""Both attempts, in nano-dollars: $1 and $5, $5 and $25 per million tokens."""


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """The simulator on a port."""
    with simulated(SCRIPT, catalogue=Catalogue.load()) as found:
        yield found


@pytest.fixture(scope="module")
def sites(
    serve: Callable[..., Any], house: House, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Any]:
    """Gateways by where their simulator is, each started when it is first asked for."""
    package = installed(tmp_path_factory.mktemp("verifier"))
    path = os.pathsep.join(part for part in (str(package), os.environ.get("PYTHONPATH", "")) if part)
    models = f'models = {{"claude-haiku-4-5" = "{HAIKU}", "{OPUS}" = "{OPUS}", "claude-sonnet-4-6" = "claude-sonnet-4-6"}}'
    entries = {
        "in process": '[platforms.sim]\nkind = "simulator"\nlatency_scale = 0.0\nscript = "script.yaml"\n',
        "over HTTP": f'[platforms.sim]\nkind = "anthropic"\nbase_url = "{house.url}"\napi_key = "env:KEY"\n'
        f'[platforms.chat]\nkind = "openai"\nbase_url = "{house.url}/v1"\n{models}\n',
    }
    found: dict[str, Any] = {}

    def site(where: str) -> Any:
        if where not in found:
            found[where] = serve(
                entries[where] + CONFIG,
                before=lambda config: (config.parent / "script.yaml").write_text(SCRIPT),
                PYTHONPATH=path,
                KEY="k",
            )
        return found[where]

    return site


def both_attempts(record: dict[str, Any]) -> None:
    """The record of a request whose first answer was rejected and whose second was accepted."""
    assert record["result"] == "ok", record
    assert [one["arm"]["model"] for one in record["attempts"]] == [HAIKU, OPUS]
    assert [[verdict["says"] for verdict in one["verdicts"]] for one in record["attempts"]] == [
        ["escalate"],
        ["accept"],
    ]
    assert record["cost_nanousd"] == COST
    assert len(record["escalations"]) == 1


@pytest.mark.parametrize(
    ("version", "where"), [(VERSIONS[-1], "in process"), *((version, "over HTTP") for version in VERSIONS)]
)
def test_the_sdk_gets_one_valid_answer_of_the_released_attempt(
    version: str, where: str, sites: Callable[[str], Any]
) -> None:
    server = sites(where)
    seen = run_program(python_of(version), E2E / "holding_back.py", server.url, server.folder, server.log)
    assert LEAK not in json.dumps(seen)
    for name in ("whole", "helper", "slow_helper"):
        found = seen[name]
        assert (found["text"], found["model"], found["usage"]) == ("right", OPUS, RELEASED), name
        assert found["stop_reason"] == "end_turn"
    assert seen["helper"]["joined"] is seen["slow_helper"]["joined"] is True
    for name in ("create", "slow"):
        found = seen[name]
        kinds = found["kinds"]
        assert (kinds.count("message_start"), kinds[0], kinds[-1]) == (1, "message_start", "message_stop")
        assert (found["text"], found["problem"]) == ("right", "")
        assert found["usage"] == {"model": OPUS, **RELEASED}
    for name in ("whole", "create", "helper"):
        assert seen[name]["headers"]["x-trimtab-arm"] == OPUS, name
    for name in ("slow", "slow_helper"):
        assert seen[name]["headers"]["x-trimtab-arm"] == "pending"
        assert seen[name]["headers"]["x-trimtab-simulated"] == "true"
    for name in ("whole", "create", "helper", "slow", "slow_helper"):
        both_attempts(server.record(seen[name]["headers"]["x-trimtab-request"]))
    late = seen["late_error"]
    assert late["headers"]["x-trimtab-arm"] == "pending"
    assert late["kinds"] == []
    assert late["problem"].startswith("API"), late
    assert server.record(late["headers"]["x-trimtab-request"])["result"] == "error"


@pytest.fixture
def chat(sites: Callable[[str], Any]) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{sites('over HTTP').url}/v1", api_key="none", max_retries=0) as made:
        yield made


def of_judged(text: str, **more: Any) -> dict[str, Any]:
    asked = {"model": "trimtab/judged", "messages": [{"role": "user", "content": text}], "max_tokens": 300}
    return {**asked, **more}


def test_the_openai_sdk_gets_one_valid_answer_of_the_released_attempt(
    chat: Any, sites: Callable[[str], Any]
) -> None:
    server = sites("over HTTP")
    raw = chat.chat.completions.with_raw_response.create(**of_judged("climb"))
    made = raw.parse()
    assert (made.choices[0].message.content, made.model) == ("right", OPUS)
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (23, 5)
    both_attempts(server.record(raw.headers["x-trimtab-request"]))
    for text, arm in (("climb", OPUS), ("slow climb", "pending")):
        for options in ({"stream_options": {"include_usage": True}}, {}):
            raw = chat.chat.completions.with_raw_response.create(**of_judged(text, stream=True, **options))
            chunks = list(raw.parse())
            deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
            assert sum(delta.role is not None for delta in deltas) == 1
            assert "".join(delta.content or "" for delta in deltas) == "right"
            assert len({chunk.id for chunk in chunks}) == 1
            assert raw.headers["x-trimtab-arm"] == arm
            usages = [(one.usage.prompt_tokens, one.usage.completion_tokens) for one in chunks if one.usage]
            assert usages == ([(23, 5)] if options else [])
            both_attempts(server.record(raw.headers["x-trimtab-request"]))
    raw = chat.chat.completions.with_raw_response.create(**of_judged("late error", stream=True))
    assert raw.headers["x-trimtab-arm"] == "pending"
    with pytest.raises(openai.APIError, match="broke late"):
        list(raw.parse())


@pytest.mark.parametrize(
    ("where", "path", "sign"),
    [
        ("in process", "/v1/messages", b'event: ping\ndata: {"type": "ping"}\n\n'),
        ("over HTTP", "/v1/messages", b'event: ping\ndata: {"type": "ping"}\n\n'),
        ("over HTTP", "/v1/chat/completions", b": keep-alive\n\n"),
    ],
)
def test_signs_of_life_come_before_the_answer_and_nothing_else(
    where: str, path: str, sign: bytes, sites: Callable[[str], Any]
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", sites(where).port, timeout=60)
    headers = {"content-type": "application/json", "anthropic-version": "2023-06-01"}
    connection.request("POST", path, json.dumps(of_judged("slow climb", stream=True)), headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200
    held, _, given = body.partition(b"event: message_start" if path == "/v1/messages" else b"data: {")
    assert held.count(sign) >= 2
    assert held == sign * held.count(sign)
    assert b"right" in given
    assert LEAK.encode() not in body


def left(server: Any, body: dict[str, Any], path: str, tag: str, gone: Callable[[], bool]) -> None:
    """Ask, wait until the platform is at what the client is to leave, and leave."""
    content = json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(
            b"POST %b HTTP/1.1\r\nhost: localhost\r\nanthropic-version: 2023-06-01\r\nx-trimtab-tags: %b\r\n"
            b"content-length: %d\r\n\r\n%b" % (path.encode(), tag.encode(), len(content), content)
        )
        until(gone)


def tagged(server: Any, tag: str) -> dict[str, Any] | None:
    """The record of the request with this tag, once it is there."""
    store = apsw.Connection(str(server.store))
    found = store.execute("SELECT detail FROM requests WHERE parent IS NULL").fetchall()
    return next((one for (detail,) in found if tag in (one := json.loads(str(detail))).get("tags", ())), None)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("route", "text", "calls"),
    [
        ("judged", "stands still at first", [HAIKU]),
        ("judged", "stands still then", [HAIKU, OPUS]),
        ("doubted", "stands still beside", [HAIKU, "claude-sonnet-4-6"]),
    ],
)
def test_who_leaves_while_an_answer_is_held_back_ends_all_that_was_done_for_it(
    route: str,
    text: str,
    calls: list[str],
    stream: bool,
    path: str,
    sites: Callable[[str], Any],
    house: House,
) -> None:
    server = sites("over HTTP")
    before, tag = len(house.seen), f"{route}-{len(house.seen)}"
    house.left.clear()
    asked = {**of_judged(text, stream=stream), "model": f"trimtab/{route}"}
    left(server, asked, path, tag, lambda: len(house.seen) == before + len(calls))
    until(house.left.is_set)
    sent = [json.loads(one.body)["model"] for one in house.seen[before:]]
    assert sent == calls, "nothing more is called for whoever has gone"

    record = until(partial(tagged, server, tag))
    assert record["result"] == "cancelled", record
    made = sum(one["cost_nanousd"] > 0 for one in record["attempts"])
    assert made == (len(calls) if route == "judged" else 1), "what was begun may be billed, so it is counted"
