"""What is observed of an answer: facts that can be compared, figures, and texts for people.

What it is not: the comparison (`judging`). Invariant: it never raises, whatever a platform wrote, and an answer that
says nothing of the platform's nature (a limit, an outage, refused credentials) is `unclear`, not a fact.
"""

from typing import Any

import msgspec

from trimtab.errors import printable
from trimtab.evals.subject import Answer, json_of
from trimtab.messages import SSEParser, StreamValidator, assembled
from trimtab.messages.sse import EventTooLarge

OK = 200

UNCLEAR = frozenset((401, 402, 403, 408, 409, 429))
"""Statuses besides 5xx that are about the caller, the moment or the credentials."""

_PASSING_ERRORS = frozenset(("overloaded_error", "api_error", "rate_limit_error", "timeout_error"))
"""Error events that end a stream and may not come again."""

_INSIDE_BLOCKS = ("content_block_start", "content_block_delta", "content_block_stop")

_THINKING = ("thinking", "redacted_thinking")

RATE_LIMITS = "anthropic-ratelimit-"


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """Of one answer."""

    facts: dict[str, str] = {}
    """In the order in which people want to read them."""
    unclear: str = ""
    """Why nothing can be said; empty otherwise."""
    says: str = ""
    """The message of a refusal."""
    text: str = ""
    output_tokens: int | None = None
    first_byte_ms: float | None = None
    """Of streams; a whole answer comes at its end."""
    cost_nanousd: int | None = None
    """Where the answer says it, as whole ones do."""
    request: str = ""
    """Its id at the gateway."""
    simulated: bool = False
    headers: frozenset[str] = frozenset()
    """Names of those that a client may build on."""
    usage_fields: frozenset[str] = frozenset()
    message: dict[str, Any] | None = None


def observed(answer: Answer, entry: str) -> Observed:
    """Read an answer that `entry` was asked for."""
    given: dict[str, Any] = {
        "request": answer.header("x-trimtab-request"),
        "simulated": answer.header("x-trimtab-simulated") == "true",
    }
    if answer.problem:
        return Observed(unclear=printable(answer.problem), **given)
    served = answer.header("x-trimtab-platform")
    if served and served != entry:
        return Observed(unclear=f"answered by {printable(served)}", **given)
    if answer.status != OK:
        return _refused(answer, given)
    facts = {"status": "200", "adaptations": printable(answer.header("x-trimtab-adaptations")) or "none"}
    given["headers"] = _headers(answer)
    if (cost := answer.header("x-trimtab-cost-usd")).replace(".", "", 1).isdecimal():
        given["cost_nanousd"] = round(float(cost) * 1e9)
    if answer.header("content-type").startswith("text/event-stream"):
        stream = assembled(answer.body)
        if stream.error is not None:
            kind = str(stream.error.get("type") if isinstance(stream.error, dict) else stream.error)
            if kind in _PASSING_ERRORS:
                return Observed(unclear=f"the stream ended with {kind}: {_message(stream.error)}", **given)
            return Observed(
                facts={**facts, "status": f"200, and the stream ends with {printable(kind)}"},
                says=_message(stream.error), **given,
            )  # fmt: skip
        message = stream.message or {}
        facts |= {"answer": "stream"} | _of_message(message) | _of_events(answer.body)
        given["first_byte_ms"] = answer.first_byte_ms
    else:
        found = json_of(answer.body)
        message = found if isinstance(found, dict) else {}
        if "content" in message:
            facts |= {"answer": "message"} | _of_message(message)
        elif isinstance(message.get("input_tokens"), int):
            facts |= {"answer": "count", "input tokens": str(message["input_tokens"])}
        else:
            facts["answer"] = "neither message nor count"
    usage = message.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    tokens = usage.get("output_tokens")
    return Observed(
        facts=facts,
        text=_text(message),
        output_tokens=tokens if isinstance(tokens, int) else None,
        usage_fields=frozenset(name for name, value in usage.items() if value is not None),
        message=message,
        **given,
    )


def _refused(answer: Answer, given: dict[str, Any]) -> Observed:
    found = json_of(answer.body)
    error = found.get("error") if isinstance(found, dict) else None
    kind = str(error.get("type")) if isinstance(error, dict) else "no error type"
    says = _message(error) if error is not None else printable(answer.body.decode("utf-8", "replace"))
    if answer.status in UNCLEAR or answer.status >= 500 or answer.status == 0:
        return Observed(unclear=f"{answer.status} {printable(kind)}: {says}", **given)
    return Observed(facts={"status": f"{answer.status} {printable(kind)}"}, says=says, **given)


