"""The core's answer as Converse's: one document, or the events of ConverseStream in frames.

What it is not: the reading of requests (`converse_read`), or our provider's reading of answers. Invariant: blocks,
texts, signatures and inputs are the core's, in order; usage is said once, at the end of a stream.

Source: Amazon Bedrock API reference, Converse and ConverseStream (2026-11). What becomes of the vendor's `refusal` and
`pause_turn`, which Converse has no words for, is a guess: `content_filtered` and `end_turn`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from trimtab.messages.sse import parse_block
from trimtab.providers.simulator.checks.shapes import Raw
from trimtab.providers.simulator.faces.event_stream import event, exception
from trimtab.providers.simulator.faces.face import error_of
from trimtab.providers.simulator.response import Step

_REASONS = {"refusal": "content_filtered", "pause_turn": "end_turn"}
"""What Converse calls a reason; the others have the vendor's names."""
_METRICS = {"latencyMs": 1}
_IN_STREAM = {
    "invalid_request_error": "validationException",
    "rate_limit_error": "throttlingException",
    "overloaded_error": "serviceUnavailableException",
    "timeout_error": "modelStreamErrorException",
}
"""By the type of the error event; others are `internalServerException`. There is no `modelTimeoutException` here."""
_TIMEOUT = 408


def said_whole(body: bytes, paths: Iterable[str]) -> bytes:
    """An answer in one piece; `paths` are JSON pointers into the model's own."""
    message = msgspec.json.decode(body)
    content = [_block(block) for block in message["content"]]
    made: Raw = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _reason(message["stop_reason"]),
        "usage": _usage(message["usage"]),
        "metrics": _METRICS,
    }
    if found := _own(message, paths):
        made["additionalModelResponseFields"] = found
    return msgspec.json.encode(made)


def said_in_frames(steps: Iterable[Step], paths: Iterable[str]) -> Iterator[Step]:
    """The events of a stream; waits and cuts stay where they are."""
    usage: dict[str, Any] = {}
    for step in steps:
        if not isinstance(step, bytes):
            yield step
            continue
        said = msgspec.json.decode(parse_block(step.rstrip(b"\n")).data)
        match said["type"]:
            case "error":
                yield _failed(step)
                return
            case "message_start":
                usage |= said["message"]["usage"]
                yield event("messageStart", {"role": "assistant"})
            case "content_block_start" if (start := _start(said["content_block"])) is not None:
                yield event("contentBlockStart", {"start": start, "contentBlockIndex": said["index"]})
            case "content_block_delta":
                delta = _delta(said["delta"])
                yield event("contentBlockDelta", {"delta": delta, "contentBlockIndex": said["index"]})
            case "content_block_stop":
                yield event("contentBlockStop", {"contentBlockIndex": said["index"]})
            case "message_delta":
                usage |= said["usage"]
                stop: Raw = {"stopReason": _reason(said["delta"]["stop_reason"])}
                if found := _own(said["delta"], paths):
                    stop["additionalModelResponseFields"] = found
                yield event("messageStop", stop)
            case "message_stop":
                yield event("metadata", {"usage": _usage(usage), "metrics": _METRICS})


def _failed(step: bytes) -> bytes:
    error = error_of(parse_block(step.rstrip(b"\n")).data)
    if error is None:
        return exception("internalServerException", "")
    name = _IN_STREAM.get(error.type, "internalServerException")
    if name == "modelStreamErrorException":
        more = {"originalStatusCode": _TIMEOUT, "originalMessage": error.message}
        return exception(name, "The model took too long to respond.", more)
    return exception(name, error.message)


def _reason(reason: str) -> str:
    return _REASONS.get(reason, reason)


def _block(block: Raw) -> Raw:
    match block["type"]:
        case "text":
            return {"text": block["text"]}
        case "thinking":
            text = {"text": block["thinking"], "signature": block["signature"]}
            return {"reasoningContent": {"reasoningText": text}}
    return {"toolUse": {**_called(block), "input": block["input"]}}


def _called(block: Raw) -> Raw:
    server = {"type": "server_tool_use"} if block["type"] == "server_tool_use" else {}
    return {"toolUseId": block["id"], "name": block["name"], **server}


def _start(block: Raw) -> Raw | None:
    """Only calls of tools have a start; what another block is, its first delta says."""
    return {"toolUse": _called(block)} if block["type"].endswith("tool_use") else None


def _delta(delta: Raw) -> Raw:
    match delta["type"]:
        case "text_delta":
            return {"text": delta["text"]}
        case "thinking_delta":
            return {"reasoningContent": {"text": delta["thinking"]}}
        case "signature_delta":
            return {"reasoningContent": {"signature": delta["signature"]}}
    return {"toolUse": {"input": delta["partial_json"]}}


def _usage(usage: Raw) -> Raw:
    read, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    made: Raw = {
        "inputTokens": usage["input_tokens"],
        "outputTokens": usage["output_tokens"],
        "totalTokens": usage["input_tokens"] + read + written + usage["output_tokens"],
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": written,
    }
    by_life = usage.get("cache_creation") or {}
    details = [
        {"ttl": ttl, "inputTokens": tokens}
        for ttl in ("5m", "1h")
        if (tokens := by_life.get(f"ephemeral_{ttl}_input_tokens"))
    ]
    if details:
        made["cacheDetails"] = details
    return made


def _own(message: Raw, paths: Iterable[str]) -> Raw:
    """What pointers of one step find of how the model ended; a pointer that finds nothing is passed over."""
    ends = {name: message.get(name) for name in ("stop_reason", "stop_sequence", "stop_details")}
    found = {path.removeprefix("/"): ends.get(path.removeprefix("/")) for path in paths}
    return {name: value for name, value in found.items() if value is not None}
