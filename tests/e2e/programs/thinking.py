"""Thinking: adaptive and with a budget, in streams, and signed blocks sent back in a tool loop."""

import warnings

import anthropic
from client import OPUS, SONNET, ask, client, failure, seen, tell

# Some versions of the SDK advise against budgets; models that take them still do.
warnings.filterwarnings("ignore", category=UserWarning)
warnings.filterwarnings("ignore", category=DeprecationWarning)

api = client()
HARD = "A train leaves at 9:40 and arrives at 13:05. How many minutes does it travel? Think it through."
TOOL = {
    "name": "calculate",
    "description": "Calculate an arithmetic expression.",
    "input_schema": {
        "type": "object",
        "properties": {"expression": {"type": "string"}},
        "required": ["expression"],
    },
}


def thought(message: anthropic.types.Message) -> dict:
    blocks = [block for block in message.content if block.type == "thinking"]
    return {
        **seen(message),
        "signed": all(block.signature for block in blocks),
        "thinking_blocks": len(blocks),
        "thinking_text": "".join(block.thinking for block in blocks),
    }


adaptive = api.messages.create(
    model=OPUS,
    max_tokens=2048,
    thinking={"type": "adaptive", "display": "summarized"},
    output_config={"effort": "high"},
    messages=ask(HARD),
)
omitted = api.messages.create(
    model=OPUS,
    max_tokens=2048,
    thinking={"type": "adaptive"},
    output_config={"effort": "high"},
    messages=ask(HARD),
)
enabled = api.messages.create(
    model=SONNET, max_tokens=4096, thinking={"type": "enabled", "budget_tokens": 2048}, messages=ask(HARD)
)

# The vendor refuses a budget on this model; a program sees exactly that.
try:
    api.messages.create(
        model=OPUS, max_tokens=4096, thinking={"type": "enabled", "budget_tokens": 2048}, messages=ask(HARD)
    )
    refused: dict = {}
except anthropic.BadRequestError as problem:
    refused = failure(problem)

# Signed blocks go back with the tool result, unchanged, as the vendor asks.
messages = ask("Use the calculate tool for 12 * 34, then tell me the result.")
options = {
    "model": SONNET,
    "max_tokens": 4096,
    "tools": [TOOL],
    "thinking": {"type": "enabled", "budget_tokens": 2048},
}
first = api.messages.create(messages=messages, **options)
messages.append({"role": "assistant", "content": first.content})
messages.append(
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": block.id, "content": "408"}
            for block in first.content
            if block.type == "tool_use"
        ],
    }
)
second = api.messages.create(messages=messages, **options)

forged = [
    {**block.model_dump(exclude_none=True), "signature": "Zm9yZ2Vk"}
    if block.type == "thinking"
    else block.model_dump(exclude_none=True)
    for block in first.content
]
try:
    api.messages.create(
        messages=[messages[0], {"role": "assistant", "content": forged}, messages[2]], **options
    )
    tampered: dict = {}
except anthropic.BadRequestError as problem:
    tampered = failure(problem)

deltas: dict[str, int] = {}
with api.messages.stream(
    model=SONNET, max_tokens=4096, thinking={"type": "enabled", "budget_tokens": 2048}, messages=ask(HARD)
) as stream:
    for event in stream:
        if event.type == "content_block_delta":
            deltas[event.delta.type] = deltas.get(event.delta.type, 0) + 1
    streamed = thought(stream.get_final_message())

tell(
    {
        "adaptive": thought(adaptive),
        "omitted": thought(omitted),
        "enabled": thought(enabled),
        "refused": refused,
        "loop": {"first": thought(first), "second": thought(second)},
        "tampered": tampered,
        "streamed": {**streamed, "deltas": deltas},
    }
)
