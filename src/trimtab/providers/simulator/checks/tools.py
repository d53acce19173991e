"""Tools and tool choice: shapes, names, versions and what the model accepts.

Source: anthropic SDK 2.11.0 `types/tool_union_param.py`; vendor pages on tool use and computer use (2026-11).
"""

import string
from typing import Literal

import msgspec

from trimtab.catalogue.model import Model
from trimtab.errors import RequestError
from trimtab.providers.simulator.checks.params import ThinkingPlan
from trimtab.providers.simulator.checks.schemas import MAX_STRICT_TOOLS, SchemaLimits
from trimtab.providers.simulator.checks.shapes import (
    Raw,
    as_bool,
    as_list,
    as_object,
    as_text,
    needed,
    only,
    refuse,
    tag,
)

_NAME_CHARS = frozenset(string.ascii_letters + string.digits + "_-")
_CUSTOM_KEYS = {
    "type", "name", "description", "input_schema", "strict", "defer_loading", "allowed_callers", "input_examples",
    "eager_input_streaming", "cache_control",
}  # fmt: skip

_CLIENT_TOOL_NAMES = {
    "bash_": "bash",
    "text_editor_20241022": "str_replace_editor",
    "text_editor_20250124": "str_replace_editor",
    "text_editor_20250429": "str_replace_based_edit_tool",
    "text_editor_20250728": "str_replace_based_edit_tool",
    "memory_": "memory",
    "computer_2": "computer",
}
_SERVER_TOOLS = (
    "web_search_", "web_fetch_", "code_execution_", "tool_search_tool_", "advisor_", "mcp_toolset",
)  # fmt: skip
_TOOLSETS = ("computer_toolset_", "browser_toolset_")
_COMPUTER_BETAS = {
    "computer_20241022": "computer-use-2024-10-22",
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
}

ToolKind = Literal["custom", "client", "server", "toolset"]


class Tool(msgspec.Struct, frozen=True):
    """One tool of the request, as far as answers need it."""

    name: str
    kind: ToolKind
    type: str
    schema: Raw | None = None
    description: str = ""
    deferred: bool = False


class ToolChoice(msgspec.Struct, frozen=True):
    """`tool_choice`, defaults filled in."""

    type: Literal["auto", "any", "tool", "none"] = "auto"
    name: str | None = None
    parallel: bool = True

    @property
    def forced(self) -> bool:
        """Whether the answer must call a tool."""
        return self.type in ("any", "tool")


AUTO = ToolChoice()


def check_tools(raw: Raw, model: Model, betas: frozenset[str]) -> list[Tool]:
    """The request's tools. Raises for shapes, names and versions that the model does not take."""
    if raw.get("tools") is None:
        return []
    sent = as_list(raw["tools"], "tools")
    tools = [_tool(value, f"tools.{index}", model, betas) for index, value in enumerate(sent)]
    names = [tool.name for tool in tools if tool.kind in ("custom", "client")]
    if len(set(names)) < len(names):
        raise RequestError("tools: Tool names must be unique.")
    if tools and all(tool.deferred for tool in tools):
        raise RequestError("tools: At least one tool must have defer_loading=false.")
    strict = [value for value in sent if value.get("strict") is True]
    if len(strict) > MAX_STRICT_TOOLS:
        raise refuse("tools", f"Too many strict tools: {len(strict)}, limit {MAX_STRICT_TOOLS}")
    limits = SchemaLimits()
    for value in strict:
        if isinstance(value.get("input_schema"), dict):
            limits.check(value["input_schema"], f"tools.{sent.index(value)}.custom.input_schema")
    return tools


def _tool(value: object, at: str, model: Model, betas: frozenset[str]) -> Tool:
    raw = as_object(value, at)
    kind = raw.get("type")
    if kind is not None and not isinstance(kind, str):
        raise refuse(f"{at}.type", "Input should be a valid string")
    deferred = raw.get("defer_loading") is not None and as_bool(raw["defer_loading"], f"{at}.defer_loading")
    if kind is None or kind == "custom":
        return _custom(raw, f"{at}.custom", deferred)
    if kind.startswith(_TOOLSETS):
        return _toolset(raw, kind, f"{at}.{kind}", model)
    if kind.startswith(_SERVER_TOOLS):
        name = raw.get("name", raw.get("mcp_server_name", kind))
        return Tool(as_text(name, f"{at}.{kind}.name"), "server", kind, deferred=deferred)
    for start, name in _CLIENT_TOOL_NAMES.items():
        if kind.startswith(start):
            _check_client(raw, kind, name, f"{at}.{kind}", model, betas)
            return Tool(name, "client", kind, deferred=deferred)
    raise refuse(at, f"Input tag '{kind:.64}' found using 'type' does not match any of the expected tags")


