"""What a vendor does and bills on its own: a key with limited money gets none of it, unless it was permitted to.

What it is not: a price. Why there is no bound: server tools, MCP servers and skills sample again and again within one
request (10 rounds, each with what the tools brought as input), searches cost $0.01 each, containers by the hour;
compaction adds a call of its own, with an output that `max_tokens` is not said to bound; a thread brings input that the
body does not show. Source: vendor pages on tools, compaction and pricing (2026-11).

Invariant: closed. A kind of tool or of edit that is not known to bill by the body alone is refused too.
"""

from typing import Any

from trimtab.engine.tool_lists import ToolLists, read_once
from trimtab.errors import PermissionDenied
from trimtab.messages import MessagesBody
from trimtab.records import Budget, Caller

_FIELDS = ("mcp_servers", "compaction", "thread", "billing_policy")
_NOTHING = (b"null", b"[]", b"{}")
_CONCERNED = frozenset((*_FIELDS, "tools", "context_management", "container"))

_EDITS = ("clear_tool_uses_", "clear_thinking_")
"""Edits that only take away."""


def check_unbounded(body: MessagesBody, caller: Caller, lists: ToolLists) -> None:
    """Refuse what cannot be bounded to a key with limited money. Raises `PermissionDenied`, which names the field.

    Cost: for such keys only; a look at `tools`, see `tool_lists`.
    """
    if is_bounded(caller) and (found := _unbounded(body, lists)) is not None:
        raise _refusal(
            found,
            f"the money of this key ({caller.key}) is limited; leave it out, use a key without --usd, or let this one "
            f"pass its limit so: trimtab keys limits {caller.key} --overshoot",
        )


def is_bounded(caller: Caller) -> bool:
    """Whether `check_unbounded` checks at all."""
    return caller.limits.total_nanousd is not None and not caller.limits.may_overshoot


def check_bounded(body: MessagesBody, budget: Budget, lists: ToolLists) -> None:
    """The same to whoever is counted on a hard budget of money or tokens. Raises `PermissionDenied`."""
    if (found := _unbounded(body, lists)) is not None:
        raise _refusal(
            found,
            f"budget {budget.name!r} is a hard one for {budget.scope.kind} {budget.scope.name!r}; leave it out, or set "
            "may_overshoot on the budget to let it be passed so",
        )


def _unbounded(body: MessagesBody, lists: ToolLists) -> str | None:
    """The field that cannot be bounded, if any."""
    fields = body.fields
    if not _CONCERNED.isdisjoint(fields):
        for name in _FIELDS:
            if name in fields and bytes(fields[name]) not in _NOTHING:
                return name
        if (tools := fields.get("tools")) is not None and (kind := lists.look(tools).unbounded) is not None:
            return f"tools: {kind[:60]!r}"
        if (management := fields.get("context_management")) is not None:
            for edit in _edits(read_once(bytes(management))):
                if not isinstance(edit, str) or not edit.startswith(_EDITS):
                    return f"context_management: {str(edit)[:60]!r}"
        if (container := fields.get("container")) is not None:
            found = read_once(bytes(container))
            if isinstance(found, dict) and found.get("skills"):
                return "container: skills"
    return None


def _edits(management: Any) -> list[Any]:
    """Types of the edits."""
    edits = management.get("edits") if isinstance(management, dict) else management
    if not edits:
        return []
    return [
        edit.get("type") if isinstance(edit, dict) else None
        for edit in (edits if isinstance(edits, list) else [None])
    ]


def _refusal(what: str, why: str) -> PermissionDenied:
    return PermissionDenied(f"{what}: bills by use, and nothing bounds what it can come to, but {why}")
