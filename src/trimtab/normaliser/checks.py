"""What rules ask about a request beyond plain values: each function says what it saw, or `None`.

Pure; none changes the draft. What is seen fills the placeholders of the rule's message, and tells the fix where.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from trimtab.catalogue import EFFORTS
from trimtab.messages.images import image_head
from trimtab.normaliser.draft import Draft, Raw, and_inner, blocks, has_block
from trimtab.normaliser.rules import Rule

Seen: TypeAlias = dict[str, Any]
Check = Callable[[Draft, Rule], Seen | None]

_SAMPLING = ("temperature", "top_p", "top_k")


def sampling_given(draft: Draft, rule: Rule) -> Seen | None:
    """A sampling parameter, be it at its default."""
    return _fields([name for name in _SAMPLING if draft.value(name) is not None])


def sampling_not_default(draft: Draft, rule: Rule) -> Seen | None:
    """A sampling parameter that is not at its default."""
    return _fields([name for name in _SAMPLING if draft.value(name) not in (None, rule.options.get(name))])


def sampling_beside_thinking(draft: Draft, rule: Rule) -> Seen | None:
    """A sampling parameter that thinking does not go with."""
    if not draft.thinks:
        return None
    top_p = draft.value("top_p")
    if draft.value("temperature") not in (None, 1):
        found = {"fields": ["temperature"], "problem": "`temperature` may only be set to 1"}
    elif draft.value("top_k") is not None:
        found = {"fields": ["top_k"], "problem": "`top_k` must be unset"}
    elif isinstance(top_p, int | float) and top_p < float(rule.options["top_p"]):
        found = {"fields": ["top_p"], "problem": "`top_p` must be greater than or equal to 0.95 or unset"}
    else:
        return None
    return found


def both_sampling(draft: Draft, rule: Rule) -> Seen | None:
    """temperature and top_p together."""
    both = draft.value("temperature") is not None and draft.value("top_p") is not None
    return {"fields": ["top_p"]} if both else None


def _fields(names: list[str]) -> Seen | None:
    return {"fields": names, "field": names[0]} if names else None


def effort_given(draft: Draft, rule: Rule) -> Seen | None:
    """Any effort."""
    return {} if draft.at("output_config.effort") is not None else None


def effort_not_taken(draft: Draft, rule: Rule) -> Seen | None:
    """A known level that this model does not have."""
    effort = draft.at("output_config.effort")
    levels = draft.model.effort.levels
    if effort not in EFFORTS or effort in levels:
        return None
    return {"effort": effort, "levels": ", ".join(sorted(levels))}


def effort_above_high(draft: Draft, rule: Rule) -> Seen | None:
    """An effort at which thinking cannot be off."""
    return {"effort": draft.effort} if draft.effort in ("xhigh", "max") else None


def little_room_for_effort(draft: Draft, rule: Rule) -> Seen | None:
    """xhigh or max with fewer tokens of output than the vendor advises."""
    room = draft.max_tokens
    if draft.at("output_config.effort") not in ("xhigh", "max") or room is None:
        return None
    return {"effort": draft.effort, "max_tokens": room} if 0 < room < rule.options["max_tokens"] else None


def max_tokens_over_limit(draft: Draft, rule: Rule) -> Seen | None:
    """More output than the model can give."""
    limit = draft.model.limits.max_output
    room = draft.max_tokens
    return {"max_tokens": room, "limit": limit} if room is not None and room > limit else None


def budget_too_large(draft: Draft, rule: Rule) -> Seen | None:
    """A thinking budget that does not fit into max_tokens."""
    budget, room = _budget(draft), draft.max_tokens
    return {} if budget is not None and room is not None and budget >= room else None


def budget_too_small(draft: Draft, rule: Rule) -> Seen | None:
    """A thinking budget under the least there is."""
    budget = _budget(draft)
    return {} if budget is not None and budget < rule.options["least"] else None


def _budget(draft: Draft) -> int | None:
    budget = draft.at("thinking.budget_tokens")
    usable = draft.thinking == "enabled" and isinstance(budget, int) and not isinstance(budget, bool)
    return budget if usable else None


def display_given(draft: Draft, rule: Rule) -> Seen | None:
    """A `display` where there is nothing to display."""
    thinking = draft.value("thinking")
    return {"type": draft.thinking} if isinstance(thinking, dict) and "display" in thinking else None


def display_not_given(draft: Draft, rule: Rule) -> Seen | None:
    """Thinking that the client asked for, without saying whether it wants to see it."""
    asked = bytes(draft.raw("thinking")[:1]) == b"{"
    return {} if asked and draft.at("thinking.display") is None else None


def thinking_not_said(draft: Draft, rule: Rule) -> Seen | None:
    """No word about thinking."""
    return {} if draft.value("thinking") is None else None


def forced_choice(draft: Draft, rule: Rule) -> Seen | None:
    """A tool choice that forces a tool call."""
    kind = draft.at("tool_choice.type")
    return {"choice": kind} if kind in ("any", "tool") else None


def forced_tool(draft: Draft) -> bool:
    """Whether a tool call is forced."""
    return draft.at("tool_choice.type") in ("any", "tool")


def prefilled_or_open(draft: Draft) -> bool:
    """Whether the answer goes on from what the assistant began: a prefill, or a tool loop whose assistant turn does
    not start with thinking."""
    turns = draft.turns()
    return bool(turns) and (turns[-1][1].get("role") == "assistant" or _unthinking(turns) is not None)


def loop_without_thinking(draft: Draft, rule: Rule) -> Seen | None:
    """An open tool loop, or a prefill, whose assistant turn does not start with thinking."""
    return _unthinking(draft.turns())


def _unthinking(turns: list[tuple[int, Raw]]) -> Seen | None:
    for index, turn in reversed(turns):
        if turn.get("role") == "assistant":
            if isinstance(turn.get("content"), str):
                prefilled = bool(turn["content"]) and index == turns[-1][0]
                return {"index": index, "found": "text"} if prefilled else None
            kind = next((block.get("type") for block in blocks(turn)), None)
            starts = kind in (None, "thinking", "redacted_thinking", "server_tool_use")
            return None if starts else {"index": index, "found": kind}
        if not has_block(turn, "tool_result"):
            return None
    return None


def task_budget_given(draft: Draft, rule: Rule) -> Seen | None:
    """A task budget."""
    return {} if draft.at("output_config.task_budget") is not None else None


def task_budget_small(draft: Draft, rule: Rule) -> Seen | None:
    """A task budget under the least there is."""
    total = draft.at("output_config.task_budget.total")
    known = isinstance(total, int) and not isinstance(total, bool)
    return {"least": rule.options["least"]} if known and total < rule.options["least"] else None


def task_budget_without_beta(draft: Draft, rule: Rule) -> Seen | None:
    """A task budget whose beta is not asked for."""
    missing = task_budget_given(draft, rule) is not None and rule.options["beta"] not in draft.betas
    return {} if missing else None


def remaining_beside_compaction(draft: Draft, rule: Rule) -> Seen | None:
    """`remaining` where the platform compacts."""
    if draft.at("output_config.task_budget.remaining") is None:
        return None
    compacts = draft.value("compaction") is not None
    return {} if compacts or any(has_block(turn, "compaction") for _, turn in draft.turns()) else None


def _of_another_version(draft: Draft, prefix: str, known: tuple[str, ...]) -> Seen | None:
    """The first tool of a kind in a version that is not among those known, if any is known."""
    for index, tool in draft.tools():
        kind = tool.get("type")
        if isinstance(kind, str) and kind.startswith(prefix) and known and kind not in known:
            return {"index": index, "type": kind[:60], "model": draft.model.id, "wanted": known[0]}
    return None


def old_text_editor(draft: Draft, rule: Rule) -> Seen | None:
    """A text editor of a version that this model does not take."""
    return _of_another_version(draft, "text_editor_", draft.model.features.text_editor)


def misnamed_tool(draft: Draft, rule: Rule) -> Seen | None:
    """One of the vendor's tools under the name of another version."""
    names = rule.options["names"]
    for index, tool in draft.tools():
        wanted = names.get(tool.get("type")) if isinstance(tool.get("type"), str) else None
        if wanted is not None and isinstance(tool.get("name"), str) and tool["name"] != wanted:
            return {"index": index, "type": tool["type"], "name": wanted}
    return None


