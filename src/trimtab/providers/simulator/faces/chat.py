"""A server of the OpenAI API: `POST /v1/chat/completions`, as JSON and as a stream.

What it is not: any one server, or a translation that anybody should use: of a request it reads text, tools, limits,
effort and the schema of the answer, enough for the core to make an answer of. Invariant: usage is the core's, in
OpenAI's words, and `n` answers cost `n` times the output.

Source: OpenAI API reference, chat completions and streaming (2026-11); official SDK 3.54.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from trimtab.catalogue import Catalogue
from trimtab.catalogue.model import Model, Platform
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.errors import RequestError
from trimtab.providers.simulator.faces.face import (
    Asked,
    FaceOptions,
    Names,
    PlatformRefusal,
    Wanted,
    decoded,
    encoded,
    error_of,
    reshaped,
    streams,
    without,
)
from trimtab.providers.simulator.response import SimResponse, Step

_PATH = "/v1/chat/completions"
_MAX_TOKENS = 1024
"""Where the request says none; real servers go on to the end of the context."""
MAX_ANSWERS = 8
_CREATED = 1_763_000_000
"""`created` of every answer: the same request gives the same bytes."""
_FINISH = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
_TYPES = {401: "invalid_request_error", 404: "invalid_request_error", 429: "rate_limit_error"}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
_encode = msgspec.json.encode


class ChatFace:
    """See `faces.face.Face`."""

    platform: Platform = "openai"

    def __init__(self, catalogue: Catalogue, profile: PlatformProfile, options: FaceOptions) -> None:
        self._names = Names(self.platform, catalogue, profile, options)
        self._catalogue = catalogue

    def takes(self, asked: Asked) -> bool:
        """See the seam."""
        return asked.path == _PATH

    def request(self, asked: Asked) -> Wanted:
        """See the seam. Any model of the catalogue is served by its id, and those that the options name."""
        if asked.path != _PATH or asked.method != "POST":
            raise refusal(404, f"Invalid URL ({asked.method} {asked.path:.100})")
        given = asked.value(b"authorization")
        if given is not None and not given.removeprefix("Bearer").strip():
            raise refusal(401, "You didn't provide an API key.")
        raw = decoded(asked.body)
        name = raw.get("model")
        model = (self._names.find(name) or self._catalogue.find(name)) if isinstance(name, str) else None
        if model is None:
            raise refusal(404, f"The model `{name!s:.120}` does not exist.")
        _answers(raw)
        made: dict[str, Any] = {
            "model": model.id,
            "max_tokens": raw.get("max_completion_tokens") or raw.get("max_tokens") or _MAX_TOKENS,
            **_messages(raw.get("messages")),
        }
        if raw.get("stream"):
            made["stream"] = True
        if tools := raw.get("tools"):
            made["tools"] = [_tool(tool) for tool in tools]
        if config := _config(raw, model):
            made["output_config"] = config
        headers = [
            *without(asked.headers, b"anthropic-version", b"anthropic-beta"),
            (b"anthropic-version", b"2023-06-01"),
        ]
        return Wanted("/v1/messages", headers, encoded(made))

    def reply(self, asked: Asked, response: SimResponse) -> SimResponse:
        """See the seam."""
        if response.foreign:
            return response
        own = next((value for name, value in response.headers if name == b"request-id"), b"")
        headers = [
            *without(response.headers, b"request-id", starting=(b"anthropic-",)),
            (b"x-request-id", own),
        ]
        status = response.status
        if status >= 400:
            return reshaped(response, status, headers, lambda body: _worded(status, body))
        raw = decoded(asked.body)
        if streams(response):
            events = _Chunks(raw).of(response.events)
            return msgspec.structs.replace(response, headers=headers, events=events)
        return reshaped(response, status, headers, lambda body: _completion(raw, body))


def refusal(status: int, message: str) -> PlatformRefusal:
    """An error answer in OpenAI's shape."""
    return PlatformRefusal(status, [], _error(status, message))


def _error(status: int, message: str) -> bytes:
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    said = {"message": message, "type": kind, "param": None, "code": _CODES.get(status)}
    return _encode({"error": said})


def _worded(status: int, body: bytes) -> bytes:
    error = error_of(body)
    return body if error is None else _error(status, error.message)


def _answers(raw: dict[str, Any]) -> int:
    n = raw.get("n")
    if n is None:
        return 1
    if not isinstance(n, int) or not 1 <= n <= MAX_ANSWERS:
        raise RequestError(f"Invalid 'n': {n!r:.40}; this simulated server takes 1 to {MAX_ANSWERS}")
    return n


def _messages(said: object) -> dict[str, Any]:
    if not isinstance(said, list) or not said:
        raise RequestError("Invalid 'messages': expected an array of at least one message")
    system: list[str] = []
    turns: list[dict[str, Any]] = []
    for message in said:
        if not isinstance(message, dict):
            raise RequestError("Invalid 'messages': expected objects")
        role, text = message.get("role"), _text(message.get("content"))
        if role in ("system", "developer"):
            system.append(text)
        elif role == "tool":
            block = {"type": "tool_result", "tool_use_id": str(message.get("tool_call_id")), "content": text}
            if turns and turns[-1]["role"] == "user" and isinstance(turns[-1]["content"], list):
                turns[-1]["content"].append(block)
            else:
                turns.append({"role": "user", "content": [block]})
        elif role == "assistant":
            calls = [_call(call) for call in message.get("tool_calls") or ()]
            blocks = [*([{"type": "text", "text": text}] if text else []), *calls]
            turns.append({"role": "assistant", "content": blocks})
        elif role == "user":
            turns.append({"role": "user", "content": text or "."})
        else:
            raise RequestError(f"Invalid value: '{role!s:.40}' for a message's role")
    made: dict[str, Any] = {"messages": turns}
    if system:
        made["system"] = "\n".join(system)
    return made


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _call(call: Any) -> dict[str, Any]:
    try:
        said = call["function"]
        into = msgspec.json.decode(said["arguments"] or "{}")
        return {"type": "tool_use", "id": str(call["id"]), "name": said["name"], "input": into}
    except (KeyError, TypeError, msgspec.DecodeError):
        raise RequestError("Invalid 'tool_calls': expected id and function with name and arguments") from None


