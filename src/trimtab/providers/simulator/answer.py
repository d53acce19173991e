"""An answer before it is framed: blocks, stop reason and token counts, and the limits that cut it short.

Invariant: `output_tokens` is thinking plus the tokens of the blocks, and never over the request's limit.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from trimtab.providers.simulator.checks.shapes import Raw
from trimtab.providers.simulator.script import StopReason

CountText = Callable[[str], int]


class TextBlock(msgspec.Struct, frozen=True):
    """Plain text."""

    text: str


class ThinkingBlock(msgspec.Struct, frozen=True):
    """Thinking as the client sees it: empty text where the display omits it."""

    thinking: str
    signature: str


class ToolUseBlock(msgspec.Struct, frozen=True):
    """A call of a client's tool, or of the vendor's (`server`)."""

    id: str
    name: str
    input: Raw
    server: bool = False
    toolset_name: str | None = None

    @property
    def input_json(self) -> bytes:
        """The input as JSON."""
        return msgspec.json.encode(self.input)


Block = TextBlock | ThinkingBlock | ToolUseBlock


class Answer(msgspec.Struct, frozen=True):
    """What the simulated model said."""

    blocks: tuple[Block, ...]
    stop_reason: StopReason
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None
    thinking_tokens: int = 0
    output_tokens: int = 0


def block_tokens(block: Block, count: CountText) -> int:
    """Tokens of one block; thinking is counted apart, by what was thought rather than shown."""
    if isinstance(block, TextBlock):
        return count(block.text)
    if isinstance(block, ToolUseBlock):
        return count(block.name) + count(block.input_json.decode())
    return 0


def finished(
    answer: Answer, stops: list[str], limit: int, over_limit: StopReason, count: CountText
) -> Answer:
    """The answer after stop sequences and the token limit, with its counts filled in."""
    if stops:
        answer = _stopped(answer, stops)
    if limit <= 0:
        return msgspec.structs.replace(
            answer, blocks=(), stop_reason=over_limit, thinking_tokens=0, output_tokens=0
        )
    thinking = min(answer.thinking_tokens, limit)
    used = thinking
    kept: list[Block] = []
    for block in answer.blocks:
        if isinstance(block, ThinkingBlock):
            kept.append(block)
            if thinking >= limit:
                return _cut(answer, kept, over_limit, thinking, limit)
            continue
        tokens = block_tokens(block, count)
        if used + tokens > limit:
            # A tool call that does not fit is left out whole: half an input is not JSON.
            if isinstance(block, TextBlock) and limit > used:
                kept.append(TextBlock(_shortened(block.text, limit - used, tokens)))
            return _cut(answer, kept, over_limit, thinking, limit)
        kept.append(block)
        used += tokens
    return msgspec.structs.replace(answer, blocks=tuple(kept), thinking_tokens=thinking, output_tokens=used)


def _cut(answer: Answer, kept: list[Block], reason: StopReason, thinking: int, limit: int) -> Answer:
    return msgspec.structs.replace(
        answer,
        blocks=tuple(kept),
        stop_reason=reason,
        stop_sequence=None,
        stop_details=None,
        thinking_tokens=thinking,
        output_tokens=limit,
    )


def _shortened(text: str, tokens: int, whole: int) -> str:
    """The front of a text in proportion to the tokens that are left, at least a character."""
    return text[: max(1, len(text) * tokens // max(whole, 1))]


def _stopped(answer: Answer, stops: list[str]) -> Answer:
    """Cut at the earliest stop sequence in the text, where there is one."""
    for index, block in enumerate(answer.blocks):
        if not isinstance(block, TextBlock):
            continue
        found = [(place, stop) for stop in stops if (place := block.text.find(stop)) >= 0]
        if not found:
            continue
        place, stop = min(found)
        front = (TextBlock(block.text[:place]),) if place else ()
        return msgspec.structs.replace(
            answer,
            blocks=answer.blocks[:index] + front,
            stop_reason="stop_sequence",
            stop_sequence=stop,
            stop_details=None,
        )
    return answer