def old_computer(draft: Draft, rule: Rule) -> Seen | None:
    """A computer tool of a version that this model does not take."""
    return _of_another_version(draft, "computer_", draft.model.features.computer_tool)


def computer_without_beta(draft: Draft, rule: Rule) -> Seen | None:
    """A computer tool whose beta is not asked for."""
    known = draft.model.features.computer_tool
    for index, tool in draft.tools():
        kind = tool.get("type")
        if known and kind not in known:
            continue  # another rule's
        beta = rule.options["betas"].get(kind) if isinstance(kind, str) else None
        if beta is not None and beta not in draft.betas:
            return {"index": index, "type": kind, "beta": beta}
    return None


def all_deferred(draft: Draft, rule: Rule) -> Seen | None:
    """No tool that is there from the start."""
    tools = draft.tools()
    return {} if tools and all(tool.get("defer_loading") is True for _, tool in tools) else None


def format_given(draft: Draft, rule: Rule) -> Seen | None:
    """A format for the answer."""
    return {} if draft.at("output_config.format") is not None else None


def citations_on(draft: Draft, rule: Rule) -> Seen | None:
    """Citations beside structured output."""
    if draft.at("output_config.format") is None and draft.value("output_format") is None:
        return None
    return {} if cited(draft.turns()) else None


def cited(turns: list[tuple[int, Raw]]) -> list[Raw]:
    """The `citations` objects that are switched on."""
    found = []
    for _, turn in turns:
        for block in and_inner(turn):
            citations = block.get("citations")
            if isinstance(citations, dict) and citations.get("enabled") is True:
                found.append(citations)
    return found


