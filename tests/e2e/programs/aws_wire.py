"""The same calls twice: by the SDK's own client of a platform of Amazon's, and by its plain client at a gateway.

`python aws_wire.py GATEWAY KIND PLATFORM [KEY]` with the kind `bedrock`, `mantle` or `claude`, and the platform's
address; with a key it authenticates in place of signatures, and one call is enough.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import anthropic
from client import ask, client, tell, text_of
from wire_calls import PLAIN, RICH

os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
KIND, PLATFORM = sys.argv[2], sys.argv[3]
KEYS: dict[str, Any] = {
    "aws_access_key": "AKIDEXAMPLE",
    "aws_secret_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "aws_session_token": "IQoJb3JpZ2luX2VjE//token==",
    "aws_region": "us-east-1",
    "max_retries": 0,
}
if len(sys.argv) > 4:
    KEYS = {"api_key": sys.argv[4], "aws_region": "us-east-1", "max_retries": 0}
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/ab12cd34ef56"


OPUS, SONNET, HAIKU = "claude-opus-4-7", "claude-sonnet-4-6", "claude-haiku-4-5-20251001"
NAMES = {
    "bedrock": {OPUS: "us.anthropic.claude-opus-4-7", SONNET: "us.anthropic.claude-sonnet-4-6", HAIKU: ARN},
    "mantle": {OPUS: "anthropic.claude-opus-4-7", HAIKU: "anthropic.claude-haiku-4-5"},
    "claude": {OPUS: OPUS, SONNET: SONNET, HAIKU: HAIKU},
}[KIND]


def direct() -> Any:
    if KIND == "bedrock":
        return anthropic.AnthropicBedrock(base_url=PLATFORM, **KEYS)
    if KIND == "mantle":
        return anthropic.AnthropicBedrockMantle(base_url=f"{PLATFORM}/anthropic", **KEYS)
    return anthropic.AnthropicAWS(base_url=PLATFORM, workspace_id="wrkspc_1", **KEYS)


def streamed(api: Any, name: str) -> list[str]:
    with api.beta.messages.create(
        model=name,
        stream=True,
        betas=["context-management-2025-06-27", "interleaved-thinking-2025-05-14"],
        **RICH,
    ) as events:
        return [event.type for event in events]


Case = tuple[str, str, Callable[[Any, str], Any]]

CASES: list[Case] = [
    ("plain", OPUS, lambda api, name: text_of(api.messages.create(model=name, **PLAIN))),
    ("rich", OPUS, lambda api, name: text_of(api.messages.create(model=name, **RICH))),
    ("streamed with betas", OPUS, streamed),
    ("another id", HAIKU, lambda api, name: text_of(api.messages.create(model=name, **PLAIN))),
]
if KIND != "mantle":
    CASES.append(("older model", SONNET, lambda api, name: text_of(api.messages.create(model=name, **PLAIN))))
if KIND != "bedrock":
    CASES += [
        (
            "count",
            OPUS,
            lambda api, name: api.messages.count_tokens(model=name, messages=ask("hi")).input_tokens,
        ),
        (
            "user profile",
            OPUS,
            lambda api, name: text_of(
                api.beta.messages.create(
                    model=name, user_profile_id="up_1", betas=["user-profiles-2026-09-04"], **PLAIN
                )
            ),
        ),
    ]

if "api_key" in KEYS:
    CASES = CASES[:1]
theirs, ours = direct(), client()
seen = {}
for case, model, make in CASES:
    seen[case] = {"theirs": make(theirs, NAMES[model]), "ours": make(ours, model)}


tell({"seen": seen})
