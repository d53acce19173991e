"""A key with permitted models or limited money reaches no model through another one's request."""

import json
from typing import Any

import pytest

from trimtab.engine.other_models import check_other_models
from trimtab.engine.tool_lists import ToolLists
from trimtab.errors import PermissionDenied
from trimtab.messages import MessagesBody
from trimtab.records import NOBODY, Caller, Limits

FALLBACKS = {"fallbacks": [{"model": "claude-opus-4-7", "max_tokens": 100_000}]}
ADVISOR = {"tools": [{"type": "advisor_20260301", "model": "claude-opus-4-7"}]}
LIMITED = (
    Caller(key="key_1", models=("claude-haiku-4-5-20251001",)),
    Caller(key="key_1", limits=Limits(total_nanousd=10**9)),
)


def body(**more: Any) -> bytes:
    return json.dumps({"model": "claude-haiku-4-5", "max_tokens": 10, "messages": [], **more}).encode()


@pytest.mark.parametrize("caller", LIMITED, ids=["models", "money"])
@pytest.mark.parametrize(
    "raw",
    [
        body(**FALLBACKS),
        body(**ADVISOR),
        body(**ADVISOR).replace(b"advisor_", b"\\u0061dvisor_"),
        body(**FALLBACKS).replace(b'"fallbacks"', b'"fall\\u0062acks"'),
    ],
    ids=["fallbacks", "advisor", "escaped advisor", "escaped fallbacks"],
)
def test_no_other_model_answers_for_a_key_that_may_not_use_it(raw: bytes, caller: Caller) -> None:
    with pytest.raises(PermissionDenied, match="names another model"):
        check_other_models(MessagesBody(raw), caller, ToolLists())


@pytest.mark.parametrize("caller", LIMITED, ids=["models", "money"])
@pytest.mark.parametrize(
    "raw",
    [
        body(),
        body(fallbacks=None),
        body(fallbacks=[]),
        body(tools=[{"name": "advise", "description": "an \u00e4dvisor_", "input_schema": {}}]),
    ],
)
def test_what_names_no_other_model_passes(raw: bytes, caller: Caller) -> None:
    check_other_models(MessagesBody(raw), caller, ToolLists())


def test_without_limits_the_platform_judges() -> None:
    for caller in (NOBODY, Caller(key="key_1", limits=Limits(concurrency=1))):
        check_other_models(MessagesBody(body(**FALLBACKS, **ADVISOR)), caller, ToolLists())
