"""What a task's budget does to the body of one call: its `max_tokens`, the vendor's `task_budget`, a note to the model.

What it is not: the budget (`budgets`). Invariants: nothing that the client sent about a task budget of its own is
replaced; what is changed is named; `max_tokens` is only ever lowered.
"""

from typing import Any

import msgspec

from trimtab.messages import MessagesBody, with_note
from trimtab.messages.chat import ChatBody
from trimtab.providers import Headers

LEAST_TOTAL = 20_000
"""Tokens; the vendor refuses a smaller `task_budget`. Source: vendor page on task budgets (2026-11)."""

BETA = "task-budgets-2026-03-13"

LEAST_THINKING = 1024
"""Tokens of `thinking.budget_tokens`, at the least. Source: vendor page on extended thinking (2026-11)."""

ROOM_TO_SAY = 256
"""Output tokens left to say something once thinking has used up its budget; a short answer or tool call fits."""

NOTE = "task budget note in the latest user turn"
_NO_NOTE = "task budget note left out: the latest user turn takes none"

_CHAT_LIMITS = ("max_completion_tokens", "max_tokens")

NO_LIMIT = 1 << 62

_OBJECT = msgspec.json.Decoder(dict[str, Any])


class Shape(msgspec.Struct, frozen=True):
    """What one call is to be told and held to."""

    max_tokens: int
    total: int | None = None
    """Of the vendor's `task_budget`; `None` where it is not sent."""
    note: str | None = None


def least_output(body: MessagesBody) -> int:
    """The fewest output tokens that the platform accepts for this body: a budget of thinking is below `max_tokens`."""
    return LEAST_THINKING + ROOM_TO_SAY if _thinking_tokens(body) is not None else 1


def shaped(body: MessagesBody, shape: Shape) -> tuple[MessagesBody, tuple[str, ...]]:
    """The body that goes out, and what is different about it."""
    changes: dict[str, object] = {}
    said: list[str] = []
    on_chat = isinstance(body, ChatBody)
    if shape.max_tokens < (body.max_tokens if body.max_tokens is not None else NO_LIMIT):
        names = [name for name in _CHAT_LIMITS if name in body.fields] if on_chat else []
        for name in names or [_CHAT_LIMITS[0] if on_chat else "max_tokens"]:
            changes[name] = shape.max_tokens
            said.append(f"{name}={shape.max_tokens}")
        thinking = _thinking_tokens(body)
        if thinking is not None and thinking >= shape.max_tokens:
            lowered = max(LEAST_THINKING, shape.max_tokens - max(ROOM_TO_SAY, shape.max_tokens // 4))
            changes["thinking"] = {**_OBJECT.decode(body.fields["thinking"]), "budget_tokens": lowered}
            said.append(f"thinking.budget_tokens={lowered}")
    if shape.total is not None and not has_own_budget(body):
        changes["output_config"] = {
            **_config(body),
            "task_budget": {"type": "tokens", "total": shape.total},
        }
        said.append(f"output_config.task_budget.total={shape.total}")
    if changes:
        body = type(body)(body.changed(changes))
    if shape.note is not None:
        with_it = with_note(body, shape.note)
        said.append(_NO_NOTE if with_it is None else NOTE)
        if with_it is not None:
            body = type(body)(with_it)
    return body, tuple(said)


def with_beta(headers: Headers) -> Headers:
    """The headers with the beta that the vendor's task budget needs, once."""
    for n, (name, value) in enumerate(headers):
        if name == b"anthropic-beta":
            betas = [part.strip() for part in value.decode("latin-1").split(",")]
            if BETA in betas:
                return headers
            return [*headers[:n], (name, value + b"," + BETA.encode()), *headers[n + 1 :]]
    return [*headers, (b"anthropic-beta", BETA.encode())]


def has_own_budget(body: MessagesBody) -> bool:
    """Whether the client sends a task budget of its own, which is left as it is."""
    return _config(body).get("task_budget") is not None


def _config(body: MessagesBody) -> dict[str, Any]:
    field = body.fields.get("output_config")
    try:
        return {} if field is None else _OBJECT.decode(field)
    except msgspec.DecodeError:
        return {}  # null; anything else was refused when the body was read


def _thinking_tokens(body: MessagesBody) -> int | None:
    """`thinking.budget_tokens`, where thinking is on with one."""
    field = body.fields.get("thinking")
    if field is None:
        return None
    try:
        thinking = _OBJECT.decode(field)
    except msgspec.DecodeError:
        return None
    tokens = thinking.get("budget_tokens")
    is_whole = isinstance(tokens, int) and not isinstance(tokens, bool)
    return tokens if thinking.get("type") == "enabled" and is_whole else None
