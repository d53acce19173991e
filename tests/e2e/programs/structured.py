"""Structured output: a schema by hand, and the SDK's own `parse` with a pydantic model."""

import json
from typing import Literal

from client import OPUS, SONNET, ask, client, seen, tell
from pydantic import BaseModel

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "mood": {"type": "string", "enum": ["calm", "curious"]},
    },
    "required": ["name", "age", "tags", "mood"],
    "additionalProperties": False,
}


class Part(BaseModel):
    label: str
    count: int


class Report(BaseModel):
    title: str
    verdict: Literal["good", "bad"]
    parts: list[Part]


api = client()
by_hand = api.messages.create(
    model=SONNET,
    max_tokens=512,
    messages=ask("Invent a ship's cat."),
    output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
)
parsed = api.messages.parse(
    model=OPUS, max_tokens=512, messages=ask("Report on the ship's stores."), output_format=Report
)
with api.messages.stream(
    model=SONNET, max_tokens=512, messages=ask("Report on the ship's stores."), output_format=Report
) as stream:
    final = stream.get_final_message()

tell(
    {
        "by_hand": {**seen(by_hand), "value": json.loads(seen(by_hand)["text"])},
        "parsed": {**seen(parsed), "value": parsed.parsed_output.model_dump()},
        "streamed": {**seen(final), "value": final.parsed_output.model_dump()},
    }
)
