"""Models that a request names besides its own: the vendor would call them in our place, unseen.

What it is not: a price for them, or a rule about them; that comes where a request may be answered by several models.
Invariant: a key whose models or money are limited reaches no model that was not judged.
"""

import json

from trimtab.engine.bounds import holds
from trimtab.errors import PermissionDenied
from trimtab.messages import MessagesBody
from trimtab.records import Budget, Caller

_NONE = (b"null", b"[]")


def check_other_models(body: MessagesBody, caller: Caller) -> None:
    """Refuse fallbacks and advisors to keys with permitted models or limited money. Raises `PermissionDenied`.

    Cost: a search in `tools`, for such keys only.
    """
    if caller.models is None and caller.limits.total_nanousd is None:
        return
    _check(
        body,
        "this key has permitted models or limited money, which the platform would not keep to; leave it out, or use a "
        "key without these limits",
    )


def check_own_model(body: MessagesBody, budget: Budget) -> None:
    """The same to whoever is counted on a hard budget of money or tokens. Raises `PermissionDenied`."""
    _check(
        body,
        f"budget {budget.name!r} is a hard one for {budget.scope.kind} {budget.scope.name!r}, which the platform would "
        "not keep to; leave it out",
    )


def _check(body: MessagesBody, why: str) -> None:
    fallbacks = body.fields.get("fallbacks")
    if fallbacks is not None and bytes(fallbacks) not in _NONE:
        raise _refusal("fallbacks", why)
    tools = body.fields.get("tools")
    if tools is not None and _names_advisor(bytes(tools)):
        raise _refusal("tools: an advisor", why)


def _names_advisor(tools: bytes) -> bool:
    if holds(tools, b"\\u00"):  # letters may be spelled as escapes
        try:
            tools = json.dumps(json.loads(tools)).encode()
        except (ValueError, RecursionError):
            return True
    return holds(tools, b'"advisor_')


def _refusal(what: str, why: str) -> PermissionDenied:
    return PermissionDenied(f"{what} names another model, and {why}")
