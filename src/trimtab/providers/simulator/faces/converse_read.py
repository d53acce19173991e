"""Converse's request as one of the vendor's API, for the simulator's core.

What it is not: the schema (`converse_schema`), or what the model refuses of it, which the core says. Invariant: what is
not simulated is refused by its place, never passed over.

Source: Amazon Bedrock API reference, Converse, and user guide on prompt caching and tool use (2026-11). Wording is made
up where no source has it.
"""

import base64
from typing import Any

import msgspec

from trimtab.catalogue.model import Model
from trimtab.providers.simulator.checks.shapes import Raw
from trimtab.providers.simulator.faces.amazon import aws_refusal
from trimtab.providers.simulator.faces.converse_schema import (
    Block,
    CachePoint,
    Citations,
    Counted,
    Document,
    Image,
    Message,
    OutputConfig,
    Request,
    SearchResult,
    SystemBlock,
    ToolConfig,
    ToolResult,
    ToolUse,
    Union,
)
from trimtab.providers.simulator.faces.face import PlatformRefusal

_TEXT_FORMATS = ("txt", "csv", "html", "md")
_TOOLS_NEEDED = "The toolConfig field must be defined when using toolUse and toolResult content blocks."
_REQUEST = msgspec.json.Decoder(Request)


def read_request(body: bytes) -> Request:
    """A body by the schema. Raises `PlatformRefusal`."""
    try:
        return _REQUEST.decode(body)
    except RecursionError:
        raise invalid("The request body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise malformed(str(problem)) from None


def read_counted(raw: object) -> Counted:
    """What CountTokens was given, by the schema. Raises `PlatformRefusal`."""
    try:
        return msgspec.convert(raw, Counted)
    except (msgspec.ValidationError, RecursionError) as problem:
        raise malformed(str(problem)) from None


def invalid(message: str) -> PlatformRefusal:
    """A refusal of what AWS itself looks at."""
    return aws_refusal(400, "ValidationException", message)


def malformed(problem: str) -> PlatformRefusal:
    """A refusal of what is not the schema's."""
    return invalid(f"Malformed input request: {problem:.300}, please reformat your input and try again.")


def messages_request(asked: Request, model: Model) -> Raw:
    """The body of the vendor's API, less its model. Raises `PlatformRefusal`.

    Without `maxTokens` the model's limit holds. Source: API reference, InferenceConfiguration.
    """
    for name, value in (
        ("guardrailConfig", asked.guardrail_config),
        ("promptVariables", asked.prompt_variables),
    ):
        if value is not None:
            raise invalid(f"{name}: is not simulated")
    made = messages_counted(asked)
    said = asked.inference_config
    made["max_tokens"] = model.limits.max_output
    if said is not None:
        given = {
            "max_tokens": said.max_tokens,
            "temperature": said.temperature,
            "top_p": said.top_p,
            "stop_sequences": said.stop_sequences,
        }
        made |= {name: value for name, value in given.items() if value is not None}
    if asked.output_config is not None:
        _output(asked.output_config, made)
    return made


def messages_counted(asked: Counted) -> Raw:
    """The part of the body that is counted."""
    own = asked.additional_model_request_fields
    if own is not None and not isinstance(own, dict):
        raise malformed("Expected `object` - at `$.additionalModelRequestFields`")
    made: Raw = {}
    made["messages"] = [_message(each, f"messages.{at}") for at, each in enumerate(asked.messages or [])]
    if asked.system is not None:
        made["system"] = _system(asked.system)
    if asked.tool_config is not None:
        _tools(asked.tool_config, made)
    _additional(own or {}, made)
    if "tools" not in made and any(
        block.tool_use is not None or block.tool_result is not None
        for message in asked.messages or []
        for block in message.content
    ):
        raise invalid(_TOOLS_NEEDED)
    return made


def _additional(own: Raw, made: Raw) -> None:
    """The model's own fields. Tools of the vendor's stand here, beside those of `toolConfig`."""
    for name, value in own.items():
        if name == "tools" and isinstance(value, list):
            made["tools"] = [*made.get("tools", []), *value]
        elif name in made or name in (
            "max_tokens",
            "stop_sequences",
            "temperature",
            "top_p",
            "stream",
            "model",
        ):
            raise invalid(f"The additional field {name} conflicts with an existing field.")
        else:
            made[name] = value


def _only(union: Union, where: str) -> str:
    """The member that is there. Raises `PlatformRefusal` for none and for several."""
    kinds = union.kinds
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        raise malformed(f"exactly one member of a union must be set, found {found} - at `{where}`")
    return kinds[0]


def _marked(made: list[Raw], point: CachePoint, where: str) -> None:
    if not made:
        raise invalid(f"{where}.cachePoint: nothing stands before it")
    made[-1]["cache_control"] = {"type": "ephemeral"} | ({} if point.ttl is None else {"ttl": point.ttl})


def _message(message: Message, where: str) -> Raw:
    made: list[Raw] = []
    for at, block in enumerate(message.content):
        place = f"{where}.content.{at}"
        _only(block, place)
        if block.cache_point is not None:
            _marked(made, block.cache_point, place)
        else:
            made.append(_block(block, place))
    return {"role": message.role, "content": made}


def _block(block: Block, where: str) -> Raw:
    if block.text is not None:
        return _text(block.text, where)
    if block.image is not None:
        return _image(block.image, where)
    if block.document is not None:
        return _document(block.document, where)
    if block.search_result is not None:
        return _search_result(block.search_result)
    if block.tool_use is not None:
        return _tool_use(block.tool_use, where)
    if block.tool_result is not None:
        return _tool_result(block.tool_result, where)
    if block.reasoning_content is not None:
        thought = block.reasoning_content
        _only(thought, f"{where}.reasoningContent")
        if thought.redacted_content is not None:
            return {"type": "redacted_thinking", "data": base64.b64encode(thought.redacted_content).decode()}
        text = thought.reasoning_text
        assert text is not None
        return {"type": "thinking", "thinking": text.text, "signature": text.signature or ""}
    if block.citations_content is not None:
        texts = [piece.text or "" for piece in block.citations_content.content or []]
        return _text("".join(texts), where)
    raise _not_taken(block, where)


def _text(text: str, where: str) -> Raw:
    if not text.strip():
        raise invalid(
            f"The text field in the ContentBlock object at {where} is blank. Add text to the text field, and try "
            "again."
        )
    return {"type": "text", "text": text}


def _image(image: Image, where: str) -> Raw:
    _only(image.source, f"{where}.image.source")
    if image.source.data is None:
        raise invalid(f"{where}.image.source.s3Location: is not supported for this model")
    data = base64.b64encode(image.source.data).decode()
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": f"image/{image.format}", "data": data},
    }


