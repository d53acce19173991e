"""Converse's answer as a message of the vendor's API.

What it is not: the stream (`converse_stream`), which shares the words for usage and for the end of a turn. Invariant:
texts, signatures, tool inputs and their order are the platform's; what the vendor's message has no member for is in
`amazon-bedrock-converse`, as the platform sent it.

Source: Amazon Bedrock API reference, Converse (2026-11).
"""

from typing import Any, TypeAlias

import msgspec

from trimtab.errors import UpstreamBroken, shortened

Json: TypeAlias = dict[str, Any]

EXTRA = "amazon-bedrock-converse"
"""Where the platform's own words stand that the vendor's API has none for. Clients pass over it, as over
InvokeModel's `amazon-bedrock-invocationMetrics`."""

_SAFETY = ("content_filtered", "guardrail_intervened")
_MALFORMED = ("malformed_model_output", "malformed_tool_use")

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class CacheDetail(msgspec.Struct, rename="camel"):
    """Tokens written to the prompt cache for one time to live."""

    ttl: str
    input_tokens: int


class TokenUsage(msgspec.Struct, rename="camel"):
    """What the platform says was used."""

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    cache_details: list[CacheDetail] | None = None


class ReasoningText(msgspec.Struct):
    """The model's thinking."""

    text: str
    signature: str | None = None


class _Reasoning(msgspec.Struct, rename="camel"):
    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None


class _ToolUse(msgspec.Struct, rename="camel"):
    tool_use_id: str
    name: str
    input: msgspec.Raw
    type: str | None = None


class _Message(msgspec.Struct):
    content: list[dict[str, msgspec.Raw]]


class _Output(msgspec.Struct):
    message: _Message


class _Answer(msgspec.Struct, rename="camel"):
    output: _Output
    stop_reason: str
    usage: TokenUsage
    additional_model_response_fields: msgspec.Raw = msgspec.Raw()


_ANSWER = msgspec.json.Decoder(_Answer)
_REASONING = msgspec.json.Decoder(_Reasoning)
_TOOL_USE = msgspec.json.Decoder(_ToolUse)
_TEXT = msgspec.json.Decoder(str)
_OWN = msgspec.json.Decoder(dict[str, msgspec.Raw])

_SAID = ("output", "usage")
"""Members of an answer that the message says in full."""


def message_of(body: bytes, identifier: str, model: str) -> bytes:
    """The message. Raises `UpstreamBroken` for what is no answer of Converse, or holds what no message can."""
    try:
        answer = _ANSWER.decode(body)
        own = {name: raw for name, raw in _OWN.decode(body).items() if name not in _SAID}
        content = [_block(block) for block in answer.output.message.content]
    except UNREADABLE as problem:
        raise UpstreamBroken(f"the platform's answer cannot be read: {problem}") from None
    return msgspec.json.encode({
        "id": message_id(identifier),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        **end_of(answer.stop_reason, answer.additional_model_response_fields),
        "usage": usage_of(answer.usage),
        EXTRA: own,
    })  # fmt: skip


def message_id(identifier: str) -> str:
    """A message's id, made of the request's: Converse gives none."""
    return f"msg_bdrk_{identifier}" if identifier else "msg_bdrk"


def usage_of(usage: TokenUsage) -> Json:
    """The vendor's `usage`; what the platform did not say is absent."""
    made: Json = {"input_tokens": usage.input_tokens}
    if usage.cache_write_input_tokens is not None:
        made["cache_creation_input_tokens"] = usage.cache_write_input_tokens
    if usage.cache_read_input_tokens is not None:
        made["cache_read_input_tokens"] = usage.cache_read_input_tokens
    if usage.cache_details:
        writes = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
        for detail in usage.cache_details:
            name = f"ephemeral_{detail.ttl}_input_tokens"
            writes[name] = writes.get(name, 0) + detail.input_tokens
        made["cache_creation"] = writes
    made["output_tokens"] = usage.output_tokens
    return made


def end_of(reason: str, fields: msgspec.Raw) -> Json:
    """`stop_reason`, `stop_sequence` and `stop_details`.

    The safety reasons of Bedrock are refusals. Output that is malformed came to its end: `end_turn`, because its tokens
    are paid for; the platform's word for it stands in `amazon-bedrock-converse`. A reason that is not known passes.
    """
    made: Json = {"stop_reason": reason, "stop_sequence": None}
    if reason in _SAFETY:
        made["stop_reason"] = "refusal"
        made["stop_details"] = {
            "type": "refusal",
            "category": None,
            "explanation": f"Amazon Bedrock: {reason}",
        }
    elif reason in _MALFORMED:
        made["stop_reason"] = "end_turn"
    elif reason == "stop_sequence":
        made["stop_sequence"] = _stop_sequence(fields)
    return made


def _stop_sequence(fields: msgspec.Raw) -> str | None:
    try:
        found = msgspec.json.decode(fields)
    except UNREADABLE:
        return None
    value = found.get("stop_sequence") if isinstance(found, dict) else None
    return value if isinstance(value, str) else None


def _block(block: dict[str, msgspec.Raw]) -> Json:
    for kind, raw in block.items():
        match kind:
            case "text":
                return {"type": "text", "text": _TEXT.decode(raw)}
            case "toolUse":
                used = _TOOL_USE.decode(raw)
                if used.type is None:
                    return {
                        "type": "tool_use",
                        "id": used.tool_use_id,
                        "name": used.name,
                        "input": used.input,
                    }
                kind = f"toolUse.{used.type}"
            case "reasoningContent":
                thought = _REASONING.decode(raw)
                if thought.reasoning_text is not None:
                    return {
                        "type": "thinking",
                        "thinking": thought.reasoning_text.text,
                        "signature": thought.reasoning_text.signature or "",
                    }
                if thought.redacted_content is not None:
                    return {"type": "redacted_thinking", "data": thought.redacted_content}
        raise no_words(kind)
    raise UpstreamBroken("the platform's answer holds a content block without a kind")


def no_words(kind: str) -> UpstreamBroken:
    """What the platform sent, and a message has no block for."""
    return UpstreamBroken(f"the platform's answer holds {shortened(kind)!r}, which is not translated")
