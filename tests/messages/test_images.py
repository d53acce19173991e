"""The size of an image is read off its first bytes, and whatever the bytes are, reading them breaks nothing."""

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pictures import b64, gif, jpeg, png, webp

from trimtab.messages.images import MAX_SEGMENTS, ImageHead, image_head

SIDES = st.integers(1, 16383)
APP1 = b"\xe1" + bytes(65_000)
MAKERS = {"image/png": png, "image/jpeg": jpeg, "image/gif": gif, "image/webp": webp}


@given(SIDES, SIDES, st.sampled_from(sorted(MAKERS)))
def test_each_of_the_four_formats_says_its_size(width: int, height: int, media_type: str) -> None:
    text = b64(MAKERS[media_type](width, height))
    assert image_head(text) == ImageHead(media_type, width, height)
    assert image_head(memoryview(text.encode())) == ImageHead(media_type, width, height)


def test_the_size_of_a_jpeg_stands_behind_any_amount_of_metadata() -> None:
    for count in (1, 2, 3, 40):
        assert image_head(b64(jpeg(640, 480, (APP1,) * count))) == ImageHead("image/jpeg", 640, 480)
    assert image_head(b64(jpeg(640, 480, (b"\xe0a",) * MAX_SEGMENTS))) is None


def test_a_marker_without_length_cannot_hide_the_true_size_behind_a_false_one() -> None:
    # Were its next two bytes a length, the size read would be the second one.
    data = b"\xff\xd8\xff\x01" + jpeg(4000, 3000)[2:] + bytes(500) + jpeg(1, 1)[2:]
    assert image_head(b64(data)) == ImageHead("image/jpeg", 4000, 3000)


def test_characters_that_are_no_base64_cannot_move_the_size_of_a_jpeg_elsewhere() -> None:
    text = b64(jpeg(4000, 3000, (APP1,)))
    assert image_head(text) is not None
    assert image_head(text[:400] + "\n\n\n\n" + text[404:]) is None


def test_only_the_head_is_decoded() -> None:
    text = b64(png(300, 200, 31)) + "A" * 4096 + "!" * 4096
    assert image_head(text) == ImageHead("image/png", 300, 200)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n" + bytes(40),
        png(0, 5),
        jpeg(0, 0),
        b"\xff\xd8" + b"\xff" * 4000,
        b"\xff\xd8\xff\xda\x00\x04ab" + jpeg(5, 5)[2:],
        b"\xff\xd8\xff\xe0\x00\x00" * 300,
        b"BM" + bytes(60),
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    ],
)
def test_what_says_no_size_has_none(data: bytes) -> None:
    assert image_head(b64(data)) is None


STARTS = [
    b"",
    jpeg(9, 9)[:4],
    jpeg(9, 9, (APP1[:50],)),
    png(9, 9),
    gif(9, 9),
    webp(9, 9),
    b"RIFF\0\0\0\0WEBPVP8 ",
]


@given(st.sampled_from(STARTS), st.integers(0, 60), st.binary(max_size=80))
def test_bytes_of_any_kind_are_sized_or_not_and_never_an_error(start: bytes, kept: int, rest: bytes) -> None:
    head = image_head(b64(start[:kept] + rest))
    assert head is None or (head.width > 0 and head.height > 0)


@given(st.text(max_size=90) | st.text("AQgw/=+\\", max_size=90))
@example("=" * 64)
@example("iVBORw0KGgo" * 10)
def test_text_that_is_no_base64_is_never_an_error(text: str) -> None:
    assert image_head(text) is None or base64.b64decode(text[:16])
