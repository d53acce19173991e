"""Images as bytes, made without an image library: their heads are true, their pixels are noise or nothing."""

import base64
import random
import struct
import zlib


def png(width: int, height: int, filler: int = 0) -> bytes:
    """The beginning of a PNG and so many bytes of noise; nothing decodes it."""
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x02\0\0\0"
    return head + random.Random(filler).randbytes(filler)


def real_png(width: int, height: int, seed: int = 1) -> bytes:
    """A PNG that decodes: stripes of colour."""
    line = b"\0" + bytes((x * seed // 7) % 251 for x in range(3 * width))
    rows = b"".join(line[:1] + bytes([y % 256]) + line[2:] for y in range(height))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg(width: int, height: int, before: tuple[bytes, ...] = ()) -> bytes:
    """The head of a JPEG, with these segments (marker and payload) before its size."""
    segments = b"".join(
        b"\xff" + one[:1] + (struct.pack(">H", len(one) + 1) + one[1:] if len(one) > 1 else b"")
        for one in before
    )
    return b"\xff\xd8" + segments + b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + bytes(20)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + bytes(40)


def webp(width: int, height: int) -> bytes:
    sizes = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + sizes + bytes(20)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def image(data: bytes, media_type: str = "image/png") -> dict[str, object]:
    """An image block."""
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": b64(data)}}
