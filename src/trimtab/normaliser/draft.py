"""A request on its way to another form: read as far as rules ask, changed in memory, spliced once at the end.

Invariant: what no fix touched is never encoded again. Values that cannot be decoded count as absent: the platform
judges them.
"""

from collections.abc import Mapping
from typing import Any, Literal

from trimtab.catalogue import EFFORTS, Effort
from trimtab.catalogue.model import Model
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.messages import GONE, MessagesBody
from trimtab.messages.tolerant import field_value, is_small_enough
from trimtab.normaliser.settings import LEFT_OUT, EffortPolicy

Headers = list[tuple[bytes, bytes]]
Raw = dict[str, Any]

BETA = b"anthropic-beta"
VERSION = b"anthropic-version"
MAX_SHOWN = 60
"""Characters of a client's value that a note repeats."""


class Draft:
    """One request. `note` says what a fix did; notes of one place replace each other."""

    __slots__ = (
        "_before",
        "_betas",
        "_kinds",
        "_now",
        "_turns",
        "asked",
        "body",
        "endpoint",
        "expressed",
        "foreign",
        "headers",
        "model",
        "most",
        "notes",
        "policy",
        "profile",
        "version",
        "versions",
    )

    def __init__(
        self,
        body: MessagesBody,
        headers: Headers,
        model: Model,
        version: str,
        versions: tuple[str, ...],
        foreign: int,
        profile: PlatformProfile | None = None,
        endpoint: Literal["messages", "count_tokens"] = "messages",
        policy: EffortPolicy = LEFT_OUT,
    ) -> None:
        self.body = body
        self.headers = headers
        self.model = model
        self.version = version
        self.versions = versions
        """API versions that the platform takes."""
        self.foreign = foreign
        """How many messages, from the first on, stem from a time when another model answered."""
        self.endpoint: Literal["messages", "count_tokens"] = endpoint
        self.profile = profile
        """What the platform takes; `None`: anything."""
        self.policy = policy
        """What becomes of an effort that the model lacks."""
        self.asked: Effort | None = None
        """An effort that is to be said to a model without levels."""
        self.expressed: Effort | None = None
        """It was said, and this is what was."""
        self.most: Effort | None = None
        """No effort that is put in is higher."""
        self.notes: dict[str, str] = {}
        self._before: dict[str, object] = {}
        self._now: dict[str, Any] = {}
        self._betas: list[str] | None = None
        self._turns: list[tuple[int, Raw]] | None = None
        self._kinds: set[str] | None = None

    # Reading

    def value(self, name: str) -> Any:
        """A top-level field as it is now; `None` where it is absent, null or unreadable. Not to be changed."""
        if name in self._now:
            value = self._now[name]
            return None if value is GONE else value
        if name not in self._before:
            self._before[name] = self._decoded(name)
        return self._before[name]

    def has(self, name: str) -> bool:
        """Whether the body has this top-level field now, be it null."""
        return self._now[name] is not GONE if name in self._now else name in self.body.fields

    def at(self, path: str) -> Any:
        """A value by its key path through objects; `None` where there is none."""
        first, *steps = path.split(".")
        value = self.value(first)
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        return value

    def raw(self, name: str) -> memoryview:
        """The bytes of a top-level field as the client sent it; empty where it is absent."""
        field = self.body.fields.get(name)
        return memoryview(b"" if field is None else field)

    def is_small_enough(self, name: str) -> bool:
        """Whether a field that is there may be decoded: what spells many objects takes ten times its bytes."""
        return is_small_enough(self.body.fields[name])

    def _decoded(self, name: str) -> Any:
        return field_value(self.body.fields.get(name))

    @property
    def max_tokens(self) -> int | None:
        """`max_tokens` as it is now."""
        return self._now.get("max_tokens", self.body.max_tokens)

    @property
    def thinking(self) -> str | None:
        """`thinking.type` as it is now, `None` without one."""
        kind = self.at("thinking.type")
        return kind if isinstance(kind, str) else None

    @property
    def thinks(self) -> bool:
        """Whether the answer may start with thinking."""
        kind = self.thinking
        if kind is None:
            return self.model.thinking.default in ("adaptive", "always")
        return kind in ("adaptive", "enabled")

    @property
    def effort(self) -> Effort | None:
        """The effort that will be used, as far as it is a known level: the request's, else the model's default."""
        sent = self.at("output_config.effort")
        if sent is None:
            return self.model.effort.default
        return next((level for level in EFFORTS if level == sent), None)

    def turns(self) -> list[tuple[int, Raw]]:
        """The messages that are objects, with their places."""
        if "messages" in self._now:
            return _objects(self._now["messages"])
        if self._turns is None:
            self._turns = _objects(self.value("messages"))
        return self._turns

    @property
    def kinds(self) -> set[str]:
        """Types of the blocks that the client's messages hold, those of tool results included. One walk."""
        if self._kinds is None:
            self._kinds = {
                kind
                for _, turn in self.turns()
                for block in and_inner(turn)
                if isinstance(kind := block.get("type"), str)
            }
        return self._kinds

    def tools(self) -> list[tuple[int, Raw]]:
        """The tools that are objects, with their places."""
        return _objects(self.value("tools"))

    # Changing

    def own(self, name: str) -> Any:
        """A top-level field, to be changed in place."""
        if name not in self._now:
            self._now[name] = self._decoded(name)
        return self._now[name]

    def put(self, name: str, value: object) -> None:
        """Give a top-level field this value; `GONE` removes it."""
        if value is GONE and name not in self.body.fields:
            self._now.pop(name, None)
        else:
            self._now[name] = value

    def set_effort(self, effort: str) -> None:
        """Set `output_config.effort`."""
        config = self.own("output_config")
        if not isinstance(config, dict):
            config = {}
        self.put("output_config", {**config, "effort": effort})

    def note(self, place: str, done: str) -> None:
        """Say what was done, in the words of the adaptations header."""
        self.notes[place] = _plain(f"{place}{done}")

    # Headers

    @property
    def betas(self) -> list[str]:
        """The values of `anthropic-beta`."""
        if self._betas is None:
            joined = b",".join(value for name, value in self.headers if name == BETA)
            self._betas = [beta for part in joined.decode("latin-1").split(",") if (beta := part.strip())]
        return self._betas

    def add_beta(self, beta: str) -> None:
        """Ask for a beta, once."""
        if beta not in self.betas:
            self._set_betas([*self.betas, beta])
            self.note(f"anthropic-beta=+{beta}", "")

    def drop_beta(self, beta: str) -> None:
        """No longer ask for a beta."""
        if beta in self.betas:
            self._set_betas([kept for kept in self.betas if kept != beta])
            self.note(f"anthropic-beta=-{beta}", "")

    def _set_betas(self, betas: list[str]) -> None:
        self._betas = betas
        headers = [pair for pair in self.headers if pair[0] != BETA]
        if betas:
            headers.append((BETA, ",".join(betas).encode("latin-1")))
        self.headers = headers

    def set_version(self, version: str) -> None:
        """Speak another API version."""
        self.version = version
        self.headers = [
            (name, version.encode() if name == VERSION else value) for name, value in self.headers
        ]
        self.note("anthropic-version", f"={version}")

    def changes(self) -> Mapping[str, object]:
        """Top-level fields that differ from the body, for `MessagesBody.changed`."""
        return self._now


def blocks(turn: Raw) -> list[Raw]:
    """The content blocks of a message that are objects; a text counts as none."""
    content = turn.get("content")
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def and_inner(turn: Raw) -> list[Raw]:
    """The same with those that its tool results hold."""
    found = blocks(turn)
    for block in tuple(found):
        if block.get("type") == "tool_result":
            found += blocks(block)
    return found


def has_block(turn: Raw, *kinds: str) -> bool:
    """Whether a message holds a block of one of these types."""
    return any(block.get("type") in kinds for block in blocks(turn))


def _objects(value: Any) -> list[tuple[int, Raw]]:
    if not isinstance(value, list):
        return []
    return [(index, item) for index, item in enumerate(value) if isinstance(item, dict)]


def _plain(text: str) -> str:
    """Safe in a header, and in a list whose commas separate."""
    cut = text if len(text) <= 2 * MAX_SHOWN else text[: 2 * MAX_SHOWN] + "..."
    return "".join(char if " " <= char <= "~" and char != "," else "?" for char in cut)
