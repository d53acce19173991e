"""An agent's turns with thinking blocks of every kind, sent back as the SDK gives them: by hand, streamed, and by the
SDK's own tool runner. Then a task budget, with the beta that it needs."""

import sys

from anthropic import beta_tool
from client import OPUS, ask, client, tell

api = client(api_key=sys.argv[2])
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
OPTIONS = {"model": OPUS, "max_tokens": 4096, "thinking": {"type": "adaptive"}, "tools": [WEATHER]}


def finished(streams: bool) -> list[str]:
    """The loop as people write it."""
    messages = ask("What is the weather in Lisbon?")
    while True:
        if streams:
            with api.messages.stream(messages=messages, **OPTIONS) as stream:
                answer = stream.get_final_message()
        else:
            answer = api.messages.create(messages=messages, **OPTIONS)
        messages.append({"role": "assistant", "content": answer.content})
        uses = [block for block in answer.content if block.type == "tool_use"]
        if not uses:
            return [block.type for block in messages[1]["content"]]
        results = [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"} for use in uses]
        messages.append({"role": "user", "content": results})


@beta_tool
def get_weather(city: str, units: list[float]) -> str:
    """The weather in a city.

    Args:
        city: Its name.
        units: Of no importance.
    """
    assert units
    return f"sunny in {city}"


runner = api.beta.messages.tool_runner(
    model=OPUS,
    max_tokens=4096,
    thinking={"type": "adaptive"},
    tools=[get_weather],
    messages=ask("What is the weather in Lisbon?"),
)
last = runner.until_done()
budget = api.beta.messages.create(
    model=OPUS,
    max_tokens=4096,
    betas=["task-budgets-2026-03-13"],
    output_config={"effort": "high", "task_budget": {"type": "tokens", "total": 64_000}},
    messages=ask("Tidy up the harbour."),
)
tell(
    {
        "by_hand": finished(streams=False),
        "streamed": finished(streams=True),
        "runner": [block.type for block in last.content],
        "budget": budget.stop_reason,
    }
)
