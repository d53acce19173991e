"""What Converse takes, as AWS's service model has it: names, types and which members must be there.

What it is not: what becomes of it (`converse_read`), or our provider's writing of it, with which it shares no code, so
that neither excuses the other. Invariant: tests hold each struct against botocore's service model, member by member.

Source: Amazon Bedrock API reference, Converse (2026-11).
"""

from typing import Annotated, Any, Literal

import msgspec

Filled = Annotated[str, msgspec.Meta(min_length=1)]
ToolId = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[a-zA-Z0-9_.:-]+$")]
ToolName = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")]
Blob = Annotated[bytes, msgspec.Meta(min_length=1)]
Part = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A structure: members by their names, nothing unknown."""


class Union(Shape, frozen=True):
    """A structure of which one member is there."""

    @property
    def kinds(self) -> list[str]:
        """The members that are there, by their names on the wire."""
        return [
            said
            for name, said in zip(self.__struct_fields__, self.__struct_encode_fields__, strict=True)
            if getattr(self, name) is not None
        ]


class S3Location(Shape, frozen=True):
    """An object in a bucket."""

    uri: Filled
    bucket_owner: str | None = None


class Source(Union, frozen=True):
    """Where an image, a video or a sound is."""

    data: Blob | None = msgspec.field(default=None, name="bytes")
    s3_location: S3Location | None = None


class ErrorBlock(Shape, frozen=True):
    """Why there is no image."""

    message: str | None = None


class Image(Shape, frozen=True):
    """An image."""

    format: Literal["png", "jpeg", "gif", "webp"]
    source: Source
    error: ErrorBlock | None = None


class DocumentText(Union, frozen=True):
    """A piece of a document."""

    text: str | None = None


class DocumentSource(Union, frozen=True):
    """Where a document is."""

    data: Blob | None = msgspec.field(default=None, name="bytes")
    s3_location: S3Location | None = None
    text: str | None = None
    content: list[DocumentText] | None = None


class Citations(Shape, frozen=True):
    """Whether answers cite."""

    enabled: bool


class Document(Shape, frozen=True):
    """A document."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[a-zA-Z0-9\-()\[\]\s]+$")]
    """The pattern is in the description of the API; the service model has the length only."""
    source: DocumentSource
    format: Literal["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"] | None = None
    context: str | None = None
    citations: Citations | None = None


class ResultText(Shape, frozen=True):
    """A piece of a search result."""

    text: str


class SearchResult(Shape, frozen=True):
    """A search result."""

    source: str
    title: str
    content: list[ResultText]
    citations: Citations | None = None


class ToolUse(Shape, frozen=True):
    """A call of a tool."""

    tool_use_id: ToolId
    name: ToolName
    input: Any
    type: Literal["server_tool_use"] | None = None


class ToolResultContent(Union, frozen=True):
    """A part of what a tool gave."""

    json: Any = None
    text: str | None = None
    image: Image | None = None
    document: Document | None = None
    video: Any = None
    search_result: SearchResult | None = None


class ToolResult(Shape, frozen=True):
    """What a tool gave."""

    tool_use_id: ToolId
    content: list[ToolResultContent]
    status: Literal["success", "error"] | None = None
    type: str | None = None


class CachePoint(Shape, frozen=True):
    """Up to here, the prompt is cached."""

    type: Literal["default"]
    ttl: Literal["5m", "1h"] | None = None


class ReasoningText(Shape, frozen=True):
    """The model's thinking."""

    text: str
    signature: str | None = None


class Reasoning(Union, frozen=True):
    """The model's thinking, or what stands in its place."""

    reasoning_text: ReasoningText | None = None
    redacted_content: bytes | None = None


class CitedText(Union, frozen=True):
    """A text that cites."""

    text: str | None = None


class CitationsContent(Shape, frozen=True):
    """Texts of an answer, and what they cite."""

    content: list[CitedText] | None = None
    citations: list[Any] | None = None


class Block(Union, frozen=True):
    """A content block."""

    text: str | None = None
    image: Image | None = None
    document: Document | None = None
    video: Any = None
    audio: Any = None
    tool_use: ToolUse | None = None
    tool_result: ToolResult | None = None
    guard_content: Any = None
    cache_point: CachePoint | None = None
    reasoning_content: Reasoning | None = None
    citations_content: CitationsContent | None = None
    search_result: SearchResult | None = None
    tool_addition: Any = None
    tool_removal: Any = None


class Message(Shape, frozen=True):
    """A turn."""

    role: Literal["user", "assistant", "system"]
    content: list[Block]


class SystemBlock(Union, frozen=True):
    """A part of the system prompt."""

    text: Filled | None = None
    guard_content: Any = None
    cache_point: CachePoint | None = None


class Inference(Shape, frozen=True):
    """Limits and sampling."""

    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    temperature: Part | None = None
    top_p: Part | None = None
    stop_sequences: Annotated[list[Filled], msgspec.Meta(max_length=2500)] | None = None


class InputSchema(Union, frozen=True):
    """What a tool takes."""

    json: Any = None


class ToolSpec(Shape, frozen=True):
    """A tool that the caller runs."""

    name: ToolName
    input_schema: InputSchema
    description: Filled | None = None
    strict: bool | None = None


class SystemTool(Shape, frozen=True):
    """A tool that the platform runs."""

    name: ToolName


class Tool(Union, frozen=True):
    """A tool, or a point up to which the list is cached."""

    tool_spec: ToolSpec | None = None
    system_tool: SystemTool | None = None
    cache_point: CachePoint | None = None


class Nothing(Shape, frozen=True):
    """A choice that needs no more words."""


class NamedTool(Shape, frozen=True):
    """The tool that must be called."""

    name: ToolName


class ToolChoice(Union, frozen=True):
    """Whether and which tool is called."""

    auto: Nothing | None = None
    any: Nothing | None = None
    tool: NamedTool | None = None


class ToolConfig(Shape, frozen=True):
    """The tools."""

    tools: Annotated[list[Tool], msgspec.Meta(min_length=1)]
    tool_choice: ToolChoice | None = None


class JsonSchema(Shape, frozen=True):
    """The schema of an answer, as text."""

    schema: str
    name: str | None = None
    description: str | None = None


class FormatStructure(Union, frozen=True):
    """How a format is said."""

    json_schema: JsonSchema | None = None


class TextFormat(Shape, frozen=True):
    """The format of an answer."""

    type: Literal["json_schema"]
    structure: FormatStructure


class OutputConfig(Shape, frozen=True):
    """How the answer is to be."""

    text_format: TextFormat | None = None
    effort: Annotated[str, msgspec.Meta(max_length=16)] | None = None


class Counted(Shape, frozen=True):
    """What CountTokens takes of a conversation."""

    messages: list[Message] | None = None
    system: list[SystemBlock] | None = None
    tool_config: ToolConfig | None = None
    additional_model_request_fields: Any = None


class Request(Counted, frozen=True):
    """A request."""

    inference_config: Inference | None = None
    guardrail_config: Any = None
    prompt_variables: Any = None
    additional_model_response_field_paths: (
        Annotated[
            list[Annotated[str, msgspec.Meta(min_length=1, max_length=256)]], msgspec.Meta(max_length=10)
        ]
        | None
    ) = None
    request_metadata: dict[str, str] | None = None
    performance_config: Any = None
    service_tier: Any = None
    output_config: OutputConfig | None = None
