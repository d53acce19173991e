"""One model on whatever platform a gateway has it: plain, streamed, thinking, with a tool, refused, and counted.

A second argument is the key.
"""

import sys

from client import OPUS, ask, client, seen, tell, text_of

api = client(**({"api_key": sys.argv[2]} if len(sys.argv) > 2 else {}))
TOOL = {
    "name": "weather",
    "description": "Weather of a place.",
    "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}

raw = api.messages.with_raw_response.create(model=OPUS, max_tokens=200, messages=ask("What is 17 * 23? 日本"))
plain = raw.parse()
with api.messages.stream(
    model=OPUS, max_tokens=2048, messages=ask("Hello 日本"), thinking={"type": "adaptive"}
) as stream:
    said = "".join(stream.text_stream)
    whole = stream.get_final_message()
called = api.messages.create(
    model=OPUS,
    max_tokens=500,
    messages=ask("The weather in Zürich?"),
    tools=[TOOL],
    tool_choice={"type": "tool", "name": "weather"},
)
tokens = api.messages.count_tokens(model=OPUS, messages=ask("Hello")).input_tokens

tell(
    {
        "plain": seen(plain),
        "headers": {name.lower(): value for name, value in raw.headers.items()},
        "streamed": seen(whole),
        "same": said == text_of(whole),
        "called": seen(called),
        "tokens": tokens,
    }
)
