"""Models that a request names besides its own: the vendor would call them in our place, unseen.

What it is not: a price for them, or a rule about them; that comes where a request may be answered by several models.
Invariant: a key whose models or money are limited reaches no model that was not judged.
"""

from trimtab.engine.tool_lists import ToolLists
from trimtab.errors import PermissionDenied
from trimtab.messages import MessagesBody
from trimtab.records import Budget, Caller

_NONE = (b"null", b"[]")


def check_other_models(body: MessagesBody, caller: Caller, lists: ToolLists) -> None:
    """Refuse fallbacks and advisors to keys with permitted models or limited money. Raises `PermissionDenied`.

    Cost: a look at `tools`, for such keys only.
    """
    if is_kept_to_models(caller) and (found := _other_model(body, lists)) is not None:
        raise _refusal(
            found,
            "this key has permitted models or limited money, which the platform would not keep to; leave it out, or "
            "use a key without these limits",
        )


def is_kept_to_models(caller: Caller) -> bool:
    """Whether `check_other_models` checks at all."""
    return caller.models is not None or caller.limits.total_nanousd is not None


def check_own_model(body: MessagesBody, budget: Budget, lists: ToolLists) -> None:
    """The same to whoever is counted on a hard budget of money or tokens. Raises `PermissionDenied`."""
    if (found := _other_model(body, lists)) is not None:
        raise _refusal(
            found,
            f"budget {budget.name!r} is a hard one for {budget.scope.kind} {budget.scope.name!r}, which the platform "
            "would not keep to; leave it out",
        )


def _other_model(body: MessagesBody, lists: ToolLists) -> str | None:
    """Where another model is named, if it is."""
    fallbacks = body.fields.get("fallbacks")
    if fallbacks is not None and bytes(fallbacks) not in _NONE:
        return "fallbacks"
    tools = body.fields.get("tools")
    return "tools: an advisor" if tools is not None and lists.look(tools).advisor else None


def _refusal(what: str, why: str) -> PermissionDenied:
    return PermissionDenied(f"{what} names another model, and {why}")