def _document(document: Document, where: str) -> Raw:
    where = f"{where}.document"
    source = document.source
    _only(source, f"{where}.source")
    made: Raw
    if source.s3_location is not None:
        raise invalid(f"{where}.source.s3Location: is not supported for this model")
    if source.content is not None:
        made = {
            "type": "content",
            "content": [{"type": "text", "text": each.text} for each in source.content],
        }
    elif source.text is not None:
        made = {"type": "text", "media_type": "text/plain", "data": source.text}
    else:
        assert source.data is not None
        if document.format is None:
            raise invalid(f"{where}.format: is needed beside bytes")
        if document.format in _TEXT_FORMATS:
            made = {
                "type": "text",
                "media_type": "text/plain",
                "data": source.data.decode("utf-8", "replace"),
            }
        elif document.format == "pdf":
            made = {
                "type": "base64",
                "media_type": "application/pdf",
                "data": base64.b64encode(source.data).decode(),
            }
        else:
            raise invalid(f"{where}.format: {document.format} is not simulated")
    block: Raw = {"type": "document", "source": made, "title": document.name}
    if document.context is not None:
        block["context"] = document.context
    return block | _citing(document.citations)


def _search_result(result: SearchResult) -> Raw:
    return {
        "type": "search_result",
        "source": result.source,
        "title": result.title,
        "content": [{"type": "text", "text": piece.text} for piece in result.content],
        **_citing(result.citations),
    }


