"""What the programs share: a client with only its base URL changed, and a way to say what they saw.

Every program runs as it is on each version of the SDK: `python PROGRAM.py BASE_URL` prints one JSON object.
"""

import json
import sys
from typing import Any

import anthropic

BASE_URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8787"
VERSION = tuple(int(part) for part in anthropic.__version__.split(".")[:2])

SONNET = "claude-sonnet-4-6"
OPUS = "claude-opus-4-7"


def client(**options: Any) -> anthropic.Anthropic:
    options.setdefault("max_retries", 0)
    if "auth_token" not in options:
        options.setdefault("api_key", "sk-ant-e2e-client")
    return anthropic.Anthropic(base_url=BASE_URL, **options)


def async_client(**options: Any) -> anthropic.AsyncAnthropic:
    options.setdefault("max_retries", 0)
    if "auth_token" not in options:
        options.setdefault("api_key", "sk-ant-e2e-client")
    return anthropic.AsyncAnthropic(base_url=BASE_URL, **options)


def ask(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def usage_of(message: Any) -> dict[str, Any]:
    return {"input_tokens": message.usage.input_tokens, "output_tokens": message.usage.output_tokens}


def seen(message: Any) -> dict[str, Any]:
    """The parts of a message that every test wants to look at."""
    return {
        "id": message.id,
        "model": message.model,
        "role": message.role,
        "stop_reason": message.stop_reason,
        "blocks": [block.type for block in message.content],
        "text": text_of(message),
        "usage": usage_of(message),
    }


def trimtab_headers(response: Any) -> dict[str, str]:
    return {k.lower(): v for k, v in response.headers.items() if k.lower().startswith("x-trimtab-")}


def failure(problem: anthropic.APIStatusError) -> dict[str, Any]:
    """An error as a program sees it."""
    body = problem.body if isinstance(problem.body, dict) else {}
    error = body.get("error", {})
    return {
        "class": type(problem).__name__,
        "status": problem.status_code,
        "type": error.get("type"),
        "message": error.get("message"),
        "shape": body.get("type"),
        "body_request_id": body.get("request_id"),
        "request_id": problem.request_id,
        "retry_after": problem.response.headers.get("retry-after"),
    }


def tell(result: dict[str, Any]) -> None:
    result["anthropic"] = anthropic.__version__
    json.dump(result, sys.stdout)
    sys.stdout.write("\n")
