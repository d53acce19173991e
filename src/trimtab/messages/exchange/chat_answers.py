"""Answers of the Chat Completions API, streamed or whole.

What it is not: their cost (`chat.meter`). Invariants: a whole message is read as one delta that says all, so that both
forms of an answer read the same; calls stand in the order of their index.

Source: OpenAI API reference, chat completions and streaming (2026-11).
"""

from typing import Any

from trimtab.messages.chat.body import MAX_ANSWERS
from trimtab.messages.chat.meter import DONE
from trimtab.messages.exchange.answer import MAX_STOP_CHARS, Answered, Stop, ToolCall
from trimtab.messages.exchange.values import decoded, is_index, texts_of
from trimtab.messages.sse import events_of
from trimtab.messages.tolerant import document, mended_text

MAX_CALLS = 1000
"""Of one answer; what a broken stream names beyond them is not read."""

FUNCTION_CALL = "function_call"

_STOPS: dict[str, Stop] = {
    "stop": "end",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    FUNCTION_CALL: "tool_use",
    "content_filter": "refusal",
    "error": "error",
}


class _Call:
    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name: list[str] = []
        self.arguments: list[str] = []

    def take(self, said: dict[str, Any]) -> None:
        """One fragment; of `custom` tools the input is free text."""
        if not self.id and isinstance(said.get("id"), str):
            self.id = said["id"]
        for kind, argument in (("function", "arguments"), ("custom", "input")):
            if not isinstance(inner := said.get(kind), dict):
                continue
            if isinstance(inner.get("name"), str):
                self.name.append(inner["name"])
            if isinstance(inner.get(argument), str):
                self.arguments.append(inner[argument])

    def end(self) -> ToolCall:
        arguments = mended_text("".join(self.arguments)).encode()
        value, readable = decoded(arguments)
        name = mended_text("".join(self.name))
        return ToolCall(mended_text(self.id), name, arguments, value, readable)


class _Choice:
    def __init__(self) -> None:
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._legacy = _Call()
        self._thought = False
        self.finish = ""

    def take(self, said: dict[str, Any]) -> None:
        """A delta, or a whole message."""
        self._text += texts_of(said.get("content"), "text")
        self._refusal += texts_of(said.get("content"), "refusal", plain=False)
        if isinstance(refusal := said.get("refusal"), str):
            self._refusal.append(refusal)
        self._thought = self._thought or bool(said.get("reasoning_content") or said.get("reasoning"))
        calls = said.get("tool_calls")
        for place, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                self._call(call, place)
        if isinstance(call := said.get(FUNCTION_CALL), dict):
            self._legacy.take({"id": FUNCTION_CALL, "function": call})

    def _call(self, said: dict[str, Any], place: int) -> None:
        index = said.get("index")
        index = index if is_index(index) else place
        if index in self._calls or len(self._calls) < MAX_CALLS:
            self._calls.setdefault(index, _Call()).take(said)

    def end(self, *, whole: bool, error: str | None) -> Answered:
        calls = [self._calls[index] for index in sorted(self._calls)]
        if self._legacy.id:
            calls.append(self._legacy)
        stop: Stop = _STOPS.get(self.finish, "unknown") if self.finish else "none"
        return Answered(
            text=mended_text("".join(self._text)),
            tool_calls=tuple(call.end() for call in calls),
            stop="error" if error is not None else stop,
            stop_reason=mended_text(error if error is not None else self.finish)[:MAX_STOP_CHARS],
            refusal=mended_text("".join(self._refusal)),
            thought=self._thought,
            complete=error is None and (whole or bool(self.finish)),
        )


class _Completion:
    """All answers of one call."""

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._error: str | None = None
        self._done = False

    def take(self, data: bytes) -> None:
        """One event of a stream."""
        if data.strip() == DONE:
            self._done = True
        elif isinstance(chunk := document(data), dict):
            self.read(chunk, "delta")

    def read(self, chunk: dict[str, Any], member: str) -> None:
        """A chunk, or a whole completion."""
        if (error := chunk.get("error")) is not None:
            self._error = _error_type(error)
        choices = chunk.get("choices")
        for place, said in enumerate(choices if isinstance(choices, list) else ()):
            if not isinstance(said, dict):
                continue
            index = said.get("index")
            index = index if is_index(index) else place
            if index not in self._choices and len(self._choices) >= MAX_ANSWERS:
                continue
            choice = self._choices.setdefault(index, _Choice())
            if isinstance(inner := said.get(member), dict):
                choice.take(inner)
            if isinstance(finish := said.get("finish_reason"), str) and finish:
                choice.finish = finish

    def end(self, *, whole: bool) -> tuple[Answered, ...]:
        """What it came to. A choice that says why it ends is whole, and after `[DONE]` all are."""
        if not self._choices and self._error is not None:
            return (Answered(stop="error", stop_reason=self._error[:MAX_STOP_CHARS], complete=False),)
        return tuple(
            self._choices[index].end(whole=whole or self._done, error=self._error)
            for index in sorted(self._choices)
        )


def streamed_chat_answers(stream: bytes) -> tuple[Answered, ...]:
    """The answers that a stream spells, as far as it came."""
    reading = _Completion()
    for event in events_of(stream):
        reading.take(event.data)
    return reading.end(whole=False)


def whole_chat_answers(body: bytes) -> tuple[Answered, ...]:
    """The answers of a JSON body; none where it is no completion."""
    value, _ = decoded(body)
    reading = _Completion()
    if isinstance(value, dict):
        reading.read(value, "message")
    return reading.end(whole=True)


def _error_type(error: object) -> str:
    """Servers write an object, a text, or anything else."""
    if isinstance(error, dict):
        named = error.get("type") or error.get("code")
        return mended_text(named) if isinstance(named, str) else "server_error"
    return "server_error"
