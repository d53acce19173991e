"""A program written for an older model: sent to a role it is made to fit, sent to the newer model it is refused."""

import anthropic
from client import OPUS, ask, client, failure, seen, tell, trimtab_headers

api = client()

WRITTEN = {
    "max_tokens": 4000,
    "messages": [*ask("What is 8 * 9? Answer in JSON."), {"role": "assistant", "content": '{"answer":'}],
    "tools": [{"type": "text_editor_20250124", "name": "str_replace_editor"}],
    # Newer SDKs no longer know these; programs that still send them do it so.
    "extra_body": {"temperature": 0.2, "thinking": {"type": "enabled", "budget_tokens": 3000}},
}

raw = api.messages.with_raw_response.create(model="trimtab/escalation", **WRITTEN)
adapted = {**seen(raw.parse()), "headers": trimtab_headers(raw)}
with api.messages.stream(model="trimtab/escalation", **WRITTEN) as stream:
    stream.until_done()
    streamed = {**seen(stream.get_final_message()), "headers": trimtab_headers(stream.response)}
try:
    api.messages.create(model=OPUS, **WRITTEN)
except anthropic.APIStatusError as problem:
    pinned = {**failure(problem), "headers": trimtab_headers(problem.response)}

tell({"adapted": adapted, "streamed": streamed, "pinned": pinned})
