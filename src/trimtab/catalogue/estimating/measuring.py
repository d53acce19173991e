"""Walks a Messages body and weighs each part: which content classes it holds, how many characters and tokens.

What it is not: a check of the body (what cannot be read is left out, the platform judges it), or a count for one model
(`estimate`): what is measured serves every model. Invariants: the walk follows the order in which the vendor caches
(tools, system, messages); its cost is bounded, about a second for the largest body there is (32 MB).

Not counted, because a request does not tell: thinking that comes back without its text, files and URLs, what the
vendor's own tools add while they run.
"""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from trimtab.catalogue.character_kinds import SAMPLE_BYTES, characters
from trimtab.catalogue.estimating.tokenizers import NO_TOKENIZERS, Tokenizers
from trimtab.catalogue.token_tables import ContentClass
from trimtab.catalogue.tokens import GENERATIONS, Generation, weigh
from trimtab.messages import MessagesBody
from trimtab.messages.images import image_head
from trimtab.messages.tolerant import field_value, given

Part = Literal[
    "system", "user", "assistant", "thinking", "tools", "tool_use", "tool_result", "documents", "format"
]

GATHERED_BYTES = 2048
"""Short texts of one part are weighed together, so much at a time: a few words tell no class."""

FULLY_SAMPLED_BYTES = 4 * 1024 * 1024
"""Of one body, looked at with the full sample of each text; what comes after with `LATER_SAMPLE_BYTES`."""

LATER_SAMPLE_BYTES = 2048

COUNTED_CHARS = 4 * 1024 * 1024
"""What a plugged-in tokenizer is asked of one body at most; the rest is estimated as without one."""

DEEPEST = 4
"""Content inside content: a tool result holds blocks, a document of it blocks again."""

_Raw = dict[str, Any]


class Share(msgspec.Struct, frozen=True):
    """All text of one part and one class."""

    part: Part
    content_class: ContentClass
    characters: int
    v3: float
    """Tokens on Claude 3 to 4.6."""
    v47: float
    """Tokens on 4.7 and later."""

    def on(self, generation: Generation) -> float:
        """Tokens on one of them."""
        return self.v3 if generation == "v3" else self.v47


