"""The images of a chat body are found where a server finds them, with the very bytes that hold them, and nowhere else."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from pictures import b64, jpeg, png, webp

from trimtab.messages.chat import chat_image_blocks
from trimtab.messages.condensed import STEP, Condensed
from trimtab.messages.image_blocks import ImageBlock
from trimtab.messages.images import ImageHead

SMALL, LARGE, VAST = png(64, 32), png(1920, 1080, 40_000), png(3840, 2160, 400_000)
BY_URL = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def picture(data: bytes, kind: str = "data:image/png;base64,", **more: object) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": kind + b64(data), **more}}


def body(*turns: object, **more: object) -> bytes:
    return json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": turn} for turn in turns], **more}
    ).encode()


def shown(found: tuple[ImageBlock, ...]) -> list[tuple[str, str, int]]:
    return [(block.path, block.source, block.head.width if block.head else 0) for block in found]


def test_images_are_found_with_their_places_their_bytes_and_their_types() -> None:
    raw = body(
        [{"type": "text", "text": "é"}, picture(LARGE, detail="high")],
        "text",
        [BY_URL, {"type": "image_url", "image_url": "data:image/png;base64," + b64(VAST)}],
        [{"detail": "low", **picture(SMALL, "DATA:image/png;x=1;BASE64,")}],
    )
    found = chat_image_blocks(raw)
    assert shown(found) == [
        ("messages.0.content.1", "base64", 1920),
        ("messages.2.content.0", "url", 0),
        ("messages.2.content.1", "base64", 3840),
        ("messages.3.content.0", "base64", 64),
    ]
    for block, data in zip(found, (LARGE, None, VAST, SMALL), strict=True):
        if data is not None:
            assert raw[slice(*block.data)] == b64(data).encode()
            assert raw[slice(*block.media_type)] == block.written("image/png") == b"image/png"


def test_slashes_that_are_written_with_escapes_are_read() -> None:
    data = jpeg(640, 480, (b"\xe1" + b"\xff" * 300,))
    raw = body([picture(data, "data:image/jpeg;base64,")]).replace(b"/", b"\\/")
    (found,) = chat_image_blocks(raw)
    assert found.head == ImageHead("image/jpeg", 640, 480)
    assert found.base64(raw) == b64(data).encode()


def test_the_type_that_the_client_writes_is_not_believed() -> None:
    (found,) = chat_image_blocks(body([picture(webp(70, 80))]))
    assert found.head == ImageHead("image/webp", 70, 80)


def test_what_says_nothing_of_its_size_has_none() -> None:
    urls = [
        "data:image/svg+xml,%3Csvg%3E",
        "data:;base64,AAAA",
        "data:image/png;base64",
        "",
        "file:///a.png",
        "data:" + "x" * 300 + ";base64,AA==",
    ]
    found = chat_image_blocks(body([{"type": "image_url", "image_url": {"url": url}} for url in urls]))
    assert len(found) == len(urls)
    assert all(block.head is None for block in found)
    assert chat_image_blocks(body([{"type": "image_url", "image_url": 7}]))[0].head is None


def test_what_only_looks_like_an_image_is_text() -> None:
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": json.dumps(picture(SMALL))}}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"content": [picture(SMALL)]}}}
    raw = body(
        json.dumps([picture(SMALL)]),
        [{"type": "text", "text": json.dumps(picture(SMALL))}],
        tools=[tool],
        tool_calls=[call],
    )
    assert chat_image_blocks(raw) == ()


def test_an_object_with_a_key_twice_is_not_read() -> None:
    raw = body([picture(SMALL)])
    for cut in (b'"url"', b'"image_url":', b'"content"'):
        name = cut.strip(b'":')
        twice = raw.replace(cut, b'"%b": "data:image/png;base64,AAAA", %b' % (name, cut), 1)
        json.loads(twice)
        assert chat_image_blocks(twice) == ()


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=4),
    st.integers(0, STEP + 40),
    st.booleans(),
    st.booleans(),
)
@example([3, 3], STEP - 8, True, True)
def test_images_of_every_length_are_found_wherever_they_begin(
    which: list[int], before: int, escaped: bool, spaced: bool
) -> None:
    datas = [[SMALL, LARGE, VAST, png(9, 9, 3 * STEP + before)][one] for one in which]
    raw = json.dumps(
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "x" * before}, *map(picture, datas)]}
            ],
        },
        indent=2 if spaced else None,
    ).encode()
    raw = raw.replace(b"/", b"\\/") if escaped else raw
    found = chat_image_blocks(raw, Condensed(raw))
    assert [block.base64(raw) for block in found] == [b64(data).encode() for data in datas]
    assert [block.head and block.head.width for block in found] == [
        int.from_bytes(data[16:20], "big") for data in datas
    ]


ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.just(picture(SMALL)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "image_url", "url", "content", "messages"]), inner, max_size=3
        )
        | st.builds(lambda value: {"type": "image_url", "image_url": value}, inner)
        | st.builds(lambda value: {"type": "image_url", "image_url": {"url": value}}, inner)
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
        for block in chat_image_blocks(raw.encode()):
            assert block.head is None or raw.encode()[slice(*block.data)] == b64(SMALL).encode()


@given(st.text(max_size=40), st.binary(max_size=60))
def test_urls_of_any_kind_break_nothing(url: str, data: bytes) -> None:
    for text in (url, "data:" + url, "data:" + url + ";base64," + b64(data)):
        raw = body([{"type": "image_url", "image_url": {"url": text}}])
        (found,) = chat_image_blocks(raw)
        if found.source == "base64":
            assert json.loads(b'"' + raw[slice(*found.data)] + b'"') in text
