"""Reads type and size off the first bytes of an image. It decodes no pixels.

Source: PNG (ISO/IEC 15948) IHDR; GIF89a logical screen; JPEG (ITU-T T.81) SOFn markers; WebP container
specification, VP8, VP8L and VP8X chunks.
"""

import base64
import binascii

import msgspec

_HEAD_CHARS = 4 * 16 * 1024
"""Base64 characters decoded: 48 KB holds every header here, JPEG metadata included in practice."""

_SOF = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})


class ImageHead(msgspec.Struct, frozen=True):
    """Media type and size in pixels."""

    media_type: str
    width: int
    height: int


def image_head(data_base64: str) -> ImageHead | None:
    """Type and size of a base64 image, or `None` when it is none of the four types the vendor takes."""
    try:
        head = base64.b64decode(data_base64[:_HEAD_CHARS], validate=True)
    except (binascii.Error, ValueError):
        return None
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        return _sized("image/png", _be(head, 16, 4), _be(head, 20, 4))
    if head[:6] in (b"GIF87a", b"GIF89a") and len(head) >= 10:
        return _sized("image/gif", _le(head, 6, 2), _le(head, 8, 2))
    if head.startswith(b"\xff\xd8"):
        return _jpeg(head)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP" and len(head) >= 30:
        return _webp(head)
    return None


def _sized(media_type: str, width: int, height: int) -> ImageHead | None:
    return ImageHead(media_type, width, height) if width and height else None


def _be(data: bytes, at: int, count: int) -> int:
    return int.from_bytes(data[at : at + count], "big")


def _le(data: bytes, at: int, count: int) -> int:
    return int.from_bytes(data[at : at + count], "little")


def _jpeg(head: bytes) -> ImageHead | None:
    at = 2
    while at + 9 <= len(head):
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _SOF:
            return _sized("image/jpeg", _be(head, at + 7, 2), _be(head, at + 5, 2))
        else:
            at += 2 + _be(head, at + 2, 2)
    return None


def _webp(head: bytes) -> ImageHead | None:
    kind = head[12:16]
    if kind == b"VP8X":
        return _sized("image/webp", _le(head, 24, 3) + 1, _le(head, 27, 3) + 1)
    if kind == b"VP8 ":
        return _sized("image/webp", _le(head, 26, 2) & 0x3FFF, _le(head, 28, 2) & 0x3FFF)
    if kind == b"VP8L":
        bits = _le(head, 21, 4)
        return _sized("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    return None
