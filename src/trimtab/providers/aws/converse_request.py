"""A Messages request as Converse takes it.

What it is not: its content blocks (`converse_blocks`). Invariant: each member of the body is in the request that goes
out, or refused by name; what Converse has no member for goes to `additionalModelRequestFields`, under the model's own
name for it and byte for byte.

Source: Amazon Bedrock API reference, Converse (2026-11); Amazon Bedrock user guide on computer use and on tools.
"""

import msgspec

from trimtab.errors import RequestError, shortened
from trimtab.messages import MessagesBody
from trimtab.providers.aws.betas import joined_betas
from trimtab.providers.aws.converse_blocks import Blocks, cache_point, kind_of
from trimtab.providers.aws.converse_read import Members, Node, elements, string, text_of, unsayable
from trimtab.providers.seam import Headers

_INFERENCE = {
    "max_tokens": "maxTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "stop_sequences": "stopSequences",
}
_CLIENT_TOOLS = ("bash_", "computer_2", "memory_", "text_editor_")
"""Beginnings of the types of the vendor's tools that the caller runs. The platform takes them as the model's own."""

_STOP_SEQUENCE = "/stop_sequence"
"""Where the model's own answer says which one it was; Converse's does not, unless it is asked."""

_ROLES = ("user", "assistant", "system")


def converse_body(body: MessagesBody, headers: Headers) -> bytes:
    """The body of Converse and ConverseStream. Raises `RequestError` for what they cannot say."""
    fields = Members(msgspec.Raw(body.raw), "")
    blocks = Blocks()
    for name in ("model", "stream"):
        fields.take(name)
    made: Node = {"messages": _messages(fields.need("messages"), blocks)}
    more: Node = {}
    system = fields.take("system")
    if system is not None and (said := blocks.system(system)):
        made["system"] = said
    inference = {said: raw for name, said in _INFERENCE.items() if (raw := fields.take(name)) is not None}
    if inference:
        made["inferenceConfig"] = inference
    if "stopSequences" in inference:
        made["additionalModelResponseFieldPaths"] = [_STOP_SEQUENCE]
    _tools(fields, made, more)
    _output(fields, made, more)
    betas = joined_betas(body, headers)
    if betas is not None:
        fields.take("anthropic_beta")
        more["anthropic_beta"] = betas
    control = fields.take("cache_control")
    if control is not None:
        raise unsayable("cache_control", "mark blocks instead")
    more |= fields.rest()
    if more:
        made["additionalModelRequestFields"] = more
    return msgspec.json.encode(made)


def _messages(raw: msgspec.Raw, blocks: Blocks) -> list[Node]:
    made: list[Node] = []
    for index, element in enumerate(elements(raw, "messages")):
        message = Members(element, f"messages.{index}")
        role = text_of(message.need("role"), message.at("role"))
        if role not in _ROLES:
            raise RequestError(
                f"{message.at('role')}: {shortened(role)!r} is not a role; use {' or '.join(_ROLES)}"
            )
        made.append({"role": role, "content": blocks.content(message.need("content"), message.at("content"))})
        message.end()
    return made


def _tools(fields: Members, made: Node, more: Node) -> None:
    """`tools` and `tool_choice`: the caller's own tools by Converse's schema, the vendor's as the model's own."""
    raw = fields.take("tools")
    listed: list[Node] = []
    typed: list[msgspec.Raw] = []
    for index, element in enumerate(elements(raw, "tools") if raw is not None else []):
        tool = Members(element, f"tools.{index}")
        kind_raw = tool.take("type")
        kind = "custom" if kind_raw is None else text_of(kind_raw, tool.at("type"))
        if kind.startswith(_CLIENT_TOOLS):
            typed.append(element)
        elif kind == "custom":
            listed += _tool(tool)
        else:
            raise unsayable(f"{tool.at('type')}: {shortened(kind)!r}")
    if typed:
        more["tools"] = typed
    config: Node = {"tools": listed} if listed else {}
    choice_raw = fields.take("tool_choice")
    if choice_raw is not None:
        choice = _choice(Members(choice_raw, "tool_choice"))
        # Only the model's own words forbid parallel calls, or name tools that Converse does not know.
        if choice is None or typed:
            more["tool_choice"] = choice_raw
        elif listed:
            config["toolChoice"] = choice
        else:
            raise RequestError("tool_choice: may only be specified while providing tools")
    if config:
        made["toolConfig"] = config


def _tool(tool: Members) -> list[Node]:
    spec: Node = {"name": string(tool.need("name"), tool.at("name"))}
    description = tool.take("description")
    if description is not None and bytes(description) != b'""':
        spec["description"] = string(description, tool.at("description"))
    spec["inputSchema"] = {"json": tool.need("input_schema")}
    strict = tool.take("strict")
    if strict is not None:
        spec["strict"] = strict
    tool.plain("defer_loading", b"false")
    tool.plain("allowed_callers", b'["direct"]')
    tool.plain("eager_input_streaming", b"false")
    tool.plain("input_examples", b"[]")
    made: list[Node] = [{"toolSpec": spec}, *cache_point(tool)]
    tool.end()
    return made


def _choice(choice: Members) -> Node | None:
    """The choice in Converse's words; `None` where it has none and the model's own body has."""
    kind = kind_of(choice)
    single = choice.take("disable_parallel_tool_use")
    said: Node
    if kind in ("auto", "any"):
        said = {kind: {}}
    elif kind == "tool":
        said = {"tool": {"name": string(choice.need("name"), choice.at("name"))}}
    else:
        raise unsayable(
            f"tool_choice.type: {shortened(kind)!r}", "leave out the tools, or use endpoint = 'invoke'"
        )
    choice.end()
    return None if single is not None and bytes(single) != b"false" else said


def _output(fields: Members, made: Node, more: Node) -> None:
    """`output_config`: effort and format by Converse's schema, other parts as the model's own."""
    raw = fields.take("output_config")
    if raw is None:
        return
    config = Members(raw, "output_config")
    said: Node = {}
    effort = config.take("effort")
    if effort is not None:
        said["effort"] = string(effort, config.at("effort"))
    format_raw = config.take("format")
    if format_raw is not None:
        wanted = Members(format_raw, config.at("format"))
        kind = kind_of(wanted)
        if kind != "json_schema":
            raise unsayable(f"{wanted.at('type')}: {shortened(kind)!r}")
        schema = bytes(wanted.need("schema")).decode()
        said["textFormat"] = {"type": kind, "structure": {"jsonSchema": {"schema": schema}}}
        wanted.end()
    if said:
        made["outputConfig"] = said
    if rest := config.rest():
        more["output_config"] = rest
