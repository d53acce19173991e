"""The two Messages requests of the benchmark: a short question, and a turn in the middle of an agent's work.

The long one has what such requests have: a system prompt, eight tools with their schemas, and a history of signed
thinking, tool calls and tool results. Invariant: the same bytes in every run. Its words mean nothing; they come from
a seeded generator, so that no text of anybody's is copied here.
"""

import base64
import json
import random
from typing import Any

MODEL = "claude-sonnet-4-6"
_SEED = 7
_SYLLABLES = tuple(
    "ka ro mi te lu san ver do pel ni gra ho mus ti ba len cor sa fi dun qua rin".split()  # noqa: SIM905 - readable
)
_TURNS = 7


class _Writer:
    """Words, sentences and signatures, always the same."""

    def __init__(self) -> None:
        self._random = random.Random(_SEED)

    def word(self) -> str:
        return "".join(self._random.choices(_SYLLABLES, k=self._random.randint(1, 4)))

    def text(self, chars: int) -> str:
        """About so many characters of sentences, with some line breaks, quotes and letters beyond ASCII."""
        parts: list[str] = []
        size = 0
        while size < chars:
            words = [self.word() for _ in range(self._random.randint(4, 14))]
            if self._random.random() < 0.2:
                words[1] = f'"{words[1]}"'
            if self._random.random() < 0.1:
                words[-1] += " → ü"
            end = ".\n" if self._random.random() < 0.25 else ". "
            parts.append(" ".join(words).capitalize() + end)
            size += len(parts[-1])
        return "".join(parts).strip()

    def identifier(self, prefix: str) -> str:
        letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0123456789"
        return prefix + "".join(self._random.choices(letters, k=22))

    def signature(self, size: int) -> str:
        return base64.b64encode(self._random.randbytes(size)).decode()

    def tool(self) -> dict[str, Any]:
        properties = {
            self.word() + "_" + self.word(): {
                "type": self._random.choice(["string", "integer", "boolean"]),
                "description": self.text(70),
            }
            for _ in range(4)
        }
        return {
            "name": f"{self.word()}_{self.word()}",
            "description": self.text(260),
            "input_schema": {
                "type": "object",
                "properties": properties,
                "required": list(properties)[:2],
                "additionalProperties": False,
            },
        }


def short_request() -> dict[str, Any]:
    """A question, about 0.6 KB as JSON."""
    writer = _Writer()
    return {
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": writer.text(280)}],
        "model": MODEL,
        "system": writer.text(180),
    }


def long_request() -> dict[str, Any]:
    """A turn of an agent, about 53 KB as JSON."""
    writer = _Writer()
    tools = [writer.tool() for _ in range(8)]
    messages: list[dict[str, Any]] = [{"role": "user", "content": writer.text(900)}]
    for turn in range(_TURNS):
        call = writer.identifier("toolu_")
        tool = tools[turn % len(tools)]
        thinking = {"type": "thinking", "thinking": writer.text(900), "signature": writer.signature(420)}
        given = {name: writer.text(60) for name in tool["input_schema"]["properties"]}
        use = {"type": "tool_use", "id": call, "name": tool["name"], "input": given}
        messages.append(
            {"role": "assistant", "content": [thinking, {"type": "text", "text": writer.text(240)}, use]}
        )
        result: dict[str, Any] = {"type": "tool_result", "tool_use_id": call, "content": writer.text(2900)}
        if turn == _TURNS - 1:
            result["cache_control"] = {"type": "ephemeral"}
        messages.append({"role": "user", "content": [result]})
    return {
        "max_tokens": 8192,
        "messages": messages,
        "model": MODEL,
        "system": [{"type": "text", "text": writer.text(5200), "cache_control": {"type": "ephemeral"}}],
        "thinking": {"type": "enabled", "budget_tokens": 4096},
        "tools": tools,
    }


def body(request: dict[str, Any], *, stream: bool, model: str = MODEL) -> bytes:
    """As the official SDKs write it: compact, letters as they are."""
    whole = {**request, "model": model, **({"stream": True} if stream else {})}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def whole_request(body: bytes, port: int, headers: dict[str, str]) -> bytes:
    """Head and body as they go over the wire, with the headers that the official Python SDK sends."""
    lines = [
        "POST /v1/messages HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Accept: application/json",
        "Accept-Encoding: identity",
        "Connection: keep-alive",
        "User-Agent: Anthropic/Python 1.17.0",
        "X-Stainless-Lang: python",
        "X-Stainless-Retry-Count: 0",
        "anthropic-version: 2023-06-01",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
