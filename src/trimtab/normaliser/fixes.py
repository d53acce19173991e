"""What `adapt` does to a draft. Each fix says whether it could, and notes what it did.

Nothing here invents what was said or done: no tool result, no signature, no picture of another size. Money is never
raised: `max_tokens` only shrinks, and an effort is lifted only where the configuration says that it may.
"""

from collections.abc import Callable
from typing import Any

from trimtab.catalogue import Effort
from trimtab.catalogue.effort import fitted, is_higher
from trimtab.messages import GONE
from trimtab.normaliser.checks import Seen, cited, foreign_end
from trimtab.normaliser.draft import Draft, Raw, blocks, has_block
from trimtab.normaliser.rules import Rule

Fix = Callable[[Draft, Rule, Seen], bool]

_REMOVED = " removed"


def remove_fields(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Take the fields out that the check named, or else the rule's own."""
    for name in seen.get("fields", rule.fields):
        if name in draft.body.fields:
            draft.put(name, GONE)
            draft.note(name, _REMOVED)
    return True


def speak_older_version(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Ask by the API version that has no such rule, where the platform takes it."""
    version = rule.options["version"]
    if version not in draft.versions:
        return False
    draft.set_version(version)
    return True


def keep_or_remove_sampling(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """The older version where the model samples; else without the parameters."""
    if draft.model.accepts.sampling != "reject" and speak_older_version(draft, rule, seen):
        return True
    return remove_fields(draft, rule, seen)


# Thinking


def _set_thinking(draft: Draft, kind: str, **more: Any) -> bool:
    old = draft.value("thinking")
    kept = {}
    if isinstance(old, dict) and kind in ("adaptive", "enabled"):
        kept = {key: old[key] for key in ("display", "block_binding") if old.get(key) is not None}
    draft.put("thinking", {"type": kind, **more, **kept})
    budget = f"({more['budget_tokens']})" if "budget_tokens" in more else ""
    draft.note("thinking", f"={kind}{budget}")
    return True


def _remove_thinking(draft: Draft) -> bool:
    draft.put("thinking", GONE)
    draft.note("thinking", _REMOVED)
    return True


def enabled_to_adaptive(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Adaptive thinking; the budget becomes an effort where the request has none."""
    budget = draft.at("thinking.budget_tokens")
    config = draft.value("output_config")
    says_effort = isinstance(config, dict) and "effort" in config
    if draft.model.effort.levels and not says_effort and isinstance(budget, int):
        level: Effort = next(
            (level for level, under in rule.options["effort_under"].items() if budget < under), "high"
        )
        effort = fitted(level, draft.model.effort_levels, most=draft.most)
        draft.set_effort(effort)
        draft.note("output_config.effort", f"={effort}")
    return _set_thinking(draft, "adaptive")


def enabled_to_adaptive_or_none(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Adaptive thinking where the model has it; else none."""
    return _set_thinking(draft, "adaptive") if draft.model.thinking.adaptive else _remove_thinking(draft)


def adaptive_to_enabled(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """A fixed budget where the model takes one and max_tokens has room for it; else none."""
    room, least, most = draft.max_tokens, rule.options["least"], rule.options["budget"]
    if draft.model.thinking.enabled == "rejected" or room is None or room <= least:
        return _remove_thinking(draft)
    if (effort := draft.asked or _known_effort(draft)) is not None and draft.policy.words is not None:
        most = draft.policy.words.budgets[effort]
        draft.expressed = effort
    return _set_thinking(draft, "enabled", budget_tokens=max(least, min(most, room // 2)))


def remove_thinking(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Nothing about thinking: the model's default holds."""
    return _remove_thinking(draft)


def fit_budget(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """A budget between the least there is and max_tokens; without room for it, no thinking."""
    budget, room, least = draft.at("thinking.budget_tokens"), draft.max_tokens, rule.options["least"]
    if room is not None and room <= least:
        return _remove_thinking(draft)
    fitted = max(least, budget if room is None else min(budget, room - 1))
    draft.own("thinking")["budget_tokens"] = fitted
    draft.note("thinking.budget_tokens", f"={fitted}")
    return True


def disabled_to_least(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Thinking only between tools where the model has that; else its own thinking at the least effort."""
    if draft.model.thinking.between_tools != "rejected":
        return _set_thinking(draft, "between_tools")
    config = draft.value("output_config")
    if draft.model.effort.levels and not (isinstance(config, dict) and "effort" in config):
        draft.set_effort(draft.model.effort_levels[0])
        draft.note("output_config.effort", f"={draft.model.effort_levels[0]}")
    return _remove_thinking(draft)


def between_tools_to_disabled(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Thinking off; rules that follow look at that again."""
    return _set_thinking(draft, "disabled")


def remove_display(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Without `display`."""
    del draft.own("thinking")["display"]
    draft.note("thinking.display", _REMOVED)
    return True


def show_thinking(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Thinking shown as the older models show it, for a request in the form that only those take."""
    if draft.body.thinking_type != "enabled":
        return False
    draft.own("thinking")["display"] = "summarized"
    draft.note("thinking.display", "=summarized")
    return True


# Effort, budgets, limits


def lower_effort(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """The next lower level that the model takes, its least where there is none; the next higher where that is set."""
    effort = draft.effort
    assert effort is not None  # the rule's check saw it
    return _effort(draft, fitted(effort, draft.model.effort_levels, draft.policy.settings.clamp, draft.most))


def high_effort(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Effort high, at which thinking may be off."""
    return _effort(draft, "high")


def _effort(draft: Draft, effort: Effort) -> bool:
    draft.set_effort(effort)
    draft.note("output_config.effort", f"={effort}")
    return True


def remove_effort(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Without effort; it is said otherwise once all else is mended."""
    draft.asked = draft.asked or _known_effort(draft)
    return _remove_config(draft, "effort")


def _known_effort(draft: Draft) -> Effort | None:
    """The request's own, as far as it is a known level, and no higher than is allowed."""
    effort = None if draft.at("output_config.effort") is None else draft.effort
    return draft.most if effort and draft.most and is_higher(effort, draft.most) else effort


def remove_task_budget(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Without the vendor's task budget."""
    return _remove_config(draft, "task_budget")


def _remove_config(draft: Draft, name: str) -> bool:
    config = draft.own("output_config")
    del config[name]
    if not config:
        draft.put("output_config", GONE)
    draft.note(f"output_config.{name}", _REMOVED)
    return True


def least_task_budget(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """The least total that the platform takes."""
    least = rule.options["least"]
    draft.own("output_config")["task_budget"]["total"] = least
    draft.note("output_config.task_budget.total", f"={least}")
    return True


def remove_remaining(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Without `remaining`."""
    del draft.own("output_config")["task_budget"]["remaining"]
    draft.note("output_config.task_budget.remaining", _REMOVED)
    return True


def add_beta(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """With the beta header, once."""
    draft.add_beta(rule.options["beta"] if "beta" in rule.options else seen["beta"])
    return True


def drop_betas(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Without the betas that were seen."""
    for beta in seen["betas"]:
        draft.drop_beta(beta)
    return True


def lower_max_tokens(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """As much as the model can give."""
    draft.put("max_tokens", seen["limit"])
    draft.note("max_tokens", f"={seen['limit']}")
    return True


# Tools


def newer_text_editor(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """The model's own version, type and name both, also where tool_choice names it."""
    wanted = seen["wanted"]
    name = rule.options["names"].get(wanted)
    if name is None or _taken(draft, seen["index"], name):
        return False
    tool = draft.own("tools")[seen["index"]]
    old, tool["type"], tool["name"] = tool.get("name"), wanted, name
    draft.note(f"tools.{seen['index']}.type", f"={wanted}")
    _rename(draft, seen["index"], old, name)
    return True


def name_tool(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """The name that goes with the version."""
    if _taken(draft, seen["index"], seen["name"]):
        return False
    tool = draft.own("tools")[seen["index"]]
    old, tool["name"] = tool["name"], seen["name"]
    _rename(draft, seen["index"], old, seen["name"])
    return True


def _taken(draft: Draft, index: int, name: str) -> bool:
    """Whether another tool has this name: no two may have it."""
    return any(tool.get("name") == name for place, tool in draft.tools() if place != index)


def _rename(draft: Draft, index: int, old: object, name: str) -> None:
    draft.note(f"tools.{index}.name", f"={name}")
    if old is not None and draft.at("tool_choice.name") == old and old != name:
        draft.own("tool_choice")["name"] = name
        draft.note("tool_choice.name", f"={name}")


def other_computer(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """The version that the model takes, where both are of the one-tool kind; a toolset is another protocol."""
    betas = rule.options["betas"]
    wanted = next((kind for kind in draft.model.features.computer_tool if kind in betas), None)
    if wanted is None or seen["type"] not in betas:
        return False
    tool = draft.own("tools")[seen["index"]]
    tool["type"] = wanted
    if wanted not in rule.options["zooming"]:
        tool.pop("enable_zoom", None)
    draft.note(f"tools.{seen['index']}.type", f"={wanted}")
    draft.add_beta(betas[wanted])
    if not any(tool.get("type") == seen["type"] for _, tool in draft.tools()):
        draft.drop_beta(betas[seen["type"]])
    return True


def undefer_one(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """One tool there from the start: the tool search where there is one, else the first."""
    tools = draft.tools()
    search = [index for index, tool in tools if str(tool.get("type")).startswith("tool_search_tool_")]
    index = search[0] if search else tools[0][0]
    draft.own("tools")[index]["defer_loading"] = False
    draft.note(f"tools.{index}.defer_loading", "=false")
    return True


def ask_for_tool(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """The choice left to the model, with a request for the tool at the end of the last user turn."""
    choice = draft.own("tool_choice")
    name = choice.pop("name", None)
    choice["type"] = "auto"
    draft.note("tool_choice", "=auto")
    texts = rule.options["texts"]
    text = texts["tool"].format(name=name) if isinstance(name, str) else texts["any"]
    turns = draft.turns()
    if turns and turns[-1][1].get("role") == "user":
        index = turns[-1][0]
        turn = draft.own("messages")[index]
        if isinstance(turn.get("content"), str):
            turn["content"] += "\n\n" + text
        elif isinstance(turn.get("content"), list):
            turn["content"].append({"type": "text", "text": text})
        draft.note(f"messages.{index}", "=asks for the tool")
    return True


# Messages


def continue_as_user(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """The assistant's beginning stays, and a user turn asks to go on from it; an empty beginning is removed."""
    messages = draft.own("messages")
    removed = 0
    turns = list(draft.turns())
    while turns and turns[-1][1].get("role") == "assistant":
        index, turn = turns.pop()
        if turn.get("content"):
            messages.append({"role": "user", "content": rule.options["text"]})
            draft.note(f"messages.{len(messages) - 1}", "=asks to continue the prefill")
            return True
        messages[index] = GONE
        removed += 1
        draft.note(f"messages.{index}", _REMOVED)
    return removed > 0 and bool(turns)


def seat_system_turns(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """To the top-level `system` where it comes first and that is free; else into the user's role."""
    messages = draft.own("messages")
    turns = draft.turns()
    first, rest = turns[0], turns[1:]
    if (
        first[1].get("role") == "system"
        and draft.value("system") is None
        and first[1].get("content")
        and rest
    ):
        draft.put("system", first[1]["content"])
        messages[first[0]] = GONE
        draft.note("system", f"=messages.{first[0]}")
    before: Raw = {}
    for index, turn in draft.turns():
        if turn.get("role") == "system":
            if has_block(before, "tool_use"):
                return False  # it stands between a call and its result, where only results may
            messages[index]["role"] = "user"
            draft.note(f"messages.{index}.role", "=user")
        before = turn
    return True


def cite_nothing(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Citations off; the format of the answer stays."""
    draft.own("messages")
    for citations in cited(draft.turns()):
        citations["enabled"] = False
    draft.note("messages.citations", "=off")
    return True


def remove_unsigned(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Without thinking blocks that no model signed."""

    def unsigned(block: Raw) -> bool:
        return block.get("type") == "thinking" and not block.get("signature")

    _remove_blocks(draft, unsigned, len(draft.own("messages")))
    return True


def remove_foreign(draft: Draft, rule: Rule, seen: Seen) -> bool:
    """Without the thinking blocks of other models."""
    end = foreign_end(draft)
    draft.own("messages")
    _remove_blocks(draft, lambda block: block.get("type") in ("thinking", "redacted_thinking"), end)
    return True


def _remove_blocks(draft: Draft, unwanted: Callable[[Raw], bool], end: int) -> None:
    """Take blocks out of assistant turns before `end`; a turn that held nothing else goes with them."""
    messages = draft.own("messages")
    removed = 0
    for index, turn in draft.turns():
        if index >= end or turn.get("role") != "assistant" or not isinstance(turn.get("content"), list):
            continue
        content = turn["content"]
        for place, block in enumerate(content):
            if isinstance(block, dict) and unwanted(block):
                content[place] = GONE
                removed += 1
        if not blocks(turn):
            messages[index] = GONE
    draft.note("messages.thinking", f"={removed} blocks removed")


FIXES: dict[str, Fix] = {
    fix.__name__: fix
    for fix in (
        remove_fields, speak_older_version, keep_or_remove_sampling, enabled_to_adaptive, enabled_to_adaptive_or_none,
        adaptive_to_enabled, remove_thinking, fit_budget, disabled_to_least, between_tools_to_disabled, remove_display,
        show_thinking, lower_effort, high_effort, remove_effort, remove_task_budget, least_task_budget,
        remove_remaining, add_beta, drop_betas, lower_max_tokens, newer_text_editor, name_tool, other_computer,
        undefer_one, ask_for_tool, continue_as_user, seat_system_turns, cite_nothing, remove_unsigned, remove_foreign,
    )
}  # fmt: skip
"""By name, as rules write them."""