def _message(error: Any) -> str:
    return printable(str(error.get("message")) if isinstance(error, dict) else str(error), 400)


def _headers(answer: Answer) -> frozenset[str]:
    """The vendor's that clients read: ids and rate limits, these as one."""
    names = {RATE_LIMITS + "*" for name in answer.headers if name.startswith(RATE_LIMITS)}
    return frozenset(names | {"request-id"} & set(answer.headers))


def _of_message(message: dict[str, Any]) -> dict[str, str]:
    blocks = _blocks(message)
    kinds = [str(block.get("type")) for block in blocks]
    reason = str(message.get("stop_reason"))
    if message.get("stop_sequence") is not None:
        reason += f" {message['stop_sequence']!r}"
    facts = {
        "model": printable(str(message.get("model"))),
        "stop reason": printable(reason),
        "thinking": " ".join(dict.fromkeys(kind for kind in kinds if kind in _THINKING)) or "none",
        "blocks": printable(", ".join(_runs([kind for kind in kinds if kind not in _THINKING]))) or "none",
    }
    calls = [_called(block) for block in blocks if str(block.get("type")).endswith("tool_use")]
    facts["tools"] = printable(", ".join(calls)) or "none"
    facts["output"] = _shape(_text(message))
    return facts | _of_usage(message.get("usage"))


def _of_usage(usage: Any) -> dict[str, str]:
    if not isinstance(usage, dict):
        return {"usage": "not told"}

    def count(name: str) -> int:
        value = usage.get(name)
        return value if isinstance(value, int) else 0

    read, written = count("cache_read_input_tokens"), count("cache_creation_input_tokens")
    created = usage.get("cache_creation")
    lives = [
        life
        for life in ("5m", "1h")
        if isinstance(created, dict) and created.get(f"ephemeral_{life}_input_tokens")
    ]
    cache = [" ".join(("writes", *lives))] if written else []
    cache += ["reads"] if read else []
    return {
        "usage": "told",
        "input tokens": str(count("input_tokens") + read + written),
        "cache": " and ".join(cache) or "not used",
    }


def _of_events(body: bytes) -> dict[str, str]:
    """The grammar of a stream: what breaks the rules, the events around blocks, and how each kind of block comes."""
    validator = StreamValidator()
    validator.feed(body)
    problems = validator.finish()
    outside: list[str] = []
    inside: dict[str, dict[str, None]] = {}
    kind, deltas = "", list[str]()
    try:
        events = SSEParser().events(body)
    except EventTooLarge:
        events = []  # the validator says so
    for event in events:
        data = json_of(event.data)
        data = data if isinstance(data, dict) else {}
        name = str(data.get("type"))
        if name == "content_block_start":
            block = data.get("content_block")
            kind, deltas = str(block.get("type") if isinstance(block, dict) else None), []
        elif name == "content_block_delta":
            delta = data.get("delta")
            deltas.append(str(delta.get("type") if isinstance(delta, dict) else None))
        elif name == "content_block_stop":
            inside.setdefault(kind, {})[", ".join(dict.fromkeys(deltas)) or "no delta"] = None
        elif name != "ping" and event.data:
            outside.append(name)
    facts = {
        "stream": printable("; ".join(problems), 400) or "in order",
        "events": printable(", ".join(_runs(outside))),
    }
    return facts | {
        f"events of {printable(kind)}": printable(" or ".join(ways)) for kind, ways in inside.items()
    }


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _called(block: dict[str, Any]) -> str:
    keys = block.get("input")
    return f"{block.get('name')}({', '.join(sorted(map(str, keys)) if isinstance(keys, dict) else ['?'])})"


def _text(message: dict[str, Any]) -> str:
    return "".join(block["text"] for block in _blocks(message) if isinstance(block.get("text"), str))


def _shape(text: str) -> str:
    """Whether a text is a JSON object, and which keys it has."""
    found = json_of(text.encode("utf-8", "replace"))
    return (
        f"JSON with {', '.join(sorted(found)) or 'no key'}"
        if isinstance(found, dict)
        else "text"
        if text
        else "none"
    )


def _runs(names: list[str]) -> list[str]:
    """Equal neighbours as one, with how many they are."""
    runs: list[list[Any]] = []
    for name in names:
        if runs and runs[-1][0] == name:
            runs[-1][1] += 1
        else:
            runs.append([name, 1])
    return [name if count == 1 else f"{name} x{count}" for name, count in runs]