def _tool(tool: Any) -> dict[str, Any]:
    try:
        said = tool["function"]
        schema = said.get("parameters") or {"type": "object", "properties": {}}
        return {"name": said["name"], "description": said.get("description") or "", "input_schema": schema}
    except (KeyError, TypeError, AttributeError):
        raise RequestError("Invalid 'tools': expected functions with a name") from None


def _config(raw: dict[str, Any], model: Model) -> dict[str, Any]:
    """Effort, where the model has this level, and the schema of the answer; others are servers' own affair."""
    made: dict[str, Any] = {}
    if (effort := raw.get("reasoning_effort")) in model.effort.levels:
        made["effort"] = effort
    wanted = raw.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        named = wanted.get("json_schema")
        if not isinstance(named, dict) or not isinstance(named.get("schema"), dict):
            raise RequestError("Invalid 'response_format': expected json_schema with a schema")
        made["format"] = {"type": "json_schema", "schema": named["schema"]}
    return made


def _usage(usage: dict[str, Any], answers: int) -> dict[str, Any]:
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    prompt = (usage.get("input_tokens") or 0) + cached + written
    out = (usage.get("output_tokens") or 0) * answers
    reasoning = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": out,
        "total_tokens": prompt + out,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": reasoning * answers},
    }


def _completion(raw: dict[str, Any], body: bytes) -> bytes:
    """The core's message as a completion."""
    message = msgspec.json.decode(body)
    said: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    calls = []
    for block in message["content"]:
        if block["type"] == "text":
            said["content"] = (said["content"] or "") + block["text"]
        elif block["type"] == "tool_use":
            function = {"name": block["name"], "arguments": _encode(block["input"]).decode()}
            calls.append({"id": block["id"], "type": "function", "function": function})
    if calls:
        said["tool_calls"] = calls
    answers = _answers(raw)
    finish = _FINISH.get(message["stop_reason"], "stop")
    return _encode(
        {
            "id": message["id"].replace("msg_", "chatcmpl-"),
            "object": "chat.completion",
            "created": _CREATED,
            "model": raw["model"],
            "choices": [
                {"index": index, "message": said, "logprobs": None, "finish_reason": finish}
                for index in range(answers)
            ],
            "usage": _usage(message["usage"], answers),
        }
    )


class _Chunks:
    """The core's events as chunks, each event at most one step."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self._answers = _answers(raw)
        options = raw.get("stream_options")
        self._wants_usage = isinstance(options, dict) and options.get("include_usage") is True
        self._fields: dict[str, Any] = {
            "id": "",
            "object": "chat.completion.chunk",
            "created": _CREATED,
            "model": raw["model"],
        }
        self._usage: dict[str, Any] = {}
        self._calls = -1

    def of(self, events: Iterable[Step]) -> Iterator[Step]:
        """Waits and cuts stay where they are."""
        for step in events:
            if not isinstance(step, bytes):
                yield step
            elif made := self._made(msgspec.json.decode(step.partition(b"data: ")[2])):
                yield made

    def _made(self, event: dict[str, Any]) -> bytes:
        kind = event["type"]
        if kind == "ping":
            return b": keep-alive\n\n"
        if kind == "error":
            return b"data: %b\n\n" % _error(500, event["error"]["message"])
        if kind == "message_start":
            message = event["message"]
            self._fields["id"] = message["id"].replace("msg_", "chatcmpl-")
            self._usage |= message["usage"]
            return self._choices({"role": "assistant", "content": ""})
        if kind == "content_block_start" and event["content_block"]["type"] == "tool_use":
            self._calls += 1
            block = event["content_block"]
            return self._call({"id": block["id"], "type": "function"}, name=block["name"], arguments="")
        if kind == "content_block_delta":
            delta = event["delta"]
            if delta["type"] == "text_delta":
                return self._choices({"content": delta["text"]})
            if delta["type"] == "input_json_delta" and delta["partial_json"]:
                return self._call({}, arguments=delta["partial_json"])
        if kind == "message_delta":
            self._usage |= event["usage"]
            return self._choices({}, _FINISH.get(event["delta"]["stop_reason"], "stop"))
        return self._end() if kind == "message_stop" else b""

    def _call(self, more: dict[str, Any], **function: str) -> bytes:
        return self._choices({"tool_calls": [{"index": self._calls, **more, "function": function}]})

    def _choices(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        null: dict[str, Any] = {"usage": None} if self._wants_usage else {}
        return b"".join(
            _event(
                {
                    **self._fields,
                    "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
                    **null,
                }
            )
            for index in range(self._answers)
        )

    def _end(self) -> bytes:
        done = b"data: [DONE]\n\n"
        if not self._wants_usage:
            return done
        return _event({**self._fields, "choices": [], "usage": _usage(self._usage, self._answers)}) + done


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % _encode(chunk)
