"""What is reserved as input is never less than what the platform will bill, however the body is written."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import b64, gif, image, jpeg, png

from trimtab.catalogue import Catalogue
from trimtab.engine.bounds import MAX_IMAGE_TOKENS, MAX_TOOL_PROMPT_TOKENS, input_bound, input_size
from trimtab.messages import MessagesBody
from trimtab.messages.condensed import STEP

MODEL = Catalogue.load().find("claude-haiku-4-5")
assert MODEL is not None
CONTEXT = MODEL.limits.context
PIXELS = "iVBORw0KGgo" * 10
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXELS}}
DOCUMENT = {"type": "document", "title": "t", "source": {"type": "url", "url": "https://example.com/a.pdf"}}
FILE = {"type": "image", "source": {"type": "file", "file_id": "file_1"}}


def bound(raw: bytes) -> int:
    assert MODEL is not None
    return input_bound(MessagesBody(raw), MODEL)


def request(*blocks: object, **more: object) -> dict[str, object]:
    return {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": list(blocks)}], **more}


def bound_of(*blocks: object, **more: object) -> int:
    return bound(json.dumps(request(*blocks, **more)).encode())


def size_of(*blocks: object, **more: object) -> int:
    return len(json.dumps(request(*blocks, **more)).encode())


def text(size: int, letter: str = "a") -> dict[str, str]:
    return {"type": "text", "text": letter * size}


def in_result(*blocks: object) -> dict[str, object]:
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": list(blocks)}


def test_text_is_a_token_a_byte_and_tools_add_their_prompt() -> None:
    assert bound_of(text(1000)) == size_of(text(1000))
    assert bound_of(text(10), tools=[]) == size_of(text(10), tools=[]) + MAX_TOOL_PROMPT_TOKENS


def test_text_about_tools_reserves_nothing_for_them() -> None:
    assert bound_of(text(5), metadata={"tools": 1}) == size_of(text(5), metadata={"tools": 1})


def test_tools_that_are_spelt_with_escapes_are_tools() -> None:
    for name in (b"\\u0074ools", b"t\\u006fols"):
        assert bound(b'{"model":"m","max_tokens":1,"messages":[],"%b":[]}' % name) >= MAX_TOOL_PROMPT_TOKENS


@pytest.mark.parametrize("blocks", [[IMAGE], [in_result(IMAGE)], [text(9), in_result(text(3), IMAGE), IMAGE]])
def test_each_image_is_reserved_for_wherever_it_stands(blocks: list[object]) -> None:
    images = json.dumps(blocks).count('"source"')
    assert bound_of(*blocks) == size_of(*blocks) + images * MAX_IMAGE_TOKENS


@pytest.mark.parametrize("block", [DOCUMENT, FILE, in_result(DOCUMENT), in_result(text(3), FILE)])
def test_a_document_or_file_is_a_full_context(block: object) -> None:
    assert bound_of(text(3), block) == CONTEXT


@pytest.mark.parametrize("word", ["image", "source", "type", "document"])
@pytest.mark.parametrize("at", [0, 2])
def test_a_word_that_is_spelt_with_an_escape_hides_nothing(word: str, at: int) -> None:
    spelt = f"{word[:at]}\\u{ord(word[at]):04x}{word[at + 1 :]}"
    raw = json.dumps(request(IMAGE, DOCUMENT)).replace(f'"{word}"', f'"{spelt}"').encode()
    assert spelt.encode() in raw
    assert bound(raw) == CONTEXT


def test_an_image_whose_size_is_known_is_reserved_for_exactly_and_its_base64_is_no_text() -> None:
    for data, tokens in ((png(1366, 768, 90_000), 1372), (png(1, 1, 9_000), 1), (jpeg(1920, 1080), 1560)):
        block = image(data)
        assert bound_of(block, in_result(block)) == size_of(block, in_result(block)) + 2 * (
            tokens - len(b64(data))
        )
    moving = image(gif(30, 30))
    assert bound_of(moving) == size_of(moving) - len(b64(gif(30, 30))) + MAX_IMAGE_TOKENS


def test_the_tokens_of_images_are_known_before_anything_is_sent() -> None:
    haiku, opus = MODEL, Catalogue.load().find("claude-opus-4-7")
    assert haiku is not None
    assert opus is not None
    asked = MessagesBody(
        json.dumps(request(image(png(3840, 2160, 500)), in_result(image(jpeg(200, 200))), IMAGE)).encode()
    )
    assert input_size(asked, haiku).note() == "images: 3, 1624 tokens, and 1 of unknown size"
    assert input_size(asked, opus).note() == "images: 3, 4848 tokens, and 1 of unknown size"


def test_what_looks_like_an_image_in_a_tools_input_is_text_and_reserved_as_such() -> None:
    call = {"type": "tool_use", "id": "t", "name": "n", "input": {"content": [image(png(1, 1, 50_000))]}}
    assert bound_of(call) >= size_of(call)
    assert bound_of(image(png(1, 1)), call) >= size_of(call)


def test_letters_beyond_ascii_may_be_escaped() -> None:
    assert bound_of(text(1000, "é")) == size_of(text(1000, "é"))


@pytest.mark.parametrize("gap", [*range(STEP - 260, STEP + 20), 5 * STEP])
@pytest.mark.parametrize("hidden", [b'"image","source"', b'"\\u0069mage","source"'])
def test_a_sign_across_the_edge_of_a_step_is_seen(gap: int, hidden: bytes) -> None:
    plain = b'{"model":"m","max_tokens":1,"messages":["%b",%b,"%b"]}' % (b"a" * gap, hidden, b"b" * 3 * STEP)
    assert bound(plain) == (CONTEXT if b"\\" in hidden else len(plain) + MAX_IMAGE_TOKENS)


@pytest.mark.parametrize("gap", [*range(STEP - 60, STEP + 20), 2 * STEP + 500])
def test_an_escape_far_from_any_quote_is_seen(gap: int) -> None:
    raw = b'{"model":"m","max_tokens":1,"messages":["%b\\u0069%b"]}' % (b"a" * gap, b"b" * 3 * STEP)
    assert bound(raw) == CONTEXT


def test_images_more_than_fit_are_a_full_context() -> None:
    assert bound_of(*[IMAGE] * (CONTEXT // MAX_IMAGE_TOKENS + 1)) == CONTEXT


def _as_it_was(raw: bytes) -> int:
    """The bound as it was first written down: plain searches of the whole body."""
    if b"\\u006" in raw or b"\\u007" in raw:
        return CONTEXT
    most = len(raw)
    if b'"source"' in raw:
        if b'"document"' in raw or b'"file"' in raw:
            return CONTEXT
        most += MAX_IMAGE_TOKENS * raw.count(b'"image"')
    if "tools" in json.loads(raw):
        most += MAX_TOOL_PROMPT_TOKENS
    return min(CONTEXT, most)


LONG = st.builds(
    text, st.sampled_from([10, STEP - 20, STEP, 2 * STEP + 5]), st.sampled_from(["a", '"', "\\", "é"])
)
BLOCK = st.recursive(
    LONG
    | st.sampled_from([IMAGE, FILE, DOCUMENT, IMAGE, IMAGE])
    | st.builds(lambda word: {"x": word}, st.text()),
    lambda inner: st.lists(inner, max_size=3).map(lambda blocks: in_result(*blocks)),
    max_leaves=4,
)


def _billed(value: Any) -> tuple[int, bool]:
    """How many images stand in there, and whether anything does that has no bound."""
    images, unbounded = 0, False
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if isinstance(value, dict) and isinstance(source := value.get("source"), dict):
        unbounded = value.get("type") == "document" or source.get("type") == "file"
        images = int(value.get("type") == "image")
    for part in inner:
        more, open_ended = _billed(part)
        images, unbounded = images + more, unbounded or open_ended
    return images, unbounded


@given(
    st.lists(BLOCK, max_size=4),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (",\n\t", " :\r\n")]),
    st.sampled_from([None, "image", "source", "document", "file", "type"]),
    st.dictionaries(st.sampled_from(["tools", "system"]), st.just([])),
)
def test_the_bound_is_never_less_than_what_is_billed(
    blocks: list[object],
    ascii_only: bool,
    separators: tuple[str, str],
    escaped: str | None,
    more: dict[str, object],
) -> None:
    written = json.dumps(request(*blocks, **more), ensure_ascii=ascii_only, separators=separators)
    if escaped is not None:
        written = written.replace(f'"{escaped}"', f'"\\u{ord(escaped[0]):04x}{escaped[1:]}"')
    raw = written.encode()
    images, unbounded = _billed(json.loads(raw))
    least = len(raw) + images * MAX_IMAGE_TOKENS + (MAX_TOOL_PROMPT_TOKENS if "tools" in more else 0)
    assert bound(raw) >= (CONTEXT if unbounded else min(CONTEXT, least))
    assert bound(raw) == _as_it_was(raw)
