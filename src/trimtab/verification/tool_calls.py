"""The verifier of calls of tools: each names a tool that was offered and satisfies its schema, and the client's choice
of tools is respected.

What it is not: a judgement whether the call is wise. Invariant: of the vendor's own tools, whose input no request
describes, only the names are checked.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from trimtab.config import decoded
from trimtab.errors import shortened
from trimtab.messages.exchange import Answered, Question, Tool, ToolCall
from trimtab.records import Fact
from trimtab.verification.formats import not_told, satisfied
from trimtab.verification.schemas import MAX_SHOWN_CHARS, Schemas, Untried
from trimtab.verification.seam import Case, Finding, Spends

MAX_CALLS = 128
"""Of one answer; more are not looked at, and are unsure."""


class ToolCallsOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Of a `[verifiers.NAME]` of kind `tool_calls`."""

    formats: bool = False
    """Whether `format` of the schemas is checked; by the drafts it only describes."""


def tool_calls(options: Mapping[str, Any], where: Callable[[str], str]) -> "ToolCalls":
    """The verifier of these options. Raises `ConfigError`."""
    return ToolCalls(decoded(dict(options), ToolCallsOptions, where))


class ToolCalls:
    """Kind `tool_calls`."""

    spends: Spends = "nothing"

    def __init__(self, options: ToolCallsOptions) -> None:
        self._schemas = Schemas(formats=options.formats)

    async def check(self, case: Case) -> Finding:
        """See the seam."""
        calls = case.answer.tool_calls
        refused = _against_choice(case.question, case.answer) or _against_ids(calls)
        if refused is not None:
            return refused
        if len(calls) > MAX_CALLS:
            return Finding("unsure", f"there are {len(calls)} calls; at most {MAX_CALLS} are checked")
        offered = {tool.name: tool for tool in case.question.tools}
        unsure: Finding | None = None
        for at, call in enumerate(calls):
            finding = self._call(call, at, offered)
            if finding.says == "escalate":
                return finding
            if finding.says == "unsure":
                unsure = unsure or finding
        return unsure or Finding("accept", "", {"calls": len(calls)})

    def _call(self, call: ToolCall, at: int, offered: Mapping[str, Tool]) -> Finding:
        facts: dict[str, Fact] = {"call": at, "tool": shortened(call.name, MAX_SHOWN_CHARS)}
        tool = offered.get(call.name) if call.name else None
        if tool is None:
            if call.name and "" in offered:  # a set of the vendor's: the request does not name what is in it
                return Finding("accept", "", facts)
            expected = ", ".join(sorted(name for name in offered if name)) or "no call: no tools were offered"
            facts["expected"] = shortened(expected, 2 * MAX_SHOWN_CHARS)
            return Finding("escalate", "it calls a tool that was not offered", facts)
        if tool.vendor:
            return Finding("accept", "", facts)
        if not call.readable:
            got = shortened(call.arguments[:200].decode(errors="replace"), MAX_SHOWN_CHARS)
            return Finding("escalate", "the arguments are no JSON", {**facts, "expected": "JSON", "got": got})
        if not isinstance(call.input, dict):
            got = shortened(call.arguments[:200].decode(errors="replace"), MAX_SHOWN_CHARS)
            return Finding(
                "escalate", "the arguments are no object", {**facts, "expected": "object", "got": got}
            )
        if tool.schema is None:
            return Finding("accept", "", facts)
        schema = self._schemas.compiled(tool.schema)
        if isinstance(schema, Untried):
            return not_told(schema, facts)
        return satisfied(schema, call.input, call.arguments, facts)


def _against_choice(question: Question, answer: Answered) -> Finding | None:
    """What the client said of calling tools, and was not done. A turn that is to be gone on with may call them later,
    and a server's own tools are called without the client."""
    choice, calls = question.tool_choice, answer.tool_calls
    facts: dict[str, Fact] = {"tool_choice": choice.kind, "calls": len(calls)}
    if calls and choice.kind == "none":
        return Finding("escalate", "it calls a tool, and the request says that none may be called", facts)
    if len(calls) > 1 and not choice.parallel:
        return Finding("escalate", "it calls several tools at once, and the request allows one", facts)
    if choice.kind == "tool":
        facts["expected"] = shortened(choice.name, MAX_SHOWN_CHARS)
        other = next((call.name for call in calls if call.name != choice.name), None)
        if other is not None:
            facts["got"] = shortened(other, MAX_SHOWN_CHARS)
            return Finding("escalate", "it calls another tool than the one that it must call", facts)
    if calls or answer.stop == "paused":
        return None
    servers = any(tool.vendor and choice.name in ("", tool.name) for tool in question.tools)
    if choice.kind in ("any", "tool") and not servers:
        return Finding("escalate", "it calls no tool, and the request says that one must be called", facts)
    if answer.stop == "tool_use" and not servers:
        return Finding("escalate", "it ends with a call of a tool, and holds none", facts)
    return None


def _against_ids(calls: Sequence[ToolCall]) -> Finding | None:
    """The results of calls are told apart by their ids."""
    seen: set[str] = set()
    for at, call in enumerate(calls):
        if not call.id or call.id in seen:
            problem = "no id" if not call.id else "the id of another one"
            return Finding("escalate", f"a call has {problem}", {"call": at, "expected": "an id of its own"})
        seen.add(call.id)
    return None
