"""What platforms that fail say: answers, streams and errors in the framings of three vendors, as bytes.

What it is not: a model, or our simulator, with whose code it shares nothing (frames of an event stream are written by
`aws_event_frames`, from the specification). Invariant: each piece of text names the attempt that it belongs to, so that
a reader can tell whose words it got.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from aws_event_frames import chunk, exception

Framing = Literal["anthropic", "bedrock", "vertex"]

INPUT_TOKENS, OUTPUT_TOKENS = 20, 8
USAGE = {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS}
PIECES = 4
"""Content deltas of a stream."""
BEFORE_CONTENT = 3
"""Events before the first of them: message_start, content_block_start, ping."""
EVENTS = BEFORE_CONTENT + PIECES + 3
"""And after them: content_block_stop, message_delta, message_stop."""
HEAD_BYTES = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\nrequest-id: %b\r\ntransfer-encoding: chunked\r\n\r\n"
TYPES = {
    "anthropic": b"text/event-stream",
    "vertex": b"text/event-stream",
    "bedrock": b"application/vnd.amazon.eventstream",
}


@dataclass(frozen=True)
class Asked:
    """A request, as far as a platform looks at it."""

    name: str
    """The caller's own, which no other request has."""
    wishes: dict[str, str]
    """What the caller wants each platform to do with it."""
    stream: bool


MARK = re.compile(rb"ask:([a-z0-9-]+);((?:[a-z]+=[a-z_]+:-?\d+;)*);")


def mark(name: str, wishes: Mapping[str, str]) -> str:
    """What a caller writes into its request: `mark("a-1", {"claude": "cut:3"})`."""
    return f"ask:{name};" + "".join(f"{platform}={wish};" for platform, wish in wishes.items()) + ";"


def asked(path: bytes, body: bytes) -> Asked:
    """Read a request in any of the framings."""
    found = MARK.search(body)
    if found is None:
        raise ValueError(f"no mark in {body[:200]!r}")
    wishes = dict(one.split("=") for one in found[2].decode().split(";") if one)
    stream = path.endswith((b":streamRawPredict", b"/invoke-with-response-stream")) or bool(
        re.search(rb'"stream": ?true', body)
    )
    return Asked(found[1].decode(), wishes, stream)


def piece(name: str, attempt: str, n: int) -> str:
    """The text of one content delta."""
    return f"{name}/{attempt}:{n} "


def text(name: str, attempt: str) -> str:
    """All of an answer's text."""
    return "".join(piece(name, attempt, n) for n in range(PIECES))


def message(name: str, attempt: str, *, whole: bool) -> dict[str, Any]:
    return {
        "id": f"msg_{attempt}",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": [{"type": "text", "text": text(name, attempt)}] if whole else [],
        "stop_reason": "end_turn" if whole else None,
        "stop_sequence": None,
        "usage": USAGE if whole else {**USAGE, "output_tokens": 1},
    }


def events(name: str, attempt: str) -> list[dict[str, Any]]:
    """A whole stream."""
    return [
        {"type": "message_start", "message": message(name, attempt, whole=False)},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": piece(name, attempt, n)},
            }
            for n in range(PIECES)
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": OUTPUT_TOKENS},
        },
        {"type": "message_stop"},
    ]


def framed(framing: Framing, event: dict[str, Any]) -> bytes:
    """An event in the platform's framing."""
    if framing == "bedrock":
        return chunk(event)
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def error_in_stream(framing: Framing) -> bytes:
    """The platform gives up in mid-stream, and says so."""
    if framing == "bedrock":
        return exception("modelStreamErrorException", "Overloaded", originalStatusCode=529)
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    return b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n"


def chunked(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def stream_head(framing: Framing, attempt: str) -> bytes:
    return HEAD_BYTES % (TYPES[framing], attempt.encode())


def answer(name: str, attempt: str) -> bytes:
    """A whole answer in one piece, which all platforms send alike."""
    return with_length(200, json.dumps(message(name, attempt, whole=True)).encode(), attempt)


def with_length(status: int, body: bytes, attempt: str, *headers: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status} Said",
        "content-type: application/json",
        f"request-id: {attempt}",
        *headers,
        f"content-length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


_WORDS = {
    # do: (vendor's status and type, Amazon's, Google's)
    "limited": ((429, "rate_limit_error"), (429, "ThrottlingException"), (429, "RESOURCE_EXHAUSTED")),
    "overloaded": ((529, "overloaded_error"), (503, "ServiceUnavailableException"), (529, "UNAVAILABLE")),
    "failing": ((500, "api_error"), (500, "InternalServerException"), (500, "INTERNAL")),
    "denied": ((401, "authentication_error"), (403, "ExpiredTokenException"), (401, "UNAUTHENTICATED")),
    "forbidden": ((403, "permission_error"), (403, "AccessDeniedException"), (403, "PERMISSION_DENIED")),
}
_WORDS["spent"] = _WORDS["limited"]
_WORDS["final"] = _WORDS["failing"]


def refusal(framing: Framing, do: str, attempt: str, after_s: int) -> tuple[int, bytes]:
    """The status and the bytes of an error answer."""
    vendor, amazon, google = _WORDS[do]
    headers = []
    if after_s:
        headers.append(f"retry-after: {after_s}")
    if do == "final":
        headers.append("x-should-retry: false")
    if framing == "bedrock":
        status, kind = amazon
        headers += [f"x-amzn-errortype: {kind}:http://internal.amazon.com/", f"x-amzn-requestid: {attempt}"]
        body: dict[str, Any] = {"message": f"{do} on purpose"}
    elif framing == "vertex":
        status, kind = google
        body = {"error": {"code": status, "message": f"{do} on purpose", "status": kind}}
    else:
        status, kind = vendor
        error: dict[str, Any] = {"type": kind, "message": f"{do} on purpose"}
        if do == "spent":
            error["details"] = {"error_code": "enforced_spend_limit_reached"}
        body = {"type": "error", "error": error, "request_id": attempt}
    return status, with_length(status, json.dumps(body).encode(), attempt, *headers)