def _citing(citations: Citations | None) -> Raw:
    return {} if citations is None else {"citations": {"enabled": citations.enabled}}


def _tool_use(use: ToolUse, where: str) -> Raw:
    if use.type is not None:
        raise invalid(f"{where}.toolUse.type: {use.type} is not supported for this model")
    return {"type": "tool_use", "id": use.tool_use_id, "name": use.name, "input": use.input}


def _tool_result(result: ToolResult, where: str) -> Raw:
    content: list[Raw] = []
    for at, part in enumerate(result.content):
        place = f"{where}.toolResult.content.{at}"
        _only(part, place)
        if part.text is not None:
            content.append({"type": "text", "text": part.text})
        elif part.json is not None:
            content.append({"type": "text", "text": msgspec.json.encode(part.json).decode()})
        elif part.image is not None:
            content.append(_image(part.image, place))
        elif part.document is not None:
            content.append(_document(part.document, place))
        elif part.search_result is not None:
            content.append(_search_result(part.search_result))
        else:
            raise _not_taken(part, place)
    made: Raw = {"type": "tool_result", "tool_use_id": result.tool_use_id, "content": content}
    if result.status == "error":
        made["is_error"] = True
    return made


def _not_taken(union: Union, where: str) -> PlatformRefusal:
    return invalid(f"{where}.{union.kinds[0]}: this model doesn't support the content type")


def _system(blocks: list[SystemBlock]) -> list[Raw]:
    made: list[Raw] = []
    for at, block in enumerate(blocks):
        place = f"system.{at}"
        _only(block, place)
        if block.cache_point is not None:
            _marked(made, block.cache_point, place)
        elif block.text is not None:
            made.append({"type": "text", "text": block.text})
        else:
            raise invalid(f"{place}.guardContent: is not simulated")
    return made


def _tools(config: ToolConfig, made: Raw) -> None:
    tools: list[Raw] = []
    for at, tool in enumerate(config.tools):
        place = f"toolConfig.tools.{at}"
        _only(tool, place)
        if tool.cache_point is not None:
            _marked(tools, tool.cache_point, place)
        elif tool.tool_spec is not None:
            spec = tool.tool_spec
            _only(spec.input_schema, f"{place}.toolSpec.inputSchema")
            said: dict[str, Any] = {"name": spec.name, "input_schema": spec.input_schema.json}
            if spec.description is not None:
                said["description"] = spec.description
            if spec.strict is not None:
                said["strict"] = spec.strict
            tools.append(said)
        else:
            raise invalid(f"{place}.systemTool: is not supported for this model")
    made["tools"] = tools
    choice = config.tool_choice
    if choice is not None:
        kind = _only(choice, "toolConfig.toolChoice")
        made["tool_choice"] = {"type": kind} | ({} if choice.tool is None else {"name": choice.tool.name})


def _output(config: OutputConfig, made: Raw) -> None:
    said: Raw = {}
    if config.effort is not None:
        said["effort"] = config.effort
    if config.text_format is not None:
        structure = config.text_format.structure
        _only(structure, "outputConfig.textFormat.structure")
        assert structure.json_schema is not None
        try:
            schema = msgspec.json.decode(structure.json_schema.schema)
        except (msgspec.DecodeError, RecursionError):
            raise invalid("outputConfig.textFormat.structure.jsonSchema.schema: is not JSON") from None
        said["format"] = {"type": "json_schema", "schema": schema}
    own = made.get("output_config", {})
    if not isinstance(own, dict) or own.keys() & said.keys():
        raise invalid("The additional field output_config conflicts with an existing field.")
    made["output_config"] = {**own, **said}
