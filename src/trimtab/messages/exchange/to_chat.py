"""The fields of a Messages request as those of a Chat Completions request; see `crossing`.

Sources: vendor reference of the Messages API; OpenAI API reference, "Create chat completion" (2026-11).
"""

from typing import Any

from trimtab.messages.exchange.carried import Json, Uncrossable, listed, objects, only_known, text_at
from trimtab.messages.exchange.values import written

MAX_STOPS = 4
"""Source: OpenAI API reference (2026-11)."""

_LEFT = (
    "model", "stream", "thinking", "metadata", "temperature", "top_p", "top_k", "cache_control", "service_tier",
    "speed", "inference_geo", "diagnostics", "fallbacks", "anthropic_version",
)  # fmt: skip
"""Said to the other model about how to work, or to the platform."""

_TAKEN = (
    "system", "messages", "tools", "tool_choice", "output_config", "output_format", "max_tokens", "stop_sequences",
)  # fmt: skip
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def chat_fields(said: Json) -> Json:
    """Raises `Uncrossable`."""
    only_known(said, _TAKEN + _LEFT)
    messages = [*_system(said.get("system"))]
    turns = objects(said.get("messages"), "messages")
    for turn in turns:
        messages += _turn(turn)
    if not turns:
        raise Uncrossable("a request without messages")
    if turns[-1].get("role") == "assistant":
        raise Uncrossable("an answer that the request begins")
    fields: Json = {"messages": messages}
    if isinstance(limit := said.get("max_tokens"), int) and limit:
        fields["max_completion_tokens"] = limit
    if stops := listed(said.get("stop_sequences"), "stop_sequences"):
        if len(stops) > MAX_STOPS:
            raise Uncrossable(f"{len(stops)} stop sequences")
        fields["stop"] = stops
    fields |= _tools(said)
    return fields | _format(said)


def _system(system: Any) -> list[Json]:
    """One message for each text, so that they are as far apart as they were."""
    if system is None or system == "":
        return []
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else objects(system, "system")
    return [{"role": "system", "content": text_at(block, "text", "system")} for block in blocks]


def _turn(turn: Json) -> list[Json]:
    role, content = text_at(turn, "role", "messages"), turn.get("content")
    only_known(turn, ("role", "content"))
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else objects(content, "content")
    if role == "assistant":
        return [_assistant(blocks)]
    if role == "system":
        return [{"role": role, "content": _content(blocks)}]
    if role != "user":
        raise Uncrossable(f"a turn of {role[:40]!r}")
    results = [_result(block) for block in blocks if block.get("type") == "tool_result"]
    rest = [block for block in blocks if block.get("type") != "tool_result"]
    return results + ([{"role": "user", "content": _content(rest)}] if rest or not results else [])


def _assistant(blocks: list[Json]) -> Json:
    made: Json = {"role": "assistant", "content": None}
    texts: list[Json] = []
    calls: list[Json] = []
    for block in blocks:
        match block.get("type"):
            case "text":
                texts.append(block)
            case "tool_use":
                function = {
                    "name": text_at(block, "name", "tool_use"),
                    "arguments": written(block.get("input")).decode(),
                }
                calls.append(
                    {"id": text_at(block, "id", "tool_use"), "type": "function", "function": function}
                )
            case "thinking" | "redacted_thinking":
                pass
            case kind:
                raise Uncrossable(f"a block {str(kind)[:40]!r} of an answer")
    if texts:
        made["content"] = _content(texts)
    if calls:
        made["tool_calls"] = calls
    if not texts and not calls:
        raise Uncrossable("an empty answer")
    return made


def _result(block: Json) -> Json:
    """The other API has no place for an error or an image in a result."""
    if block.get("is_error") is True:
        raise Uncrossable("a tool result that is an error")
    content = block.get("content")
    texts = (
        [] if content is None else [content] if isinstance(content, str) else objects(content, "tool_result")
    )
    parts = [{"type": "text", "text": one} if isinstance(one, str) else one for one in texts]
    if any(part.get("type") != "text" for part in parts):
        raise Uncrossable("a tool result that is no text")
    call = text_at(block, "tool_use_id", "tool_result")
    return {"role": "tool", "tool_call_id": call, "content": _content(parts) if parts else ""}


def _content(blocks: list[Json]) -> Any:
    """One text, or parts."""
    parts = [_part(block) for block in blocks]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return parts[0]["text"]
    if not parts:
        raise Uncrossable("an empty turn")
    return parts


def _part(block: Json) -> Json:
    source = block.get("source")
    match block.get("type"), source:
        case "text", _:
            return {"type": "text", "text": text_at(block, "text", "text")}
        case "image", {"type": "base64", "media_type": str(kind), "data": str(data)}:
            return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}}
        case "image", {"type": "url", "url": str(url)}:
            return {"type": "image_url", "image_url": {"url": url}}
        case "document", {"type": "text", "data": str(text)}:
            return {"type": "text", "text": text}
    raise Uncrossable(f"a block {str(block.get('type'))[:40]!r} of this kind")


def _tools(said: Json) -> Json:
    made: Json = {}
    tools = []
    for tool in objects(said.get("tools"), "tools"):
        if tool.get("type") not in (None, "custom"):
            raise Uncrossable(f"the vendor's tool {str(tool.get('type'))[:60]!r}")
        function = {"name": text_at(tool, "name", "tools"), "parameters": tool.get("input_schema")}
        if isinstance(tool.get("description"), str):
            function["description"] = tool["description"]
        if tool.get("strict") is True:
            function["strict"] = True
        tools.append({"type": "function", "function": function})
    if not tools:
        return made
    made["tools"] = tools
    choice = said.get("tool_choice")
    if isinstance(choice, dict):
        named = {"type": "function", "function": {"name": choice.get("name")}}
        made["tool_choice"] = named if choice.get("type") == "tool" else _CHOICES.get(str(choice.get("type")))
        if made["tool_choice"] is None or not isinstance(choice.get("name", ""), str):
            raise Uncrossable("this tool_choice")
        if choice.get("disable_parallel_tool_use") is True:
            made["parallel_tool_calls"] = False
    return made


def _format(said: Json) -> Json:
    config = said.get("output_config")
    asked = config.get("format") if isinstance(config, dict) else None
    asked = asked if isinstance(asked, dict) else said.get("output_format")
    if asked is None:
        return {}
    if not isinstance(asked, dict) or asked.get("type") != "json_schema" or "schema" not in asked:
        raise Uncrossable("this output format")
    return {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": asked["schema"]},
        }
    }
