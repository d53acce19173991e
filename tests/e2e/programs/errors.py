"""Errors arrive as the SDK's own exceptions, with the vendor's shape and a request id."""

import anthropic
from client import SONNET, ask, client, failure, tell

# Its own limits on long calls are not what is tried here: an explicit timeout switches them off.
api = client(timeout=30)


def error_of(**changes: object) -> dict:
    request: dict = {"model": SONNET, "max_tokens": 64, "messages": ask("Hello"), **changes}
    try:
        answer = api.messages.create(**request)
    except anthropic.APIStatusError as problem:
        return failure(problem)
    if request.get("stream"):
        list(answer)
    return {"class": None}


def refused(call: object, *arguments: object, **named: object) -> dict:
    try:
        call(*arguments, **named)
    except anthropic.APIStatusError as problem:
        return failure(problem)
    return {"class": None}


tell(
    {
        "unknown_model": error_of(model="claude-of-nowhere"),
        "unknown_model_streamed": error_of(model="claude-of-nowhere", stream=True),
        "unknown_virtual_model": error_of(model="trimtab/nowhere"),
        "negative_max_tokens": error_of(max_tokens=-1),
        "too_many_max_tokens": error_of(max_tokens=100_000_000),
        "max_tokens_is_text": error_of(max_tokens="many"),
        "no_messages": error_of(messages=[]),
        "unknown_role": error_of(messages=[{"role": "narrator", "content": "Once"}]),
        "unknown_effort": error_of(output_config={"effort": "heroic"}),
        "empty_model": error_of(model=""),
        "batches": refused(api.messages.batches.list),
        "unknown_path": refused(api.post, "/v1/no-such-thing", cast_to=object, body={}),
    }
)
