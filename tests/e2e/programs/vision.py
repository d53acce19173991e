"""Vision: a picture made here, as base64, alone and in a conversation; its tokens are counted."""

import base64
import struct
import zlib

from client import OPUS, SONNET, client, seen, tell


def png(width: int, height: int) -> str:
    """A red and blue chequerboard, written by hand."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = {
        parity: b"\0" + b"".join(b"\xff\0\0" if (x // 8 + parity) % 2 else b"\0\0\xff" for x in range(width))
        for parity in (0, 1)
    }
    pixels = b"".join(row[y // 8 % 2] for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(pixels))
        + chunk(b"IEND", b"")
    )
    return base64.b64encode(data).decode()


def picture(width: int, height: int) -> dict:
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": png(width, height)},
    }


def question(*blocks: dict) -> list[dict]:
    return [{"role": "user", "content": [*blocks, {"type": "text", "text": "What is in this picture?"}]}]


api = client()
answer = api.messages.create(model=SONNET, max_tokens=256, messages=question(picture(280, 280)))
dense = api.messages.create(model=OPUS, max_tokens=256, messages=question(picture(64, 64), picture(280, 280)))

without = api.messages.count_tokens(model=SONNET, messages=question())
small = api.messages.count_tokens(model=SONNET, messages=question(picture(280, 280)))
large = api.messages.count_tokens(model=SONNET, messages=question(picture(1092, 1092)))

tell(
    {
        "answer": seen(answer),
        "two": seen(dense),
        "tokens": {"without": without.input_tokens, "small": small.input_tokens, "large": large.input_tokens},
    }
)