def document_of_assistant(draft: Draft, rule: Rule) -> Seen | None:
    """A document in an assistant message."""
    if "document" not in draft.kinds:
        return None
    for index, turn in draft.turns():
        if turn.get("role") == "assistant" and has_block(turn, "document"):
            return {"index": index}
    return None


def cited_user_text(draft: Draft, rule: Rule) -> Seen | None:
    """A user's text with citations."""
    if "text" not in draft.kinds:
        return None
    for index, turn in draft.turns():
        if turn.get("role") == "user":
            for block in blocks(turn):
                if block.get("type") == "text" and block.get("citations"):
                    return {"index": index}
    return None


def system_turn(draft: Draft, rule: Rule) -> Seen | None:
    """A message of the role system."""
    return next(({"index": index} for index, turn in draft.turns() if turn.get("role") == "system"), None)


def prefilled(draft: Draft, rule: Rule) -> Seen | None:
    """A conversation that ends with the assistant. A paused turn, which is sent back as it is, does not count."""
    turns = draft.turns()
    if not turns or turns[-1][1].get("role") != "assistant":
        return None
    return None if has_block(turns[-1][1], "server_tool_use", "tool_use") else {"index": turns[-1][0]}


def missing_results(draft: Draft, rule: Rule) -> Seen | None:
    """Tool calls without their results in the next message."""
    if "tool_use" not in draft.kinds:
        return None
    turns = [(index, turn) for index, turn in draft.turns() if turn.get("role") != "system"]
    for place, (index, turn) in enumerate(turns):
        if turn.get("role") != "assistant":
            continue
        calls = [block.get("id") for block in blocks(turn) if block.get("type") == "tool_use"]
        following = turns[place + 1][1] if place + 1 < len(turns) else {}
        answered = set()
        for block in blocks(following):
            if block.get("type") != "tool_result":
                break
            answered.add(repr(block.get("tool_use_id")))  # an id may be anything here, also what has no hash
        missing = [str(call)[:80] for call in calls if repr(call) not in answered]
        if missing:
            return {"index": index, "ids": ", ".join(missing)[:300]}
    return None


def many_large_images(draft: Draft, rule: Rule) -> Seen | None:
    """Many images of which one is large. Images by URL or file have no size that is known here."""
    if "image" not in draft.kinds:
        return None
    data = []
    for _, turn in draft.turns():
        for block in and_inner(turn):
            if block.get("type") == "image":
                source = block.get("source")
                data.append(source.get("data") if isinstance(source, dict) else None)
    if len(data) <= rule.options["images"]:
        return None
    limit = rule.options["pixels"]
    heads = [image_head(text) for text in data if isinstance(text, str)]
    large = any(head is not None and max(head.width, head.height) > limit for head in heads)
    return {"pixels": limit} if large else None


def unsigned_thinking(draft: Draft, rule: Rule) -> Seen | None:
    """A thinking block that no model signed."""
    if "thinking" not in draft.kinds:
        return None
    for index, turn in draft.turns():
        if turn.get("role") == "assistant":
            for block in blocks(turn):
                if block.get("type") == "thinking" and not block.get("signature"):
                    return {"index": index}
    return None


def foreign_thinking(draft: Draft, rule: Rule) -> Seen | None:
    """Thinking that another model wrote, where this may be taken out."""
    if not draft.foreign:
        return None
    end = foreign_end(draft)
    found = any(
        index < end and has_block(turn, "thinking", "redacted_thinking") for index, turn in draft.turns()
    )
    return {} if found else None


def foreign_end(draft: Draft) -> int:
    """Up to which message thinking of other models may be taken out: not in an open tool loop.

    A model that accepts only its own thinking blocks makes no exception: they cannot stay.
    """
    if not draft.foreign or draft.model.features.binds_thinking_blocks not in (None, "no"):
        return draft.foreign
    turns = draft.turns()
    start = turns[-1][0] + 1 if turns else 0
    for index, turn in reversed(turns):
        if turn.get("role") == "user" and not has_block(turn, "tool_result"):
            break
        start = index
    return min(draft.foreign, start)


def beta_of_old(draft: Draft, rule: Rule) -> Seen | None:
    """Betas that have become part of the API."""
    names = [beta for beta in draft.betas if beta in rule.options["betas"]]
    return {"betas": names, "names": ", ".join(names)} if names else None


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        sampling_given, sampling_not_default, sampling_beside_thinking, both_sampling, effort_given, effort_not_taken,
        effort_above_high, little_room_for_effort, max_tokens_over_limit, budget_too_large, budget_too_small,
        display_given, display_not_given, thinking_not_said, forced_choice, loop_without_thinking, task_budget_given,
        task_budget_small, task_budget_without_beta, remaining_beside_compaction, old_text_editor, misnamed_tool,
        old_computer, computer_without_beta, all_deferred, format_given,
        citations_on, document_of_assistant, cited_user_text,
        system_turn, prefilled, missing_results, many_large_images, unsigned_thinking, foreign_thinking, beta_of_old,
    )
}  # fmt: skip
"""By name, as rules write them."""
