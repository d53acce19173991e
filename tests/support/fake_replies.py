"""Answers of a platform that a test plays, piece by piece."""

import asyncio
import json
from typing import Any

from trimtab.messages import encode_event
from trimtab.providers import Headers

JSON: Headers = [(b"content-type", b"application/json"), (b"request-id", b"req_1")]
SSE: Headers = [(b"content-type", b"text/event-stream; charset=utf-8")]


class FakeReply:
    """Plays chunks; an exception among them is raised."""

    def __init__(self, status: int, headers: Headers, script: list[bytes | BaseException | float]) -> None:
        self.status, self.headers, self.script = status, headers, list(script)
        self.closed = False

    async def read(self) -> bytes:
        while self.script:
            step = self.script.pop(0)
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, float):
                await asyncio.sleep(step)
                continue
            return step
        return b""

    def close(self) -> None:
        self.closed = True


def message(usage: dict[str, Any], **fields: Any) -> bytes:
    whole = {"type": "message", "model": "claude-sonnet-4-6", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn", "usage": usage, **fields}  # fmt: skip
    return json.dumps(whole).encode()


def event(kind: str, **fields: Any) -> bytes:
    return encode_event(kind, json.dumps({"type": kind, **fields}).encode())


START = event("message_start", message={"model": "m", "content": [], "usage": {"input_tokens": 1000, "output_tokens": 2}})  # fmt: skip
BLOCK = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
DELTA = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "hello"})
CLOSE = event("content_block_stop", index=0)
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 500})
STOP = event("message_stop")
