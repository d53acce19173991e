"""A checked request: what answers, counts and rules need of it, read once.

Invariant: a `Prompt` exists only for a request that the vendor would accept, as far as the checks know.
"""

import msgspec

from trimtab.catalogue import Effort
from trimtab.catalogue.model import Model
from trimtab.errors import RequestError
from trimtab.messages.images import ImageHead
from trimtab.providers.simulator.checks.history import HistoryCheck, blocks_of, ending_text
from trimtab.providers.simulator.checks.params import (
    FAST_MODE_BETA,
    ThinkingPlan,
    check_effort,
    check_max_tokens,
    check_sampling,
    check_simple,
    check_stream,
    check_task_budget,
    check_thinking,
)
from trimtab.providers.simulator.checks.schemas import check_beside_format, check_format
from trimtab.providers.simulator.checks.shapes import Raw, as_object, only
from trimtab.providers.simulator.checks.tools import Tool, ToolChoice, check_tool_choice, check_tools
from trimtab.providers.simulator.signatures import Signer


class Prompt(msgspec.Struct, frozen=True):
    """One accepted request."""

    model: Model
    raw: Raw
    messages: list[Raw]
    max_tokens: int
    """0 when tokens are only counted."""
    stream: bool
    effort: Effort | None
    """The effort in use; `None` for a model without levels."""
    thinking: ThinkingPlan
    tools: list[Tool]
    tool_choice: ToolChoice
    schema: Raw | None
    """The JSON schema of structured output."""
    images: list[ImageHead | None]
    has_cache_marks: bool
    question: str
    """Text of the last user turn that has any."""
    question_is_last: bool
    """Whether that is the very last user turn."""
    tool_results: list[str]
    """Texts of the tool results that the last user turn holds."""
    prefill: str
    """Text of a trailing assistant message, which the answer goes on from."""

    @property
    def thinks(self) -> bool:
        """Whether the answer starts with thinking."""
        kind = self.thinking.type
        return kind in ("adaptive", "enabled") or (kind == "between_tools" and bool(self.tool_results))

    @property
    def last_is_results(self) -> bool:
        """Whether the last turn answers tool calls."""
        return bool(self.tool_results)


def read_prompt(
    raw: Raw, model: Model, version: str, betas: frozenset[str], signer: Signer, *, counting: bool
) -> Prompt:
    """Check everything and read the prompt. Raises `RequestError`.

    `counting` leaves out what only a real call needs (`max_tokens`). Cost: a walk over all blocks.
    """
    max_tokens = 0 if counting else check_max_tokens(raw, model)
    stream = check_stream(raw)
    config = as_object(raw.get("output_config") or {}, "output_config")
    only(config, ("effort", "format", "task_budget"), "output_config")
    effort = check_effort(config, model)
    thinking = check_thinking(raw, model, effort, None if counting else max_tokens)
    check_simple(raw, model)
    check_sampling(raw, model, version, thinking)
    check_task_budget(config, raw, model, betas)
    schema = check_format(config, raw)
    if schema is not None and model.features.structured_outputs is False:
        raise RequestError("output_config.format: This model does not support structured outputs.")
    tools = check_tools(raw, model, betas)
    tool_choice = check_tool_choice(raw, tools, model, thinking)
    history = HistoryCheck(model, version, thinking, signer)
    messages = history.check(raw)
    if schema is not None:
        check_beside_format(history.found.citations)
    question, is_last, results = _last_turn(messages)
    last = messages[-1]
    return Prompt(
        model=model,
        raw=raw,
        messages=messages,
        max_tokens=max_tokens,
        stream=stream,
        effort=effort,
        thinking=thinking,
        tools=tools,
        tool_choice=tool_choice,
        schema=schema,
        images=history.found.images,
        has_cache_marks=history.found.breakpoints > 0,
        question=question,
        question_is_last=is_last,
        tool_results=results,
        prefill=ending_text(last) if last["role"] == "assistant" else "",
    )


def speed_of(raw: Raw, model: Model, betas: frozenset[str]) -> str | None:
    """`usage.speed`: what the request asked for and the model sells; `None` where it did not ask."""
    if raw.get("speed") is None or FAST_MODE_BETA not in betas:
        return None
    return "fast" if raw["speed"] == "fast" and model.features.fast_mode == "sold" else "standard"


def _last_turn(messages: list[Raw]) -> tuple[str, bool, list[str]]:
    """Text of the last user turn that has any, whether it is the very last, and the tool results of the very last."""
    results: list[str] = []
    first = True
    for message in reversed(messages):
        if message["role"] != "user":
            continue
        if isinstance(message["content"], str):
            return message["content"], first, results
        blocks = blocks_of(message)
        if first:
            results = [_result_text(block) for block in blocks if block["type"] == "tool_result"]
        text = "\n".join([block["text"] for block in blocks if block["type"] == "text"])
        if text:
            return text, first, results
        first = False
    return "", False, results


def _result_text(block: Raw) -> str:
    content = block.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(
            [inner["text"] if inner["type"] == "text" else f"[{inner['type']}]" for inner in content]
        )
    return ""
