"""Answers that are held back until they were judged: a whole one, streams by both doors, one that takes its time, one
that breaks after its head."""

import anthropic
from client import ask, client, seen, tell, text_of, trimtab_headers

MODEL = "trimtab/judged"


def whole(text: str) -> dict:
    raw = client().messages.with_raw_response.create(model=MODEL, max_tokens=300, messages=ask(text))
    return {**seen(raw.parse()), "headers": trimtab_headers(raw)}


def by_create(text: str) -> dict:
    kinds: list[str] = []
    said = ""
    usage: dict = {}
    problem = ""
    raw = client().messages.with_raw_response.create(
        model=MODEL, max_tokens=300, messages=ask(text), stream=True
    )
    try:
        for event in raw.parse():
            kinds.append(event.type)
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                said += event.delta.text
            if event.type == "message_start":
                usage["model"] = event.message.model
                usage["input_tokens"] = event.message.usage.input_tokens
            if event.type == "message_delta":
                usage["output_tokens"] = event.usage.output_tokens
    except anthropic.APIError as error:
        problem = f"{type(error).__name__}: {error}"
    return {"kinds": kinds, "text": said, "usage": usage, "headers": trimtab_headers(raw), "problem": problem}


def by_helper(text: str) -> dict:
    with client().messages.stream(model=MODEL, max_tokens=300, messages=ask(text)) as stream:
        joined = "".join(stream.text_stream)
        final = stream.get_final_message()
        return {
            **seen(final),
            "joined": joined == text_of(final),
            "headers": trimtab_headers(stream.response),
        }


tell(
    {
        "whole": whole("climb"),
        "create": by_create("climb"),
        "helper": by_helper("climb"),
        "slow": by_create("slow climb"),
        "slow_helper": by_helper("slow climb"),
        "late_error": by_create("late error"),
    }
)
