"""How an effort is carried out that a plain field does not say: a cap on the client's, a thinking budget, a sentence.

What it is not: the choice of the effort (`routing`), or a rule about models (`rules.yaml`). Invariants: what is not
noted was not done; thinking is added only where the configuration or its policies say so, and never to a request that
would be refused with it; nothing a client sends is taken out to make room.
"""

from trimtab.catalogue import Effort
from trimtab.normaliser.checks import forced_tool, prefilled_or_open
from trimtab.normaliser.draft import Draft


def put_effort(draft: Draft, effort: Effort, *, replaces: bool) -> None:
    """The level in `output_config`; with `replaces` in the place of the client's, which is a change of its own."""
    draft.set_effort(effort)
    if replaces:
        draft.note("output_config.effort", f"={effort}")


def cap_budget(draft: Draft, most: Effort) -> None:
    """A thinking budget of the client is no larger than that of the most effort that is allowed."""
    budget = draft.at("thinking.budget_tokens")
    words = draft.policy.words
    if words is None or draft.thinking != "enabled" or draft.model.thinking.enabled == "rejected":
        return
    limit = words.budgets[most]
    if isinstance(budget, int) and not isinstance(budget, bool) and budget > limit:
        draft.own("thinking")["budget_tokens"] = limit
        draft.note("thinking.budget_tokens", f"={limit}")


def put_thinking(draft: Draft, kind: str) -> str | None:
    """Thinking where the client left it out; why not, where it cannot be."""
    if kind == "budget":
        return add_budget(draft, draft.asked or draft.effort or "medium")
    thinking = {"type": kind}
    if kind == "summarized":
        thinking = {"type": "adaptive", "display": "summarized"}
        draft.note("thinking.display", "=summarized")
    draft.put("thinking", thinking)
    draft.note("thinking", f"={thinking['type']}")
    return None


def express(draft: Draft, effort: Effort) -> str | None:
    """Say an effort to a model without levels; why it could not be said, where it could not."""
    if draft.expressed is not None:
        return None  # by the budget of thinking that was asked for anyway
    settings, words = draft.policy.settings, draft.policy.words
    if words is None or settings.without == "off":
        return None
    if settings.without == "budget" and add_budget(draft, effort) is None:
        return None
    system = draft.value("system")
    text = words.guidance[effort]
    if isinstance(system, str):
        draft.put("system", f"{system}\n\n{text}" if system else text)
    elif isinstance(system, list):
        draft.own("system").append({"type": "text", "text": text})
    elif system is None and not (draft.has("system") and bytes(draft.raw("system")) != b"null"):
        draft.put("system", text)
    else:
        return "system is in a form that cannot be added to"
    draft.note("system", f"=says effort {effort}")
    draft.expressed = effort
    return None


def add_budget(draft: Draft, effort: Effort) -> str | None:
    """Thinking with the budget of an effort; why not, where the request would be refused with it."""
    budget = draft.policy.budget(effort, draft.max_tokens)
    why: str | None = None
    if draft.model.thinking.enabled == "rejected":
        why = f"{draft.model.id} has no thinking budgets"
    elif draft.value("thinking") is not None:
        why = "the client says what it wants of thinking"
    elif budget is None:
        why = "max_tokens has no room for it"
    elif forced_tool(draft):
        why = "a tool call is forced"
    elif prefilled_or_open(draft):
        why = "the answer, or a tool loop, is begun without thinking"
    elif draft.value("temperature") not in (None, 1) or any(
        draft.value(name) is not None for name in ("top_p", "top_k")
    ):
        why = "the client sets how to sample"
    if why is None:
        draft.put("thinking", {"type": "enabled", "budget_tokens": budget})
        draft.note("thinking", f"=enabled({budget})")
        draft.expressed = effort
    return why
