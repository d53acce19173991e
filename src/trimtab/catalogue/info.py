"""The vendor's model object, as `GET /v1/models/{id}` returns it, made from a catalogue row.

What it is not: the vendor's answer. A row says what was known on the catalogue's date.
Invariant: the object has every key that the vendor's type requires, so that a client's SDK gives typed values.

Source: anthropic SDK 2.11.0 `types/model_info.py`, `types/model_capabilities.py` and the types they name.
"""

import datetime

from trimtab.catalogue.arm import EFFORTS
from trimtab.catalogue.model import Model

_LINES = frozenset(("haiku", "sonnet", "opus", "fable", "mythos"))

_STRATEGIES = ("clear_thinking_20251015", "clear_tool_uses_20250919", "compact_20260112")

_EPOCH = datetime.date(1970, 1, 1)
"""Stands for an unknown release day, as the vendor's type says."""


def model_info(model: Model, at: datetime.datetime) -> dict[str, object]:
    """The model as the vendor lists it, with its life cycle as of `at` (with a time zone)."""
    life = model.lifecycle
    status = model.status_on(at.astimezone(datetime.UTC).date())
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name,
        "created_at": _midnight(life.released or _EPOCH),
        "max_input_tokens": model.limits.context,
        "max_tokens": model.limits.max_output,
        "lifecycle": status,
        "deprecated_at": _midnight(life.deprecated) if life.deprecated and status != "active" else None,
        "retires_at": _midnight(life.retires) if life.retires and status != "active" else None,
        "line": model.line if model.line in _LINES else None,
        "capabilities": _capabilities(model),
    }


def _capabilities(model: Model) -> dict[str, object]:
    features, thinking = model.features, model.thinking
    strategies = features.context_management or ()
    levels = model.effort_levels
    effort: dict[str, object] = {level: _support(level in levels) for level in EFFORTS}
    contexts: dict[str, object] = {name: _support(name in strategies) for name in _STRATEGIES}
    return {
        "batch": _support(any(row.batch_input is not None for row in model.prices)),
        "citations": _support(features.citations),
        "code_execution": _support(features.programmatic_tools),
        "context_management": {"supported": bool(strategies), **contexts},
        "effort": {"supported": bool(levels), **effort},
        "image_input": _support(model.vision != "none"),
        "pdf_input": _support(features.pdf_input),
        "server_tools": {
            "supported": bool(features.web_search or features.code_execution),
            "web_search": _support(features.web_search),
            "code_execution": _support(features.code_execution),
        },
        "structured_outputs": _support(features.structured_outputs),
        "thinking": {
            "supported": thinking.supported,
            "types": {
                "adaptive": _support(thinking.adaptive),
                "between_tools": _support(thinking.between_tools != "rejected"),
                "disabled": _support(thinking.disabled != "rejected"),
                "enabled": _support(thinking.enabled != "rejected"),
            },
        },
    }


def _support(supported: bool | None) -> dict[str, bool]:
    return {"supported": bool(supported)}


def _midnight(day: datetime.date) -> str:
    return f"{day.isoformat()}T00:00:00Z"
