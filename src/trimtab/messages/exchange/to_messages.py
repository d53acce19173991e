"""The fields of a Chat Completions request as those of a Messages request; see `crossing`.

Sources: vendor reference of the Messages API; OpenAI API reference, "Create chat completion" (2026-11).
"""

from typing import Any

from trimtab.messages.exchange.carried import Json, Uncrossable, listed, objects, only_known, text_at
from trimtab.messages.exchange.values import decoded

_LEFT = (
    "model", "stream", "stream_options", "n", "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty",
    "seed", "logprobs", "top_logprobs", "reasoning_effort", "verbosity", "metadata", "user", "safety_identifier",
    "store", "service_tier", "prediction", "prompt_cache_key", "prompt_cache_retention",
)  # fmt: skip
"""Said to the other model about how to work, or to the platform."""

_TAKEN = (
    "messages", "tools", "functions", "tool_choice", "function_call", "parallel_tool_calls", "response_format",
    "max_tokens", "max_completion_tokens", "stop",
)  # fmt: skip
_IN_MESSAGES = (
    "role", "content", "tool_calls", "function_call", "tool_call_id", "refusal", "name", "reasoning_content",
    "reasoning",
)  # fmt: skip
_INSTRUCTS = ("system", "developer")
_EMPTY_SCHEMA = {"type": "object", "properties": {}}
_ID_SIGNS = "_-"


def messages_fields(said: Json, max_tokens: int) -> Json:
    """Raises `Uncrossable`."""
    only_known(said, _TAKEN + _LEFT)
    turns = _Turns()
    for message in objects(said.get("messages"), "messages"):
        turns.take(message)
    limits = [said.get(name) for name in ("max_completion_tokens", "max_tokens")]
    known = [limit for limit in limits if isinstance(limit, int) and limit > 0]
    fields: Json = {"max_tokens": max(known, default=max_tokens)}
    if turns.system:
        fields["system"] = [{"type": "text", "text": text} for text in turns.system]
    fields["messages"] = turns.end()
    stop = said.get("stop")
    stops = [stop] if isinstance(stop, str) else listed(stop, "stop")
    if any(not one.strip() for one in stops):
        raise Uncrossable("a stop sequence of white space")
    if stops:
        fields["stop_sequences"] = stops
    fields |= _tools(said)
    return fields | _format(said.get("response_format"))


class _Turns:
    def __init__(self) -> None:
        self.system: list[str] = []
        self._made: list[Json] = []
        self._older = 0
        """Calls of the older kind, which have no ids."""

    def take(self, message: Json) -> None:
        """One message, in order."""
        role = text_at(message, "role", "messages")
        only_known(message, _IN_MESSAGES)
        if "name" in message and role != "function":
            raise Uncrossable("a turn with a name")
        if role in _INSTRUCTS:
            if self._made:
                raise Uncrossable("an instruction between turns")
            self.system += [block["text"] for block in _blocks(message.get("content"), texts_only=True)]
        elif role == "user":
            self._made.append({"role": "user", "content": _blocks(message.get("content"))})
        elif role == "assistant":
            self._assistant(message)
        elif role == "tool":
            self._result(_id(message.get("tool_call_id")), message)
        elif role == "function" and self._older:
            self._result(f"call_{self._older}", message)
        else:
            raise Uncrossable(f"a turn of {role[:40]!r}")

    def _assistant(self, message: Json) -> None:
        blocks: list[Json] = []
        for name in ("content", "refusal"):
            if message.get(name):
                blocks += _blocks(message[name], texts_only=True)
        for call in objects(message.get("tool_calls"), "tool_calls"):
            if not isinstance(call.get("function"), dict):
                raise Uncrossable("a call of no function")
            blocks.append(_use(_id(call.get("id")), call["function"]))
        if isinstance(older := message.get("function_call"), dict):
            self._older += 1
            blocks.append(_use(f"call_{self._older}", older))
        if not blocks:
            raise Uncrossable("an empty answer")
        self._made.append({"role": "assistant", "content": blocks})

    def _result(self, call: str, message: Json) -> None:
        """Results of one turn stand in one message."""
        content = message.get("content")
        block: Json = {"type": "tool_result", "tool_use_id": call}
        if content:
            block["content"] = _blocks(content, texts_only=True)
        last = self._made[-1] if self._made else {}
        if last.get("role") == "user" and last["content"][0]["type"] == "tool_result":
            last["content"].append(block)
        else:
            self._made.append({"role": "user", "content": [block]})

    def end(self) -> list[Json]:
        """The turns; the other API begins and ends with one of the user's."""
        if not self._made:
            raise Uncrossable("a request without messages")
        if self._made[0]["role"] != "user":
            raise Uncrossable("a conversation that begins with an answer")
        if self._made[-1]["role"] != "user":
            raise Uncrossable("an answer that the request begins")
        return self._made


