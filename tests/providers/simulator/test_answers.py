"""What the simulated model says, how it counts, and that it is honest and the same each time."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

WEATHER = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"enum": ["celsius", "kelvin"]},
            "days": {"type": "integer", "minimum": 2},
            "note": {"type": "string"},
        },
        "required": ["city", "unit", "days"],
    },
}
STOCK = {
    "name": "stock_price",
    "input_schema": {"type": "object", "properties": {"symbol": {"type": "string"}}},
}


def test_free_text_says_that_it_is_simulated_and_how_to_get_real_answers(client: Any) -> None:
    answer = client.ask("Tell me about ships")
    assert "simulated answer" in answer.text
    assert "no model was called" in answer.text
    assert "4 words: “Tell me about ships”" in answer.text
    assert "ANTHROPIC_API_KEY" in answer.text
    assert "Claude Sonnet 4.6 at effort high" in answer.text


def test_images_and_tools_are_named_in_free_text(client: Any, image: Callable[..., Any]) -> None:
    answer = client.ask([image(640, 480), {"type": "text", "text": "Look"}], tools=[STOCK])
    assert "1 image: PNG of 640 × 480 pixels" in answer.text
    assert "1 tool: stock_price" in answer.text


def test_a_message_has_the_vendors_fields(client: Any) -> None:
    message = client.ask(model="claude-sonnet-4-5").json
    assert list(message) == [
        "id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage",
    ]  # fmt: skip
    assert message["id"].startswith("msg_01Sim")
    assert message["model"] == "claude-sonnet-4-5-20250929", "an alias answers with the id it stands for"
    assert (message["type"], message["role"], message["stop_reason"]) == ("message", "assistant", "end_turn")


def test_sums_are_answered_by_skill_effort_and_difficulty(client: Any) -> None:
    def share(model: str, effort: str | None, low: int, high: int) -> float:
        right = 0
        for left in range(low, low + 40):
            config = {"output_config": {"effort": effort}} if effort else {}
            answer = client.ask(f"What is {left} * {high}? Only the number.", model=model, **config)
            right += answer.text == str(left * high)
        return right / 40

    assert share("claude-opus-4-7", "high", 2, 7) == 1.0
    weak, strong = share("claude-haiku-4-5", None, 212, 345), share("claude-opus-4-7", "max", 212, 345)
    assert weak < 0.4 < 0.6 < strong
    assert share("claude-sonnet-4-6", "low", 212, 345) < share("claude-sonnet-4-6", "max", 212, 345)


def test_the_same_request_gets_the_same_answer_and_another_seed_another(make: Any) -> None:
    def said(seed: int) -> list[str]:
        client = make(seed=seed)
        return [client.ask(f"What is 4567 * {n}?", model="claude-haiku-4-5").text for n in range(1000, 1030)]

    assert said(1) == said(1)
    assert said(1) != said(2)
    first, second = make(seed=3), make(seed=3)
    assert first.ask("Hi").body == second.ask("Hi").body, "ids too, in the same order"
    assert first.ask("Hi").json["id"] != first.ask("Hi").json["id"]


def test_more_effort_costs_more_tokens(client: Any) -> None:
    used = []
    for effort in ("low", "medium", "high", "xhigh", "max"):
        answer = client.ask(
            model="claude-opus-4-7",
            max_tokens=8000,
            thinking={"type": "adaptive"},
            output_config={"effort": effort},
        )
        used.append((answer.usage.output_tokens, answer.usage.output_tokens_details.thinking_tokens))
    assert used == sorted(used)
    assert len(set(used)) == 5


def test_output_tokens_are_those_of_the_text(client: Any, catalogue: Any) -> None:
    from trimtab.catalogue.tokens import estimate_tokens

    answer = client.ask("Tell me about ships")
    tokenizer = catalogue.find("claude-sonnet-4-6").tokenizer
    assert answer.usage.output_tokens == estimate_tokens(answer.text, tokenizer)


@pytest.mark.parametrize("limit", [1, 2, 7, 30])
def test_max_tokens_is_honoured(client: Any, limit: int) -> None:
    answer = client.ask("Tell me about ships", max_tokens=limit)
    assert answer.json["stop_reason"] == "max_tokens"
    assert answer.usage.output_tokens == limit
    assert 0 < len(answer.text) < 40 * limit


def test_max_tokens_zero_only_warms_the_cache(client: Any) -> None:
    mark = {"type": "ephemeral"}
    system = [{"type": "text", "text": "long words " * 2000, "cache_control": mark}]
    warm = client.ask(max_tokens=0, system=system)
    assert warm.json["content"] == []
    assert warm.usage.output_tokens == 0
    assert warm.usage.cache_creation_input_tokens > 1024
    assert client.ask(system=system).usage.cache_read_input_tokens == warm.usage.cache_creation_input_tokens


def test_thinking_counts_against_max_tokens(client: Any) -> None:
    answer = client.ask(model="claude-opus-4-6", thinking={"type": "adaptive"}, max_tokens=10)
    assert [block["type"] for block in answer.json["content"]] == ["thinking"]
    assert answer.json["stop_reason"] == "max_tokens"
    assert answer.usage.output_tokens == 10


def test_a_tool_call_that_does_not_fit_is_left_out(client: Any) -> None:
    answer = client.ask("x", tools=[WEATHER], tool_choice={"type": "any"}, max_tokens=3)
    assert (answer.json["content"], answer.json["stop_reason"]) == ([], "max_tokens")


def test_stop_sequences_are_honoured(client: Any) -> None:
    answer = client.ask("Tell me", stop_sequences=["no model", "simulated"])
    assert answer.json["stop_reason"] == "stop_sequence"
    assert answer.json["stop_sequence"] == "simulated"
    assert answer.text == "This is a "


def test_a_full_window_ends_the_answer(client: Any) -> None:
    words = "word " * 199_900
    tokens = client.ask(words, path="/v1/messages/count_tokens", max_tokens=...).json["input_tokens"]
    while tokens > 199_990:
        words = words[: -5 * max(1, (tokens - 199_990) // 2)]
        fields = {"path": "/v1/messages/count_tokens", "max_tokens": ..., "model": "claude-haiku-4-5"}
        tokens = client.ask(words, **fields).json["input_tokens"]
    answer = client.ask(words, model="claude-haiku-4-5", max_tokens=64000)
    assert answer.json["stop_reason"] == "model_context_window_exceeded"
    assert answer.usage.input_tokens + answer.usage.output_tokens == 200_000
    assert "prompt is too long" in client.ask("word " * 400_000, model="claude-haiku-4-5").error


def test_a_named_tool_is_called_with_arguments_that_fit_its_schema(client: Any) -> None:
    message = client.ask("How is the weather in Ulm?", tools=[STOCK, WEATHER]).json
    assert message["stop_reason"] == "tool_use"
    text, call = message["content"]
    assert text["type"] == "text"
    assert call["name"] == "get_weather"
    assert call["id"].startswith("toolu_01")
    assert set(call["input"]) == {"city", "unit", "days"}
    assert call["input"]["unit"] == "celsius"
    assert call["input"]["days"] >= 2


def test_tools_are_called_when_forced_and_not_otherwise(client: Any) -> None:
    assert client.ask("Hello", tools=[WEATHER]).json["stop_reason"] == "end_turn"
    forced = client.ask(
        "Hello", tools=[STOCK, WEATHER], tool_choice={"type": "tool", "name": "get_weather"}
    ).json
    assert [block["name"] for block in forced["content"]] == ["get_weather"]
    assert (
        client.ask("weather", tools=[WEATHER], tool_choice={"type": "none"}).json["stop_reason"] == "end_turn"
    )
    both = "the weather and the stock price"
    assert len(client.ask(both, tools=[STOCK, WEATHER], tool_choice={"type": "any"}).json["content"]) == 2
    single = {"type": "any", "disable_parallel_tool_use": True}
    assert len(client.ask(both, tools=[STOCK, WEATHER], tool_choice=single).json["content"]) == 1


def test_a_tool_result_is_quoted_back(client: Any) -> None:
    asked = {"role": "user", "content": "How is the weather in Ulm?"}
    called = client.ask(asked["content"], tools=[WEATHER]).json["content"]
    result = {
        "type": "tool_result",
        "tool_use_id": called[-1]["id"],
        "content": [{"type": "text", "text": "rain"}],
    }
    answer = client.ask(
        tools=[WEATHER],
        messages=[asked, {"role": "assistant", "content": called}, {"role": "user", "content": [result]}],
    )
    assert answer.json["stop_reason"] == "end_turn"
    assert "The tool said: “rain”" in answer.text


def test_the_vendors_client_tools_get_plausible_calls(client: Any) -> None:
    tools = [{"type": "bash_20250124", "name": "bash"}]
    call = client.ask("run bash", tools=tools).json["content"][-1]
    assert call["input"] == {"command": "echo simulated"}
    toolset = client.ask(
        "use the computer", model="claude-opus-5", tools=[{"type": "computer_toolset_20260801"}]
    ).json["content"][-1]
    assert (toolset["name"], toolset["toolset_name"]) == ("screenshot", "computer")


def test_structured_output_follows_the_schema_and_holds_a_known_answer(client: Any) -> None:
    schema = {
        "type": "object",
        "properties": {
            "answer": {"type": "integer"},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
            "why": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        },
        "required": ["answer", "tags", "why"],
        "additionalProperties": False,
    }
    answer = client.ask(
        "What is 2 + 3?",
        model="claude-opus-4-7",
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    value = msgspec.json.decode(answer.text)
    assert value["answer"] == 5
    assert value["tags"] == ["a"]
    assert isinstance(value["why"], str)


def test_a_prefill_is_gone_on_from(client: Any) -> None:
    turns = [{"role": "user", "content": "17 * 3 = ?"}, {"role": "assistant", "content": "It is"}]
    assert client.ask(model="claude-opus-4-5", messages=turns).text.startswith(" 17 * 3")


@pytest.mark.parametrize(
    ("model", "thinking", "blocks"),
    [
        ("claude-sonnet-4-6", None, ["text"]),
        ("claude-sonnet-4-6", {"type": "adaptive"}, ["thinking", "text"]),
        ("claude-sonnet-4-6", {"type": "disabled"}, ["text"]),
        ("claude-haiku-4-5", {"type": "enabled", "budget_tokens": 1024}, ["thinking", "text"]),
        ("claude-opus-5-5", None, ["thinking", "text"]),
        ("claude-opus-5", {"type": "disabled"}, ["text"]),
        ("claude-sonnet-5-5", {"type": "between_tools"}, ["text"]),
    ],
)
def test_models_think_by_their_defaults(client: Any, model: str, thinking: Any, blocks: list[str]) -> None:
    fields = {"thinking": thinking} if thinking else {}
    message = client.ask(model=model, max_tokens=4096, **fields).json
    assert [block["type"] for block in message["content"]] == blocks


def test_thinking_is_shown_or_left_out_as_the_display_says(client: Any) -> None:
    def thought(**thinking: Any) -> dict[str, str]:
        fields = {"type": "adaptive", **thinking}
        block: dict[str, str] = client.ask(model="claude-opus-4-7", thinking=fields).json["content"][0]
        return block

    assert thought()["thinking"] == ""
    assert "Simulated thinking" in thought(display="summarized")["thinking"]
    assert thought()["signature"] == thought(display="summarized")["signature"]


def test_thinking_goes_back_unedited_or_not_at_all(client: Any) -> None:
    asked = {"role": "user", "content": "Hi"}
    fields = {"model": "claude-opus-4-6", "thinking": {"type": "adaptive"}}
    content = client.ask("Hi", **fields).json["content"]

    def again(**change: Any) -> Any:
        turn = {"role": "assistant", "content": [{**content[0], **change}, content[1]]}
        return client.ask(messages=[asked, turn, asked], **fields)

    assert again().status == 200
    assert again(thinking="").status == 200
    assert "cannot be modified" in again(thinking="I planned something else").error
    signature = content[0]["signature"]
    tampered = ("B" if signature[5] != "B" else "C").join((signature[:5], signature[6:]))
    assert "messages.1.content.0: Invalid `signature` in `thinking` block" in again(signature=tampered).error
    assert "Invalid `signature`" in again(signature="not base64!").error


def test_models_that_bind_thinking_refuse_another_models(client: Any) -> None:
    asked = {"role": "user", "content": "Hi"}
    content = client.ask("Hi", model="claude-opus-5-5").json["content"]
    turns = [asked, {"role": "assistant", "content": content}, asked]
    assert client.ask(messages=turns, model="claude-opus-5").status == 200
    assert "bound to a different model" in client.ask(messages=turns, model="claude-fable-5-2").error
    drop = {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}
    assert client.ask(messages=turns, model="claude-fable-5-2", thinking=drop).status == 200


def test_counting_agrees_with_the_call(client: Any, image: Callable[..., Any]) -> None:
    fields: dict[str, Any] = {
        "content": [image(1920, 1080), {"type": "text", "text": "What is this?"}],
        "system": "Be brief.",
        "tools": [WEATHER],
    }
    counted = client.ask(path="/v1/messages/count_tokens", max_tokens=..., **fields).json["input_tokens"]
    assert counted == client.ask(**fields).usage.input_tokens
    assert counted > 1560 + 497, "the image and the tools' own system prompt"
    without = client.ask("What is this?", path="/v1/messages/count_tokens", max_tokens=...).json[
        "input_tokens"
    ]
    assert without < 20


def test_speed_and_region_show_in_usage(client: Any) -> None:
    beta = "fast-mode-2026-02-01"
    assert client.ask(model="claude-opus-4-6", speed="fast", beta=beta).usage.speed == "standard"
    assert client.ask(model="claude-opus-5", speed="fast", beta=beta).usage.speed == "fast"
    assert client.ask(inference_geo="us").usage.inference_geo == "us"
    assert client.ask().usage.speed is None


def test_after_a_tool_result_the_last_turn_is_the_result(client: Any) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}
    tools = [{"name": "get_weather", "input_schema": {"type": "object"}}]
    asked = [
        {"role": "user", "content": "Please tell me the weather today"},
        {"role": "assistant", "content": [call]},
    ]
    text = client.ask(messages=[*asked, {"role": "user", "content": [result]}], tools=tools).text
    assert (
        "Your last turn has 1 tool result and no text. The last turn with text has 6 words: “Please" in text
    )
    words = {"type": "text", "text": "And now?"}
    text = client.ask(messages=[*asked, {"role": "user", "content": [result, words]}], tools=tools).text
    assert "Your last turn has 2 words: “And now?”." in text