class Prefix(msgspec.Struct, frozen=True):
    """How much stands before the last cache mark."""

    v3: float = 0.0
    v47: float = 0.0
    images: int = 0
    messages: int = 0
    tools: bool = False

    def on(self, generation: Generation) -> float:
        """Tokens of text on one of them."""
        return self.v3 if generation == "v3" else self.v47


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a body holds."""

    shares: tuple[Share, ...]
    images: tuple[tuple[int, int], ...]
    """Widths and heights in pixels; 0 x 0 where the image is a URL, a file or none of the four types."""
    pdf_chars: int
    """Base64 of documents whose pages are not counted."""
    messages: int
    tool_types: tuple[str, ...]
    """Of tools that the vendor defines."""
    has_tools: bool
    forced: bool
    """Whether `tool_choice` forces a call."""
    marked: Prefix | None
    """`None`: nothing is marked for the cache."""
    counted_by: dict[Generation, str]
    """Plugged-in tokenizers that counted all text, by generation."""
    problems: tuple[str, ...] = ()
    """Of plugged-in tokenizers."""


def measure(body: MessagesBody, tokenizers: Tokenizers = NO_TOKENIZERS) -> Measured:
    """Weigh a request. Cost: decodes it once and 0.02 ms for each kB of text up to 32 kB a piece (measured: 2.3 ms for
    53 kB of chat)."""
    walk = _Walk(tokenizers)
    for name, read in (("tools", walk.tools), ("system", walk.system), ("messages", walk.messages)):
        field = body.fields.get(name)
        value = field_value(field)
        if field is not None and value is None and given(field):
            walk.unreadable(bytes(field))
        else:
            read(value)
    config = field_value(body.fields.get("output_config"))
    if isinstance(config, dict) and config.get("format") is not None:
        walk.json("format", config["format"])
    if isinstance(field_value(body.fields.get("cache_control")), dict):
        walk.mark()
    choice = field_value(body.fields.get("tool_choice"))
    return walk.measured(forced=isinstance(choice, dict) and choice.get("type") in ("any", "tool"))


class _Walk:
    """One body's sums."""

    def __init__(self, tokenizers: Tokenizers) -> None:
        self._counting = tokenizers.counting()
        self._shares: dict[tuple[Part, ContentClass], list[float]] = {}
        self._small: dict[Part, list[bytes]] = {}
        self._small_bytes: dict[Part, int] = {}
        self._sampled = 0
        self._asked = 0
        self._images: list[tuple[int, int]] = []
        self._pdf_chars = 0
        self._messages = 0
        self._kinds: list[str] = []
        self._has_tools = False
        self._marked: Prefix | None = None

    def measured(self, *, forced: bool) -> Measured:
        """The sums."""
        self._weigh_small()
        return Measured(
            shares=tuple(
                Share(part, content_class, int(chars), v3, v47)
                for (part, content_class), (chars, v3, v47) in self._shares.items()
            ),
            images=tuple(self._images),
            pdf_chars=self._pdf_chars,
            messages=self._messages,
            tool_types=tuple(self._kinds),
            has_tools=self._has_tools,
            forced=forced,
            marked=self._marked,
            counted_by=self._counting.names,
            problems=tuple(self._counting.problems),
        )

    # Parts of a body

    def tools(self, tools: Any) -> None:
        """The definitions of tools; one that is loaded later costs nothing yet."""
        for tool in _objects(tools):
            self._has_tools = True
            kind = tool.get("type")
            own = {key: value for key, value in tool.items() if key not in ("cache_control", "type")}
            if isinstance(kind, str) and kind != "custom":
                self._kinds.append(kind)
            elif tool.get("defer_loading") is not True:
                self.json("tools", own)
            self._mark_after(tool)

    def system(self, system: Any) -> None:
        """A text, or blocks of it."""
        if isinstance(system, str):
            self._text("system", system)
        for block in _objects(system):
            self._block("system", block, 0)

    def messages(self, messages: Any) -> None:
        """All turns."""
        for turn in _objects(messages):
            self._messages += 1
            role = turn.get("role")
            part: Part = "assistant" if role == "assistant" else "system" if role == "system" else "user"
            content = turn.get("content")
            if isinstance(content, str):
                self._text(part, content)
            for block in _objects(content):
                self._block(part, block, 0)

    def _block(self, part: Part, block: _Raw, depth: int) -> None:
        match block.get("type"):
            case "text":
                self._text(part, block.get("text"))
            case "thinking":
                self._text("thinking", block.get("thinking"))
            case "redacted_thinking":
                pass
            case "tool_use" | "server_tool_use" | "mcp_tool_use":
                self._text("tool_use", block.get("name"))
                self.json("tool_use", block.get("input"))
            case "tool_result" | "mcp_tool_result":
                self._content("tool_result", block.get("content"), depth)
            case "image":
                self._image(block.get("source"))
            case "document":
                self._text("documents", block.get("title"))
                self._text("documents", block.get("context"))
                self._document(block.get("source"), depth)
            case "search_result":
                self._text(part, block.get("title"))
                self._content(part, block.get("content"), depth)
            case _:
                self.json("tool_result", {key: block[key] for key in block if key != "cache_control"})
        self._mark_after(block)

    def _content(self, part: Part, content: Any, depth: int) -> None:
        if isinstance(content, str):
            self._text(part, content)
        elif depth < DEEPEST:
            for block in _objects(content):
                self._block(part, block, depth + 1)

    def _image(self, source: Any) -> None:
        data = source.get("data") if isinstance(source, dict) and source.get("type") == "base64" else None
        head = image_head(data) if isinstance(data, str) else None
        self._images.append((0, 0) if head is None else (head.width, head.height))

    def _document(self, source: Any, depth: int) -> None:
        if not isinstance(source, dict):
            return
        data = source.get("data")
        if source.get("type") == "base64" and isinstance(data, str):
            self._pdf_chars += len(data)
        elif isinstance(data, str):
            self._text("documents", data)
        else:
            self._content("documents", source.get("content"), depth)

    # Texts

    def unreadable(self, data: bytes) -> None:
        """A field that spells too many objects, or text that cannot be: as it stands there."""
        self._weigh("user", data)

    def json(self, part: Part, value: Any) -> None:
        """Values as JSON without blanks, as the vendor's prompt most likely has them."""
        if value is not None:
            self._weigh_or_gather(part, msgspec.json.encode(value))

    def _text(self, part: Part, text: Any) -> None:
        if isinstance(text, str) and text:
            self._weigh_or_gather(part, text.encode("utf-8", "surrogatepass"))

    def _weigh_or_gather(self, part: Part, data: bytes) -> None:
        if len(data) >= GATHERED_BYTES:
            self._weigh(part, data)
            return
        self._small.setdefault(part, []).append(data)
        gathered = self._small_bytes[part] = self._small_bytes.get(part, 0) + len(data)
        if gathered >= GATHERED_BYTES:
            self._weigh_small(part)

    def _weigh_small(self, only: Part | None = None) -> None:
        for part in [only] if only is not None else list(self._small):
            texts = self._small.pop(part, [])
            self._small_bytes.pop(part, None)
            if texts:
                self._weigh(part, b"\n".join(texts))

    def _weigh(self, part: Part, data: bytes) -> None:
        most = SAMPLE_BYTES if self._sampled < FULLY_SAMPLED_BYTES else LATER_SAMPLE_BYTES
        self._sampled += min(len(data), most)
        weighed = weigh(data, most)
        tokens: dict[Generation, float] = {"v3": weighed.v3, "v4.7": weighed.v47}
        text: str | None = None
        for generation in GENERATIONS:
            if self._counting.counts(generation) and self._asked < COUNTED_CHARS:
                if text is None:
                    text = data.decode("utf-8", "replace")
                    self._asked += len(text)
                counted = self._counting.count(generation, text)
                tokens[generation] = tokens[generation] if counted is None else counted
        sums = self._shares.setdefault((part, weighed.content_class), [0.0, 0.0, 0.0])
        sums[0] += characters(data)
        sums[1] += tokens["v3"]
        sums[2] += tokens["v4.7"]

    # The cache

    def _mark_after(self, block: _Raw) -> None:
        if isinstance(block.get("cache_control"), dict):
            self.mark()

    def mark(self) -> None:
        """Everything so far is to be cached."""
        self._weigh_small()
        sums = list(self._shares.values())
        self._marked = Prefix(
            v3=sum(one[1] for one in sums),
            v47=sum(one[2] for one in sums),
            images=len(self._images),
            messages=self._messages,
            tools=self._has_tools,
        )


def _objects(value: Any) -> Iterator[_Raw]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
