"""What a client asked.

What it is not: the body that goes out (`MessagesBody`, `ChatBody`), or a check of it.
"""

from typing import Any, Literal

import msgspec

Role = Literal["user", "assistant", "tool", "other"]


class Tool(msgspec.Struct, frozen=True):
    """A tool that was offered."""

    name: str
    schema: Any = None
    """Of its input, as JSON values; `None` where the request holds none (the vendor's own tools)."""
    vendor: bool = False
    """One that the vendor defines: its input is not described in the request."""
    strict: bool = False


class ToolChoice(msgspec.Struct, frozen=True):
    """What the client says of calling tools."""

    kind: Literal["auto", "any", "tool", "none"] = "auto"
    name: str = ""
    """Of the one that must be called, where `kind` is `tool`."""
    parallel: bool = True
    """Whether several may be called at once."""


class Turn(msgspec.Struct, frozen=True):
    """One message of the conversation."""

    role: Role
    text: str
    """All text of it joined, that of tool results included."""
    tool_uses: tuple[str, ...] = ()
    """Names of the tools that are called in it."""
    tool_results: int = 0
    tool_errors: int = 0
    """Of the results, those that are marked as errors."""
    images: int = 0


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it is judged."""

    surface: Literal["messages", "chat"]
    model: str = ""
    system: str = ""
    turns: tuple[Turn, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    schema: Any = None
    """The JSON schema that the answer's text must satisfy, where the request names one."""
    wants_json: bool = False
    """Whether the text must be JSON, be it without a schema."""
    max_tokens: int | None = None
    stop_sequences: tuple[str, ...] = ()
    answers: int = 1
    images: int = 0
    """In all turns."""

    @property
    def asked(self) -> str:
        """The text of the last turn of a person; empty where there is none."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user" and turn.text), "")

    @property
    def chain(self) -> tuple[Turn, ...]:
        """The turns since the last one of a person that holds no tool result: a chain of tool calls, so far."""
        found: list[Turn] = []
        for turn in reversed(self.turns):
            if turn.role == "user" and not turn.tool_results:
                break
            found.append(turn)
        return tuple(reversed(found))