def _custom(raw: Raw, at: str, deferred: bool) -> Tool:
    only(raw, _CUSTOM_KEYS, at)
    name = as_text(needed(raw, "name", at), f"{at}.name")
    if not 1 <= len(name) <= 128 or not _NAME_CHARS.issuperset(name):
        raise refuse(f"{at}.name", "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'")
    description = raw.get("description")
    if description is not None:
        as_text(description, f"{at}.description")
    schema = as_object(needed(raw, "input_schema", at), f"{at}.input_schema")
    if schema.get("type") is None:
        raise refuse(f"{at}.input_schema.type", "Field required")
    if schema["type"] != "object":
        raise refuse(f"{at}.input_schema.type", "Input should be 'object'")
    if schema.get("properties") is not None:
        as_object(schema["properties"], f"{at}.input_schema.properties")
    if raw.get("strict") is not None:
        as_bool(raw["strict"], f"{at}.strict")
    return Tool(name, "custom", "custom", schema, description or "", deferred)


def _toolset(raw: Raw, kind: str, at: str, model: Model) -> Tool:
    only(raw, ("type", "configs", "cache_control", "allowed_callers", "defer_loading"), at)
    _check_version(kind, "computer_", model.features.computer_tool, model)
    return Tool("computer" if kind.startswith("computer") else "browser", "toolset", kind)


def _check_client(raw: Raw, kind: str, name: str, at: str, model: Model, betas: frozenset[str]) -> None:
    if as_text(needed(raw, "name", at), f"{at}.name") != name:
        raise refuse(f"{at}.name", f"Input should be '{name}'")
    _check_version(kind, "text_editor_", model.features.text_editor, model)
    if kind.startswith("computer_"):
        _check_version(kind, "computer_", model.features.computer_tool, model)
        if (beta := _COMPUTER_BETAS.get(kind)) is not None and beta not in betas:
            raise refuse(at, f"the anthropic-beta header {beta} is required for this tool")
        needed(raw, "display_width_px", at)
        needed(raw, "display_height_px", at)


def _check_version(kind: str, start: str, known: tuple[str, ...], model: Model) -> None:
    """Versions of some tools are per model. A row that records none lets all pass."""
    if kind.startswith(start) and known and kind not in known:
        raise RequestError(f"'{model.id}' does not support tool types: {kind}. Did you mean {known[0]}?")


_CHOICE_KEYS = {
    "auto": ("type", "disable_parallel_tool_use"),
    "any": ("type", "disable_parallel_tool_use"),
    "tool": ("type", "name", "disable_parallel_tool_use"),
    "none": ("type",),
}


def check_tool_choice(raw: Raw, tools: list[Tool], model: Model, thinking: ThinkingPlan) -> ToolChoice:
    """`tool_choice`: shape, existing tool, and whether this model may be forced."""
    if raw.get("tool_choice") is None:
        return AUTO
    kind, value = tag(raw["tool_choice"], "tool_choice", _CHOICE_KEYS)
    only(value, _CHOICE_KEYS[kind], f"tool_choice.{kind}")
    parallel = True
    if value.get("disable_parallel_tool_use") is not None:
        parallel = not as_bool(
            value["disable_parallel_tool_use"], f"tool_choice.{kind}.disable_parallel_tool_use"
        )
    if not tools and kind != "none":
        raise RequestError("tool_choice may only be specified while providing tools.")
    if kind == "auto":
        return ToolChoice("auto", None, parallel)
    if kind == "none":
        return ToolChoice("none")
    if model.features.forced_tool_choice == "rejected":
        raise RequestError(f"tool_choice: '{kind}' is not supported for this model. Use 'auto' or 'none'.")
    if thinking.type == "enabled":
        raise RequestError("Thinking may not be enabled when tool_choice forces tool use.")
    if kind == "any":
        return ToolChoice("any", None, parallel)
    name = as_text(needed(value, "name", "tool_choice.tool"), "tool_choice.tool.name")
    if not any(tool.name == name and tool.kind != "toolset" for tool in tools):
        raise RequestError(f"Tool '{name:.128}' not found in provided tools")
    return ToolChoice("tool", name, parallel)
