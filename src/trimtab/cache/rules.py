"""Which requests may be answered by an earlier answer, and which answers may be given again. Pure.

What it is not: whether anybody wants that (`repeats`). Invariant: closed. A field, a kind of tool or an ending that is
not known to be harmless keeps a request from it: an answer that does more than say something, or that depends on more
than the request, is never given twice.
"""

from typing import Any, Literal

from trimtab.messages.tool_kinds import CLIENT_TOOLS
from trimtab.records import Surface

_LINKS = ("image_url", "video_url", "audio_url")
"""Members of the chat surface that hold a link, or what it would lead to."""

Reason = Literal["field", "tools", "links", "several", "unclear"]

_ALIKE = frozenset(
    (
        "model",
        "messages",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stream",
        "tools",
        "tool_choice",
        "metadata",
        "service_tier",
    )
)
_FIELDS: dict[Surface, frozenset[str]] = {
    "messages": _ALIKE
    | {
        "system",
        "stop_sequences",
        "thinking",
        "output_config",
        "output_format",
        "cache_control",
        "speed",
        "inference_geo",
    },
    "chat": _ALIKE
    | {
        "max_completion_tokens",
        "stop",
        "n",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "response_format",
        "parallel_tool_calls",
        "functions",
        "function_call",
        "reasoning_effort",
        "verbosity",
        "stream_options",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "min_p",
        "repetition_penalty",
        "chat_template_kwargs",
        "guided_json",
        "guided_choice",
        "guided_regex",
    },
}
"""Fields that say what is asked and do nothing else. Others (`mcp_servers`, `container`, `fallbacks`, `thread`,
`context_management`, `store`, those of tomorrow) may do something, or bring what the request does not show.
Source: vendor Messages reference, OpenAI API reference, vLLM reference (2026-11)."""

_NOBODYS: dict[Surface, frozenset[str]] = {
    "messages": frozenset(("stream",)),
    "chat": frozenset(("stream", "user", "safety_identifier", "prompt_cache_key")),
}
"""Fields that change no answer: who asks, and how the answer is cut."""

_FINAL: dict[Surface, frozenset[str]] = {
    "messages": frozenset(("end_turn", "stop_sequence", "tool_use")),
    "chat": frozenset(("stop", "tool_calls", "function_call")),
}
"""Endings of a whole answer. Not `max_tokens`, `length` and the like (cut), `refusal` and `content_filter` (a judgement
that may be another one tomorrow), `pause_turn` (goes on elsewhere)."""


def _is_nothing(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, list | dict) and not value)


def why_not(surface: Surface, body: dict[str, Any], answers: int) -> Reason | None:
    """What keeps a request from being answered by an earlier answer; `None` where nothing does.

    `body` as `messages.canonical.read_exactly` gives it. Cost: a look at each block and tool.
    """
    known = _FIELDS[surface]
    if any(name not in known and not _is_nothing(value) for name, value in body.items()):
        return "field"
    if answers > 1:
        return "several"
    if not _are_clients(surface, body.get("tools")):
        return "tools"
    if _links(body.get("messages")) or _links(body.get("system")):
        return "links"
    return None


def samples(body: dict[str, Any]) -> bool:
    """Whether the same request may have another answer by design: models sample unless the temperature is 0."""
    return body.get("temperature") != 0 or isinstance(body.get("temperature"), bool)


def what_matters(surface: Surface, body: dict[str, Any]) -> dict[str, Any]:
    """The body without what changes no answer."""
    left = {name: value for name, value in body.items() if name not in _NOBODYS[surface]}
    if surface == "messages" and isinstance(metadata := left.get("metadata"), dict):
        about = {name: value for name, value in metadata.items() if name != "user_id"}
        if about:
            left["metadata"] = about
        else:
            del left["metadata"]
    return left


def is_final(surface: Surface, stop_reason: str | None) -> bool:
    """Whether an answer that ended so is whole, and would be one tomorrow."""
    return stop_reason in _FINAL[surface]


def _are_clients(surface: Surface, tools: Any) -> bool:
    """Whether all tools are run by the client: what a vendor's tool finds is not in the request."""
    if tools is None:
        return True
    if not isinstance(tools, list):
        return False
    for tool in tools:
        kind = tool.get("type") if isinstance(tool, dict) else 0
        if surface == "chat":
            if kind not in ("function", "custom"):
                return False
        elif (
            kind is not None
            and kind != "custom"
            and not (isinstance(kind, str) and kind.startswith(CLIENT_TOOLS))
        ):
            return False
    return True


def _links(value: Any) -> bool:
    """Whether something in it is behind a link: what is there may change while the request stays the same."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(one)
        elif isinstance(one, dict):
            if one.get("type") == "url" or not all(_is_inside(one.get(name)) for name in _LINKS):
                return True
            waiting.extend(one.values())
    return False


def _is_inside(link: Any) -> bool:
    """Whether a link of the chat surface holds what it names."""
    if link is None:
        return True
    address = link.get("url") if isinstance(link, dict) else link
    return isinstance(address, str) and address.startswith("data:")