def _id(value: object) -> str:
    """Ids are letters, digits, `_` and `-` there."""
    if not isinstance(value, str) or not value or not value.isascii():
        raise Uncrossable("a call without an id")
    if not all(sign.isalnum() or sign in _ID_SIGNS for sign in value):
        raise Uncrossable(f"the id {value[:40]!r} of a call")
    return value


def _use(identity: str, function: Json) -> Json:
    arguments = text_at(function, "arguments", "function")
    value, _ = decoded(arguments.encode())
    if not isinstance(value, dict):
        raise Uncrossable("a call whose arguments are no object")
    return {
        "type": "tool_use",
        "id": identity,
        "name": text_at(function, "name", "function"),
        "input": value,
    }


def _blocks(content: Any, *, texts_only: bool = False) -> list[Json]:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else objects(content, "content")
    made = [_block(part, texts_only) for part in parts]
    if not made or any(block["type"] == "text" and not block["text"].strip() for block in made):
        raise Uncrossable("an empty text")
    return made


def _block(part: Json, texts_only: bool) -> Json:
    match part.get("type"), part.get("image_url"):
        case ("text" | "refusal") as kind, _:
            return {"type": "text", "text": text_at(part, kind, kind)}
        case "image_url", ({"url": str(url)} | str(url)) if not texts_only:
            return {"type": "image", "source": _source(url)}
    raise Uncrossable(f"a part {str(part.get('type'))[:40]!r}")


def _source(url: str) -> Json:
    if url[:8].lower() == "https://":
        return {"type": "url", "url": url}
    head, comma, data = url[5:].partition(",")
    kind, _, packing = head.partition(";")
    if url[:5].lower() != "data:" or not comma or packing.lower() != "base64":
        raise Uncrossable("an image that is neither at an https address nor in base64")
    return {"type": "base64", "media_type": kind, "data": data}


def _tools(said: Json) -> Json:
    functions = objects(said.get("functions"), "functions")
    for tool in objects(said.get("tools"), "tools"):
        if not isinstance(tool.get("function"), dict):
            raise Uncrossable(f"a tool of kind {str(tool.get('type'))[:40]!r}")
        functions.append(tool["function"])
    if not functions:
        return {}
    choice, only = _choice(said)
    tools = [_tool(function) for function in functions if only is None or function.get("name") in only]
    made: Json = {"tools": tools}
    return made | ({"tool_choice": choice} if choice != {"type": "auto"} else {})


def _tool(function: Json) -> Json:
    made: Json = {"name": text_at(function, "name", "tools")}
    if isinstance(function.get("description"), str):
        made["description"] = function["description"]
    made["input_schema"] = function.get("parameters") or _EMPTY_SCHEMA
    if function.get("strict") is True:
        made["strict"] = True
    return made


def _choice(said: Json) -> tuple[Json, list[str] | None]:
    """The choice, and the only tools that may be called, where it names them."""
    chosen = said["tool_choice"] if said.get("tool_choice") is not None else said.get("function_call")
    only = None
    match chosen:
        case None | "auto":
            made: Json = {"type": "auto"}
        case "required":
            made = {"type": "any"}
        case "none":
            return {"type": "none"}, None
        case {"function": {"name": str(name)}} | {"name": str(name)}:
            made = {"type": "tool", "name": name}
        case {"allowed_tools": {"mode": mode, "tools": allowed}}:
            made = {"type": "any" if mode == "required" else "auto"}
            only = [
                text_at(one.get("function", {}), "name", "allowed_tools") for one in objects(allowed, "tools")
            ]
        case _:
            raise Uncrossable("this tool_choice")
    if said.get("parallel_tool_calls") is False:
        made["disable_parallel_tool_use"] = True
    return made, only


def _format(asked: Any) -> Json:
    match asked:
        case None | {"type": "text"}:
            return {}
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    raise Uncrossable("this response format")
