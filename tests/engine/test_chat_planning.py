"""What a chat request can cost at the most, and what a key with limited money may not ask for."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import b64, gif, png

from trimtab.catalogue import Catalogue, image_tokens
from trimtab.engine.bounds import MAX_IMAGE_TOKENS
from trimtab.engine.chat import check_bounded
from trimtab.engine.chat_bounds import chat_input_bound, chat_input_size, size_note
from trimtab.errors import PermissionDenied
from trimtab.messages.chat import ChatBody
from trimtab.records import NOBODY, Limits

FOUND, HIGH = map(Catalogue.load().find, ("claude-haiku-4-5", "claude-opus-4-7"))
assert FOUND is not None
assert HIGH is not None
OPUS = HIGH
MODEL = msgspec.structs.replace(FOUND, vision="none")
"""As an open model of an operator: nothing says how its images are counted."""
CONTEXT = MODEL.limits.context
LIMITED = msgspec.structs.replace(NOBODY, key="k", limits=Limits(total_nanousd=1_000_000))


def body(content: Any = "Hi", **fields: Any) -> ChatBody:
    return ChatBody(
        json.dumps({"model": "m", "messages": [{"role": "user", "content": content}], **fields}).encode()
    )


def picture(data: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + b64(data)}}


BY_URL = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}


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


@pytest.mark.parametrize("text", ["hi", "é" * 40_000])
def test_images_whose_size_is_known_are_held_for_exactly_as_on_messages(text: str) -> None:
    shots = [picture(png(1920, 1080, 300_000)), picture(png(3840, 2160, 60_000))]
    written = {"type": "text", "text": text}
    plain = chat_input_size(body([written]), OPUS)
    with_images = chat_input_size(body([written, *shots]), OPUS)
    known = image_tokens(1920, 1080, OPUS.vision) + image_tokens(3840, 2160, OPUS.vision)
    assert (with_images.images, with_images.image_tokens, with_images.unknown) == (2, known, 0)
    assert 0 <= with_images.bound - plain.bound - known < 200, "the words around them"
    assert with_images.note() == "images: 2, 7475 tokens"
    with_url = chat_input_size(body([written, *shots, BY_URL]), OPUS)
    assert (with_url.images, with_url.image_tokens, with_url.unknown) == (3, known, 1)
    assert with_url.bound >= with_images.bound + MAX_IMAGE_TOKENS


def test_images_that_are_not_understood_are_never_held_for_less() -> None:
    shot = picture(png(1920, 1080, 9_000))
    twice = ChatBody(body([shot]).raw.replace(b'"url"', b'"url": "https://x", "url"'))
    untyped = body([{"image_url": shot["image_url"]}])
    named = body(
        "hi", tools=[{"type": "function", "function": {"parameters": {"properties": {"image_url": {}}}}}]
    )
    for asked in (twice, untyped, named):
        assert MAX_IMAGE_TOKENS <= chat_input_bound(asked, OPUS) <= OPUS.limits.context
    animated = body([picture(gif(10, 10))])
    assert chat_input_bound(animated, OPUS) > MAX_IMAGE_TOKENS


def test_what_images_of_another_model_cost_is_said_to_be_unknown() -> None:
    asked = body([picture(png(640, 480)), BY_URL])
    size = chat_input_size(asked, MODEL)
    assert (size.bound, size.images, size.image_tokens) == (CONTEXT, 2, 0)
    assert size_note(size, MODEL) == (
        f"images: 2; what they cost on {MODEL.id} is not in the catalogue: held for its whole context"
    )


@pytest.mark.parametrize(
    "asked",
    [
        body([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]),
        body([{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]),
        body([{"type": "file", "file": {"file_id": "f"}}]),
        body([{"type": "video_url", "video_url": {"url": "u"}}]),
        body(chat_template="{% for i in range(9) %}x{% endfor %}"),
        ChatBody(b'{"model":"m","messages":[{"content":[{"type":"image\\u005furl"}]}]}'),
        body([picture(png(640, 480))]),
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
