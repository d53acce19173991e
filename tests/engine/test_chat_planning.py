"""What a chat request can cost at the most, and what a key with limited money may not ask for."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import Catalogue
from trimtab.engine.chat import chat_input_bound, check_bounded
from trimtab.errors import PermissionDenied
from trimtab.messages.chat import ChatBody
from trimtab.records import NOBODY, Limits

FOUND = Catalogue.load().find("claude-haiku-4-5")
assert FOUND is not None
MODEL = FOUND
CONTEXT = MODEL.limits.context
LIMITED = msgspec.structs.replace(NOBODY, key="k", limits=Limits(total_nanousd=1_000_000))


def body(content: Any = "Hi", **fields: Any) -> ChatBody:
    return ChatBody(
        json.dumps({"model": "m", "messages": [{"role": "user", "content": content}], **fields}).encode()
    )


@given(st.text(max_size=300))
def test_a_text_is_bounded_by_its_bytes(text: str) -> None:
    raw = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}, ensure_ascii=False)
    try:
        asked = ChatBody(raw.encode())
    except UnicodeEncodeError:
        return
    assert chat_input_bound(asked, MODEL) >= len(text.encode())


def test_tools_have_a_prompt_of_their_own() -> None:
    assert chat_input_bound(body(tools=[]), MODEL) >= chat_input_bound(body(), MODEL) + 5000


@pytest.mark.parametrize(
    "asked",
    [
        body([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]),
        body([{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]),
        body([{"type": "file", "file": {"file_id": "f"}}]),
        body([{"type": "video_url", "video_url": {"url": "u"}}]),
        body(chat_template="{% for i in range(9) %}x{% endfor %}"),
        ChatBody(b'{"model":"m","messages":[{"content":[{"type":"image\\u005furl"}]}]}'),
        body("x" * (CONTEXT + 1)),
    ],
)
def test_what_bytes_do_not_bound_counts_as_a_full_context(asked: ChatBody) -> None:
    assert chat_input_bound(asked, MODEL) == CONTEXT


@pytest.mark.parametrize(
    "fields",
    [
        {"web_search_options": {"search_context_size": "low"}},
        {"audio": {"voice": "a"}},
        {"prediction": {"type": "content", "content": "x"}},
        {"best_of": 5},
        {"use_beam_search": True},
        {"plugins": [{"id": "web"}]},
        {"models": ["dearer"]},
        {"service_tier": "priority"},
        {"service_tier": "auto"},
    ],
)
def test_a_key_with_limited_money_gets_nothing_that_tokens_do_not_bound(fields: dict[str, Any]) -> None:
    with pytest.raises(PermissionDenied, match=next(iter(fields))):
        check_bounded(body(**fields), LIMITED)
    check_bounded(body(**fields), NOBODY)
    overshooting = msgspec.structs.replace(LIMITED.limits, may_overshoot=True)
    check_bounded(body(**fields), msgspec.structs.replace(LIMITED, limits=overshooting))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"web_search_options": None},
        {"use_beam_search": False},
        {"service_tier": "flex"},
        {"service_tier": None},
    ],
)
def test_a_key_with_limited_money_may_ask_for_the_rest(fields: dict[str, Any]) -> None:
    check_bounded(body(**fields), LIMITED)
