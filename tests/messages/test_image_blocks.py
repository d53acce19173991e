"""The images of a body are found where a platform finds them, with the very bytes that hold them, and nowhere else."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pictures import b64, image, jpeg, png, webp

from trimtab.messages.condensed import STEP, Condensed
from trimtab.messages.image_blocks import ImageBlock, image_blocks
from trimtab.messages.images import ImageHead

SMALL, LARGE, VAST = png(64, 32), png(1920, 1080, 40_000), png(3840, 2160, 400_000)
BY_URL = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}


def body(*turns: object, **more: object) -> bytes:
    messages = [{"role": "user", "content": turn} for turn in turns]
    return json.dumps({"model": "m", "max_tokens": 1, "messages": messages, **more}).encode()


def result(*blocks: object, call: str = "toolu_1") -> dict[str, object]:
    return {"type": "tool_result", "tool_use_id": call, "content": list(blocks)}


def document(*blocks: object) -> dict[str, object]:
    return {"type": "document", "source": {"type": "content", "content": list(blocks)}}


def shown(found: tuple[ImageBlock, ...]) -> list[tuple[str, int]]:
    return [(block.path, block.head.width if block.head else 0) for block in found]


def test_images_are_found_in_messages_results_and_documents_with_their_places() -> None:
    raw = body(
        [{"type": "text", "text": "a"}, image(SMALL)],
        "text",
        [result({"type": "text", "text": "b"}, image(LARGE), call="toolu_9"), BY_URL],
        [document(image(VAST)), result(document(image(SMALL)))],
    )
    found = image_blocks(raw)
    assert shown(found) == [
        ("messages.0.content.1", 64),
        ("messages.2.content.0.content.1", 1920),
        ("messages.2.content.1", 0),
        ("messages.3.content.0.source.content.0", 3840),
        ("messages.3.content.1.content.0.source.content.0", 64),
    ]
    assert [block.source for block in found] == ["base64", "base64", "url", "base64", "base64"]
    assert [block.result_of for block in found] == ["", "toolu_9", "", "", "toolu_1"]
    for block, data in zip(found, (SMALL, LARGE, None, VAST, SMALL), strict=True):
        if data is not None:
            assert raw[slice(*block.data)] == b64(data).encode()
            assert raw[slice(*block.media_type)] == b'"image/png"'


def test_the_type_that_the_client_writes_is_not_believed() -> None:
    (found,) = image_blocks(body([image(webp(70, 80), "image/png")]))
    assert found.head == ImageHead("image/webp", 70, 80)


def test_what_only_looks_like_an_image_is_text() -> None:
    call = {"type": "tool_use", "id": "t", "name": "n", "input": {"content": [image(SMALL)]}}
    schema = {"name": "n", "input_schema": {"content": [image(SMALL)]}}
    assert (
        image_blocks(body([call], [{"type": "text", "text": json.dumps(image(SMALL))}], tools=[schema])) == ()
    )


def test_an_object_with_a_key_twice_is_not_read() -> None:
    raw = body([image(SMALL)])
    for cut in (b'"data"', b'"source"', b'"content"'):
        name = cut.strip(b'"').decode()
        twice = raw.replace(cut, b'"%b": "AAAA", %b' % (name.encode(), cut), 1)
        json.loads(twice)
        assert image_blocks(twice) == ()


def test_base64_that_is_written_with_escapes_is_read() -> None:
    data = jpeg(640, 480, (b"\xe1" + b"\xff" * 300,))
    raw = body([image(data, "image/jpeg")]).replace(b"/", b"\\/")
    (found,) = image_blocks(raw)
    assert found.escaped
    assert found.head == ImageHead("image/jpeg", 640, 480)
    assert found.base64(raw) == b64(data).encode()


ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.just(image(SMALL)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "source", "content", "data", "messages"]), inner, max_size=3
        )
        | st.builds(lambda value: {"type": "image", "source": value}, inner)
        | st.builds(lambda value: {"type": "tool_result", "content": value}, inner)
    ),
    max_leaves=6,
)


@given(ODD)
def test_bodies_of_any_shape_break_nothing(value: Any) -> None:
    for raw in (
        json.dumps({"messages": value}),
        json.dumps({"messages": [{"content": value}]}),
        json.dumps(value),
    ):
        for block in image_blocks(raw.encode()):
            assert block.head is None or raw[slice(*block.data)] == b64(SMALL)


def test_nesting_without_end_breaks_nothing() -> None:
    deep: object = [image(SMALL)]
    for _ in range(60):
        deep = [{"type": "tool_result", "content": deep}]
    assert image_blocks(body(deep)) == ()


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 5, STEP - 1, STEP, 2 * STEP, 3 * STEP + 7]), st.text(max_size=3)),
        max_size=5,
    ),
    st.sampled_from("aé日"),
)
def test_a_condensed_body_has_the_same_members_and_knows_where_they_stand(
    pieces: list[tuple[int, str]], letter: str
) -> None:
    raw = json.dumps([[letter * size, text] for size, text in pieces], ensure_ascii=False).encode()
    condensed = Condensed(raw)
    assert [row[1] for row in json.loads(condensed.text)] == [text for _, text in pieces]
    for at, byte in list(enumerate(condensed.text))[::61]:
        assert raw[condensed.place(at)] == byte
    assert condensed.text.count(b'"') == raw.count(b'"')
