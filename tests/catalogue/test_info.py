"""The model object against the vendor's type, checked key by key as anthropic SDK 2.11.0 declares it."""

import datetime
from typing import Annotated, Literal

import msgspec
import pytest

from trimtab.catalogue import Catalogue, model_info

AT = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    pass


class Support(Strict):
    supported: bool


class ContextManagement(Strict):
    supported: bool
    clear_thinking_20251015: Support | None
    clear_tool_uses_20250919: Support | None
    compact_20260112: Support | None


class Effort(Strict):
    supported: bool
    low: Support
    medium: Support
    high: Support
    xhigh: Support | None
    max: Support


class ServerTools(Strict):
    supported: bool
    code_execution: Support
    web_search: Support


class ThinkingTypes(Strict):
    adaptive: Support
    between_tools: Support
    disabled: Support
    enabled: Support


class Thinking(Strict):
    supported: bool
    types: ThinkingTypes


class Capabilities(Strict):
    batch: Support
    citations: Support
    code_execution: Support
    context_management: ContextManagement
    effort: Effort
    image_input: Support
    pdf_input: Support
    server_tools: ServerTools
    structured_outputs: Support
    thinking: Thinking


Moment = Annotated[datetime.datetime, msgspec.Meta(tz=True)]


class ModelInfo(Strict):
    id: str
    capabilities: Capabilities
    created_at: Moment
    deprecated_at: Moment | None
    display_name: str
    lifecycle: Literal["active", "deprecated", "retired"]
    line: Literal["haiku", "sonnet", "opus", "fable", "mythos"] | None
    max_input_tokens: int
    max_tokens: int
    retires_at: Moment | None
    type: Literal["model"]


def info(catalogue: Catalogue, name: str, at: datetime.datetime = AT) -> ModelInfo:
    model = catalogue.find(name)
    assert model is not None
    return msgspec.json.decode(msgspec.json.encode(model_info(model, at)), type=ModelInfo)


def test_every_model_has_the_shape_that_the_sdk_declares(catalogue: Catalogue) -> None:
    for model in catalogue.models:
        parsed = info(catalogue, model.id)
        assert parsed.id == model.id
        assert parsed.max_input_tokens == model.limits.context
        levels = [
            level
            for level in ("low", "medium", "high", "xhigh", "max")
            if getattr(parsed.capabilities.effort, level).supported
        ]
        assert tuple(levels) == model.effort_levels
        assert parsed.capabilities.effort.supported == bool(levels)


def test_opus_4_7(catalogue: Catalogue) -> None:
    parsed = info(catalogue, "claude-opus-4-7")
    assert parsed.display_name == "Claude Opus 4.7"
    assert parsed.created_at == datetime.datetime(2026, 4, 16, tzinfo=datetime.UTC)
    assert (parsed.lifecycle, parsed.deprecated_at, parsed.retires_at) == ("active", None, None)
    assert (parsed.line, parsed.max_input_tokens, parsed.max_tokens) == ("opus", 1_000_000, 128_000)
    types = parsed.capabilities.thinking.types
    assert (types.adaptive.supported, types.enabled.supported) == (True, False)
    assert (types.disabled.supported, types.between_tools.supported) == (True, False)


def test_thinking_types_follow_the_vendors_reading(catalogue: Catalogue) -> None:
    # "True on a model that does not support thinking"; a level that is refused at high effort still counts.
    old = info(catalogue, "claude-3-5-haiku-latest").capabilities.thinking
    assert (old.supported, old.types.disabled.supported) == (False, True)
    assert info(catalogue, "claude-opus-5").capabilities.thinking.types.disabled.supported
    sonnet = info(catalogue, "claude-sonnet-5-5").capabilities.thinking.types
    assert (sonnet.between_tools.supported, sonnet.disabled.supported) == (True, False)


@pytest.mark.parametrize(
    ("at", "lifecycle", "retires"),
    [
        ("2026-09-29", "active", None),
        ("2026-09-30", "deprecated", datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC)),
        ("2026-11-30", "retired", datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC)),
    ],
)
def test_the_life_cycle_is_that_of_the_day(
    catalogue: Catalogue, at: str, lifecycle: str, retires: datetime.datetime | None
) -> None:
    moment = datetime.datetime.fromisoformat(at).replace(tzinfo=datetime.UTC)
    parsed = info(catalogue, "claude-sonnet-4-5", moment)
    assert (parsed.lifecycle, parsed.retires_at) == (lifecycle, retires)
    assert (parsed.deprecated_at is None) == (lifecycle == "active")
