"""Tools: the whole loop, forced and free choice, in streams, and with several tools at hand."""

import json

from client import OPUS, SONNET, ask, client, seen, tell

WEATHER = {
    "name": "get_weather",
    "description": "Get the current weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Name of the city"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city"],
        "additionalProperties": False,
    },
}
CLOCK = {
    "name": "get_time",
    "description": "Get the time in a time zone.",
    "input_schema": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
}

api = client()


def loop(model: str, **options: object) -> dict:
    """Call tools until the model is done, as an agent does."""
    messages = ask("Use the get_weather tool to find out the weather in Lisbon, then tell me.")
    calls: list[dict] = []
    for turn in range(1, 6):
        answer = api.messages.create(
            model=model,
            max_tokens=512,
            tools=[WEATHER, CLOCK],
            messages=messages,
            **(options if turn == 1 else {}),
        )
        messages.append({"role": "assistant", "content": answer.content})
        uses = [block for block in answer.content if block.type == "tool_use"]
        if answer.stop_reason != "tool_use":
            return {"turns": turn, "calls": calls, "final": seen(answer)}
        calls += [{"id": use.id, "name": use.name, "input": use.input} for use in uses]
        messages.append(
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": use.id,
                        "content": json.dumps({"sky": "sunny", "degrees": 21}),
                    }
                    for use in uses
                ],
            }
        )
    raise SystemExit("the model never stopped calling tools")


def streamed() -> dict:
    kinds: set[str] = set()
    partial = ""
    with api.messages.stream(
        model=SONNET,
        max_tokens=512,
        tools=[WEATHER],
        tool_choice={"type": "tool", "name": "get_weather"},
        messages=ask("What is the weather in Lisbon?"),
    ) as stream:
        for event in stream:
            kinds.add(event.type)
            if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                partial += event.delta.partial_json
        final = stream.get_final_message()
    use = next(block for block in final.content if block.type == "tool_use")
    return {
        "stop_reason": final.stop_reason,
        "name": use.name,
        "input": use.input,
        "same": json.loads(partial or "{}") == use.input,
    }


tell(
    {
        "forced": loop(SONNET, tool_choice={"type": "tool", "name": "get_weather"}),
        "any": loop(OPUS, tool_choice={"type": "any"}),
        "free": loop(SONNET),
        "streamed": streamed(),
        "none": seen(
            api.messages.create(
                model=SONNET,
                max_tokens=64,
                tools=[WEATHER],
                tool_choice={"type": "none"},
                messages=ask("Hello, what can you do?"),
            )
        ),
    }
)
