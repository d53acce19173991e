"""The same calls twice: by the SDK's own client of Vertex AI or Foundry, and by its plain client at a gateway.

`python cloud_wire.py GATEWAY KIND PLATFORM` with the kind `vertex`, `foundry` or `entra`, and the platform's address.
"""

import sys
from collections.abc import Callable
from typing import Any

import anthropic
from client import ask, client, tell, text_of
from wire_calls import PLAIN, RICH

KIND, PLATFORM = sys.argv[2], sys.argv[3]
OPUS, SONNET, HAIKU = "claude-opus-4-7", "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001"
NAMES = {
    "vertex": {OPUS: OPUS, SONNET: "claude-sonnet-4-5@20250929", HAIKU: "claude-haiku-4-5@my-own"},
    "foundry": {OPUS: OPUS, SONNET: "claude-sonnet-4-5", HAIKU: "fast-one"},
}["vertex" if KIND == "vertex" else "foundry"]


def direct() -> Any:
    if KIND == "vertex":
        return anthropic.AnthropicVertex(
            base_url=f"{PLATFORM}/v1",
            region="europe-west1",
            project_id="my-project-123",
            access_token="ya29.the-token",
            max_retries=0,
        )
    if KIND == "entra":
        return anthropic.AnthropicFoundry(
            base_url=f"{PLATFORM}/anthropic", azure_ad_token_provider=lambda: "ya29.the-token", max_retries=0
        )
    return anthropic.AnthropicFoundry(base_url=f"{PLATFORM}/anthropic", api_key="azure-key-1", max_retries=0)


def streamed(api: Any, name: str) -> list[str]:
    with api.beta.messages.create(
        model=name,
        stream=True,
        betas=["context-management-2025-06-27", "interleaved-thinking-2025-05-14"],
        **RICH,
    ) as events:
        return [event.type for event in events]


def counted(api: Any, name: str) -> int:
    found: int = api.messages.count_tokens(model=name, messages=ask("hi"), system="Be terse.").input_tokens
    return found


def counted_with_betas(api: Any, name: str) -> int:
    found: int = api.beta.messages.count_tokens(
        model=name, messages=ask("hi"), betas=["token-counting-2024-11-01"]
    ).input_tokens
    return found


def plain(api: Any, name: str) -> str:
    return text_of(api.messages.create(model=name, **PLAIN))


def rich(api: Any, name: str) -> str:
    return text_of(api.messages.create(model=name, **RICH))


CASES: list[tuple[str, str, Callable[[Any, str], Any]]] = [
    ("plain", OPUS, plain),
    ("rich", OPUS, rich),
    ("streamed with betas", OPUS, streamed),
    ("id of a snapshot", SONNET, plain),
    ("id of the operator", HAIKU, plain),
    ("count", OPUS, counted),
    ("count with betas", SONNET, counted_with_betas),
]
if KIND == "entra":
    CASES = CASES[:1]

theirs, ours = direct(), client()
seen = {}
for case, model, make in CASES:
    seen[case] = {"theirs": make(theirs, NAMES[model]), "ours": make(ours, model)}

tell({"seen": seen})
