"""Input tokens of a prompt, in the order in which the vendor caches it: tools, system, messages.

Text is counted by the catalogue's estimator, images by its tile rule; documents that are not text are a rough guess
by size. What it is not: the vendor's tokenizer. The same request always counts the same.
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import msgspec

from trimtab.catalogue.images import image_tokens
from trimtab.catalogue.tokens import estimate_tokens
from trimtab.messages.images import image_head
from trimtab.providers.simulator.behaviour import TokenShape
from trimtab.providers.simulator.checks.history import blocks_of
from trimtab.providers.simulator.checks.shapes import Raw
from trimtab.providers.simulator.prompt import Prompt

_UNKNOWN_IMAGE = 1500
"""An image behind a URL or a file id: about what a full-size one costs on the standard tier."""
_DOCUMENT_CHARS_PER_TOKEN = 40
"""Base64 characters of a PDF per token: a guess."""

Ttl = Literal["5m", "1h"]
Level = Literal["tools", "system", "messages"]


class Segment(NamedTuple):
    """A piece of the prompt that a cache breakpoint can stand behind."""

    tokens: int
    level: Level
    source: Any
    """The raw block, for hashing; a string for plain content."""
    mark: Ttl | None


class TokenCount:
    """Counts prompts for one set of shapes."""

    def __init__(self, shape: TokenShape) -> None:
        self._shape = shape

    def total(self, prompt: Prompt) -> int:
        """Input tokens of the whole prompt."""
        return sum([segment.tokens for segment in self.segments(prompt)])

    def segments(self, prompt: Prompt) -> Iterator[Segment]:
        """The prompt in caching order."""
        raw = prompt.raw
        yield from self._tools(prompt)
        system = raw.get("system")
        if isinstance(system, str):
            yield Segment(self.text(system, prompt), "system", system, None)
        else:
            for block in system or ():
                yield Segment(self.text(block["text"], prompt), "system", block, _mark(block))
        for message in prompt.messages:
            frame = self._shape.message_frame
            content = message["content"]
            if isinstance(content, str):
                yield Segment(
                    frame + self.text(content, prompt), "messages", [message["role"], content], None
                )
                continue
            for block in blocks_of(message):
                yield Segment(frame + self._block(block, prompt), "messages", block, _mark(block))
                frame = 0

    def text(self, text: str, prompt: Prompt) -> int:
        """Tokens of a text on the prompt's model."""
        return estimate_tokens(text, prompt.model.tokenizer) if text else 0

    def _tools(self, prompt: Prompt) -> Iterator[Segment]:
        if not prompt.tools:
            return
        recorded = prompt.model.features.tool_tokens or self._shape.tool_prompt
        overhead = recorded.any_tool if prompt.tool_choice.forced else recorded.auto_none
        for tool, raw in zip(prompt.tools, prompt.raw["tools"], strict=True):
            own = 0 if tool.deferred else self._json(raw, prompt)
            yield Segment(overhead + own, "tools", raw, _mark(raw))
            overhead = 0

    def _json(self, value: Any, prompt: Prompt) -> int:
        return estimate_tokens(msgspec.json.encode(value), prompt.model.tokenizer)

    def _block(self, block: Raw, prompt: Prompt) -> int:
        match block["type"]:
            case "text":
                return self.text(block["text"], prompt)
            case "image":
                return _image(block, prompt)
            case "thinking":
                return self.text(block["thinking"], prompt)
            case "redacted_thinking":
                return 0
            case "tool_use":
                return self.text(block["name"], prompt) + self._json(block["input"], prompt)
            case "tool_result":
                content = block.get("content") or ""
                if isinstance(content, str):
                    return self.text(content, prompt)
                return sum([self._block(inner, prompt) for inner in content])
            case "document":
                return self._document(block, prompt)
        return self._json(block, prompt)

    def _document(self, block: Raw, prompt: Prompt) -> int:
        source = block["source"]
        data = source.get("data", "")
        if source["type"] == "base64" and isinstance(data, str):
            return len(data) // _DOCUMENT_CHARS_PER_TOKEN
        return self.text(data, prompt) if isinstance(data, str) and data else self._json(source, prompt)


def _image(block: Raw, prompt: Prompt) -> int:
    source = block["source"]
    head = image_head(source["data"]) if source["type"] == "base64" else None
    if head is None:
        return _UNKNOWN_IMAGE
    vision = "standard" if prompt.model.vision == "none" else prompt.model.vision
    return image_tokens(head.width, head.height, vision)


def _mark(block: Raw) -> Ttl | None:
    mark = block.get("cache_control")
    if mark is None:
        return None
    return "1h" if mark.get("ttl") == "1h" else "5m"
