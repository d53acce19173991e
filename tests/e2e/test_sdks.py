"""Programs on three versions of the official SDK, unchanged but for the base URL, against a running server.

Each program of `programs/` runs once per version, in that version's own environment, and prints what it saw.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sdk_programs import E2E, VERSIONS, python_of, run_program

SONNET = "claude-sonnet-4-6"
OPUS = "claude-opus-4-7"

Run = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def simulator(serve: Callable[..., Any]) -> Any:
    return serve('[platforms.sim]\nkind = "simulator"\nseed = 7\nlatency_scale = 0.0\n')


@pytest.fixture(params=VERSIONS)
def python(request: pytest.FixtureRequest) -> Path:
    return python_of(request.param)


def run_on(python: Path, name: str, server: Any) -> dict[str, Any]:
    return run_program(python, E2E / f"{name}.py", server.url, server.folder, server.log)


@pytest.fixture
def run(python: Path, simulator: Any) -> Run:
    return lambda name: run_on(python, name, simulator)


def assert_message(message: dict[str, Any], model: str = SONNET, stop_reason: str = "end_turn") -> None:
    assert message["id"].startswith("msg_")
    assert message["role"] == "assistant"
    assert message["model"] == model
    assert message["stop_reason"] == stop_reason
    assert message["usage"]["input_tokens"] > 0
    assert message["usage"]["output_tokens"] > 0


def test_sync_calls_are_answered_priced_and_recorded(run: Run, simulator: Any) -> None:
    seen = run("sync_messages")
    plain = seen["plain"]
    assert_message(plain)
    assert plain["text"]
    assert plain["request_id"]
    headers = plain["headers"]
    assert headers["x-trimtab-arm"] == SONNET
    assert headers["x-trimtab-platform"] == "sim"
    assert headers["x-trimtab-simulated"] == "true"
    assert float(headers["x-trimtab-cost-usd"]) > 0

    record = simulator.record(headers["x-trimtab-request"])
    assert record["id"] == headers["x-trimtab-request"]
    assert record["requested_model"] == SONNET
    assert record["result"] == "ok"
    assert record["simulated"] is True
    assert record["plan"]["reasons"]
    [attempt] = record["attempts"]
    assert attempt["cost_source"] == "reported"
    assert {k: attempt["usage"][k] for k in plain["usage"]} == plain["usage"]
    # Sonnet 4.6: $3 and $15 per million tokens, so 3,000 and 15,000 nano-dollars a token.
    tokens = plain["usage"]
    assert record["cost_nanousd"] == 3_000 * tokens["input_tokens"] + 15_000 * tokens["output_tokens"]
    assert float(headers["x-trimtab-cost-usd"]) == pytest.approx(record["cost_nanousd"] / 1e9, abs=1e-9)

    assert_message(seen["turns"], OPUS)
    assert_message(seen["short"], stop_reason="max_tokens")
    assert seen["short"]["usage"]["output_tokens"] <= 3
    assert_message(seen["beta"])
    assert set(seen["repeated"]) == {"end_turn"}


def test_mistakes_about_budgets_are_the_sdks_own_exceptions(run: Run) -> None:
    seen = run("budgets")
    assert seen["answered"] in ("end_turn", "max_tokens")
    for name, status, says in (
        ("negative", 400, "total: -5: must be 1 to"),
        ("phases_above_total", 400, "together 6,000 tokens, above the total of 5,000"),
        ("unknown_strategy", 400, "strategy: 'fast': must be prioritize_completion or prioritize_quality"),
        ("total_changed", 409, "its total is 20,000 tokens and this request says 90,000"),
        ("anothers_task", 404, "no such task of this key"),
        ("closed", 409, "was closed; make another one"),
    ):
        found = seen[name]
        wanted = {400: "BadRequestError", 404: "NotFoundError", 409: "ConflictError"}[status]
        assert (found["class"], found["status"]) == (wanted, status), found
        assert says in str(found)


def test_async_calls_are_answered_also_many_at_once(run: Run) -> None:
    seen = run("async_messages")
    assert_message(seen["one"])
    assert seen["one"]["headers"]["x-trimtab-simulated"] == "true"
    assert seen["many"] == ["end_turn"] * 20
    assert seen["distinct"] == 20


def test_streams_arrive_by_both_doors(run: Run, simulator: Any) -> None:
    seen = run("streaming")
    for events in (seen["create"], seen["async_create"]):
        kinds = events["kinds"]
        assert kinds[0] == "message_start"
        assert kinds[-1] == "message_stop"
        assert kinds.count("content_block_start") == kinds.count("content_block_stop") >= 1
        assert "content_block_delta" in kinds
        assert events["text"]
    assert seen["create"]["stop_reason"] == "end_turn"
    assert seen["helper"]["joined"]
    assert seen["helper"]["pieces"] > 1
    assert seen["async_helper"]["joined"]
    assert_message(seen["helper"])
    assert_message(seen["async_helper"])
    assert seen["left_early"] == {"first": True, "after": "end_turn"}

    headers = seen["helper"]["headers"]
    assert headers["x-trimtab-simulated"] == "true"
    record = simulator.record(headers["x-trimtab-request"])
    assert record["stream"] is True
    assert record["cost_nanousd"] > 0
    assert {k: record["attempts"][0]["usage"][k] for k in seen["helper"]["usage"]} == seen["helper"]["usage"]


def test_tools_work_through_the_whole_loop(run: Run) -> None:
    seen = run("tools")
    for way, model in (("forced", SONNET), ("any", OPUS)):
        loop = seen[way]
        assert loop["turns"] >= 2, way
        assert loop["calls"][0]["id"].startswith("toolu_")
        assert_message(loop["final"], model)
        assert loop["final"]["text"]
    [call, *_] = seen["forced"]["calls"]
    assert call["name"] == "get_weather"
    assert isinstance(call["input"]["city"], str)
    assert call["input"].get("unit", "celsius") in ("celsius", "fahrenheit")
    assert set(call["input"]) <= {"city", "unit"}
    assert_message(seen["free"]["final"])
    assert seen["streamed"]["stop_reason"] == "tool_use"
    assert seen["streamed"]["name"] == "get_weather"
    assert seen["streamed"]["same"]
    assert seen["none"]["blocks"] == ["text"]


def test_thinking_is_signed_and_goes_back_unchanged(run: Run) -> None:
    seen = run("thinking")
    adaptive = seen["adaptive"]
    assert_message(adaptive, OPUS)
    assert adaptive["blocks"] == ["thinking", "text"]
    assert adaptive["signed"]
    assert adaptive["thinking_text"]
    # On this model the summary is left out unless it is asked for.
    assert seen["omitted"]["blocks"] == ["thinking", "text"]
    assert seen["omitted"]["signed"]
    assert seen["omitted"]["thinking_text"] == ""
    assert_message(seen["enabled"])
    assert seen["enabled"]["blocks"] == ["thinking", "text"]
    assert seen["refused"]["class"] == "BadRequestError"
    assert seen["refused"]["type"] == "invalid_request_error"
    assert "adaptive" in seen["refused"]["message"]
    first, second = seen["loop"]["first"], seen["loop"]["second"]
    assert first["stop_reason"] == "tool_use"
    assert first["blocks"][0] == "thinking"
    assert first["signed"]
    assert_message(second)
    assert seen["tampered"]["class"] == "BadRequestError"
    assert "signature" in seen["tampered"]["message"].lower()
    streamed = seen["streamed"]
    assert_message(streamed)
    assert streamed["deltas"]["thinking_delta"] >= 1
    assert streamed["deltas"]["signature_delta"] == 1
    assert streamed["deltas"]["text_delta"] >= 1


def test_pictures_are_seen_and_their_tokens_counted(run: Run) -> None:
    seen = run("vision")
    assert_message(seen["answer"])
    assert_message(seen["two"], OPUS)
    tokens = seen["tokens"]
    # A 280 x 280 picture is 10 x 10 tiles of 28 pixels: 100 tokens, a few more for its frame.
    assert 100 <= tokens["small"] - tokens["without"] <= 110
    # 1092 x 1092 is 39 x 39 tiles.
    assert 1521 <= tokens["large"] - tokens["without"] <= 1600
    assert seen["answer"]["usage"]["input_tokens"] > 100


def test_structured_output_fits_its_schema(run: Run) -> None:
    seen = run("structured")
    value = seen["by_hand"]["value"]
    assert set(value) == {"name", "age", "tags", "mood"}
    assert isinstance(value["age"], int)
    assert value["mood"] in ("calm", "curious")
    for way in ("parsed", "streamed"):
        assert seen[way]["value"]["verdict"] in ("good", "bad")
    assert_message(seen["parsed"], OPUS)


def test_models_are_listed_and_tokens_counted(run: Run) -> None:
    seen = run("models_and_tokens")
    listed = seen["listed"]
    assert {SONNET, OPUS} <= set(listed)
    assert len(listed) == len(set(listed))
    assert len(seen["first_page"]) == 2
    assert seen["paged"] == listed
    assert seen["one"]["id"] == SONNET
    assert seen["one"]["type"] == "model"
    assert seen["one"]["display_name"]
    assert seen["one"]["created"].startswith("20")
    assert seen["missing"]["class"] == "NotFoundError"
    assert seen["missing"]["type"] == "not_found_error"
    tokens = seen["tokens"]
    assert 0 < tokens["short"] < tokens["tooled"]
    assert tokens["short"] < tokens["long"]
    assert tokens["virtual"] > 0


def test_errors_are_the_sdks_own_and_say_what_is_wrong(run: Run, simulator: Any) -> None:
    seen = run("errors")
    expected = {
        "unknown_model": ("NotFoundError", 404, "not_found_error"),
        "unknown_model_streamed": ("NotFoundError", 404, "not_found_error"),
        "unknown_virtual_model": ("NotFoundError", 404, "not_found_error"),
        "negative_max_tokens": ("BadRequestError", 400, "invalid_request_error"),
        "too_many_max_tokens": ("BadRequestError", 400, "invalid_request_error"),
        "max_tokens_is_text": ("BadRequestError", 400, "invalid_request_error"),
        "no_messages": ("BadRequestError", 400, "invalid_request_error"),
        "unknown_role": ("BadRequestError", 400, "invalid_request_error"),
        "unknown_effort": ("BadRequestError", 400, "invalid_request_error"),
        "empty_model": ("BadRequestError", 400, "invalid_request_error"),
        "batches": ("NotFoundError", 404, "not_found_error"),
        "unknown_path": ("NotFoundError", 404, "not_found_error"),
    }
    for case, (kind, status, error_type) in expected.items():
        error = seen[case]
        # An empty model is nobody's model: 400 and 404 are both right.
        if case == "empty_model" and error["status"] == 404:
            continue
        assert (error["class"], error["status"], error["type"]) == (kind, status, error_type), (case, error)
        assert error["shape"] == "error", case
        assert error["message"], case
        assert error["request_id"], case
        assert error["body_request_id"] == error["request_id"], case
    assert "claude-of-nowhere" in seen["unknown_model"]["message"]
    assert "max_tokens" in seen["negative_max_tokens"]["message"]
    # A refused request has a record too, and cost nothing.
    record = simulator.record(seen["unknown_model"]["request_id"])
    assert record["status"] == 404
    assert float(record["cost_usd"]) == 0


def test_both_ways_to_show_a_key_work(run: Run, simulator: Any) -> None:
    seen = run("auth")
    for way in ("key", "token", "both"):
        assert_message(seen[way])
    log = simulator.log.read_text()
    assert "sk-ant-e2e-client" not in log
    assert "e2e-token" not in log


def test_virtual_models_follow_the_tiers(run: Run, simulator: Any) -> None:
    seen = run("virtual_models")
    bound = {
        "auto": SONNET,
        "default": SONNET,
        "escalation": OPUS,
        "control": "claude-opus-4-6",
        "fast": "claude-haiku-4-5",
    }
    for role, model in bound.items():
        answer = seen["roles"][role]
        assert_message(answer, answer["model"])
        # A platform may name the dated snapshot behind an id.
        assert answer["model"].startswith(model), role
        assert answer["headers"]["x-trimtab-arm"].startswith(model), role
        record = simulator.record(answer["headers"]["x-trimtab-request"])
        assert record["requested_model"] == f"trimtab/{role}"
        assert record["plan"]["tier"] == ("default" if role == "auto" else role)
        assert record["cost_nanousd"] > 0
    assert seen["streamed"]["model"] == OPUS
    assert seen["effort"]["headers"]["x-trimtab-arm"] == f"{SONNET}@low"
    assert seen["asked"]["headers"]["x-trimtab-arm"] == f"{SONNET}@high"
    assert "effort=high" in seen["asked"]["headers"]["x-trimtab-adaptations"]
    assert simulator.record(seen["asked"]["headers"]["x-trimtab-request"])["session"]


def test_a_program_written_for_an_older_model_works_by_role_and_is_refused_by_name(
    run: Run, simulator: Any
) -> None:
    seen = run("older_request")
    for answer in (seen["adapted"], seen["streamed"]):
        assert_message(answer, OPUS)
        changes = answer["headers"]["x-trimtab-adaptations"].split(", ")
        assert {
            "thinking=adaptive", "temperature removed", "tools.0.type=text_editor_20250728",
            "tools.0.name=str_replace_based_edit_tool", "messages.2=asks to continue the prefill",
        } <= set(changes)  # fmt: skip
        assert simulator.record(answer["headers"]["x-trimtab-request"])["adaptations"] == changes
    pinned = seen["pinned"]
    assert (pinned["status"], pinned["type"]) == (400, "invalid_request_error")
    assert "x-trimtab-adaptations" not in pinned["headers"]
    record = simulator.record(pinned["headers"]["x-trimtab-request"])
    assert any(note.startswith("prefill: ") for note in record["observations"])


def faulty(serve: Callable[..., Any]) -> Any:
    """A server whose platform fails by script. The script counts calls, so each run has its own."""
    script = Path(__file__).resolve().parent / "faults.yaml"
    return serve(
        f'[platforms.sim]\nkind = "simulator"\nscript = "{script}"\nlatency_scale = 0.0\ndeadline_s = 1.0\n'
    )


def test_the_sdks_retries_work_through_the_gateway(python: Path, serve: Callable[..., Any]) -> None:
    server = faulty(serve)
    seen = run_on(python, "retries", server)
    assert_message(seen["overloaded"])
    assert seen["overloaded"]["retries"] == 1
    assert_message(seen["limited"])
    assert seen["limited"]["retries"] == 1
    # The platform said 2 seconds; without it the SDK would come back after half a second.
    assert 1.9 < seen["limited"]["took_s"] < 4
    assert_message(seen["streamed"])

    overloaded, limited = seen["given_up_overloaded"], seen["given_up_limited"]
    assert (overloaded["status"], overloaded["type"]) == (529, "overloaded_error")
    assert overloaded["message"] == "Overloaded, as the script says"
    assert overloaded["request_id"]
    assert {"OverloadedError", "InternalServerError"} & set(overloaded["classes"])
    assert (limited["class"], limited["status"], limited["type"]) == (
        "RateLimitError",
        429,
        "rate_limit_error",
    )
    assert limited["retry_after"] == "30"

    # The failed first call and its retry are two requests, each with its own record.
    record = server.record(seen["overloaded"]["headers"]["x-trimtab-request"])
    assert len(record["attempts"]) == 1


def test_stalls_and_cuts_are_errors_that_a_program_can_see(python: Path, serve: Callable[..., Any]) -> None:
    seen = run_on(python, "timeouts", faulty(serve))
    assert seen["impatient"]["problem"] == "APITimeoutError"
    assert seen["impatient"]["took_s"] < 3
    assert_message(seen["impatient"]["after"])
    for fault in ("cut", "error_event", "stall"):
        assert seen[fault]["class"] is not None, f"{fault}: a broken stream passed for a whole answer"
    assert seen["error_event"]["type"] == "overloaded_error"
    assert seen["stall"]["type"] == "timeout_error"
