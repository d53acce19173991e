"""What requests of cases are filled with: long texts, a picture, a document, and turns of the answers before.

What it is not: anything that was fetched or copied; all of it is made here. Invariant: the same arguments give the same
bytes, so that both platforms get the same request, but for what one of them said itself.

A material stands where a value may stand, as an object with one key:

    {"$words": 4000}    that many words of text, different for each platform and run, so that nothing is in a cache
    {"$image": "red"}   a picture of one colour in base64 (red, green or blue)
    {"$pdf": "text"}    a document with this line of text, in base64
    {"$turn": 1}        the assistant's turn that answered step 1, as it came
    {"$call": 1}        the id of the first tool call in that turn
"""

import base64
import struct
import zlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

SIDE = 64
"""Pixels: the least that vendors' checks of pictures surely take, and 9 tokens."""

_COLOURS = {"red": b"\xd0\x20\x20", "green": b"\x20\xa0\x40", "blue": b"\x20\x40\xd0"}

_WORDS = (
    *(
        "harbour",
        "lantern",
        "meadow",
        "copper",
        "winter",
        "violin",
        "garden",
        "engine",
        "silver",
        "window",
        "marble",
    ),
    *("forest", "pencil", "bridge", "thunder", "orchard", "compass", "velvet", "ladder", "island", "granite"),
    *("feather", "kettle", "mirror", "saddle", "canyon"),
)


class NotPossible(Exception):
    """The answers before do not hold what the request is to be made of; the text says what."""


def filled(value: Any, turns: Sequence[dict[str, Any] | None], salt: str) -> Any:
    """A request with its materials. `turns` are the answers to the steps before; `salt` makes long texts differ.

    Raises `NotPossible`.
    """
    if isinstance(value, dict):
        if len(value) == 1:
            [(name, option)] = value.items()
            if name in _MATERIALS:
                return _MATERIALS[name](option, turns, salt)
        return {name: filled(one, turns, salt) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, turns, salt) for one in value]
    return float(value) if isinstance(value, Decimal) else value


def _words(count: Any, turns: Sequence[dict[str, Any] | None], salt: str) -> str:
    """Begins with the salt, then goes through the words in steps that change, so that no stretch is like another."""
    size = len(_WORDS)
    words = [_WORDS[(i * (1 + i // size % 7) + i // (size * 7)) % size] for i in range(int(count))]
    return " ".join((f"Notes {salt}.", *words))


def _image(colour: Any, turns: Sequence[dict[str, Any] | None], salt: str) -> str:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + _COLOURS[colour] * SIDE
    parts = (
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)),
        chunk(b"IDAT", zlib.compress(row * SIDE, 9)),
        chunk(b"IEND", b""),
    )
    return base64.b64encode(b"".join(parts)).decode()


def _pdf(text: Any, turns: Sequence[dict[str, Any] | None], salt: str) -> str:
    """One page with one line. Source: ISO 32000-1, annex H.3 (the least that a file holds)."""
    line = str(text).replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)").encode("ascii")
    drawn = b"BT /F1 18 Tf 72 720 Td (%b) Tj ET" % line
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(drawn), drawn),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, held in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, held)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return base64.b64encode(bytes(out)).decode()


def _turn(step: Any, turns: Sequence[dict[str, Any] | None], salt: str) -> dict[str, Any]:
    message = turns[int(step) - 1] if 0 < int(step) <= len(turns) else None
    content = message.get("content") if message is not None else None
    if not isinstance(content, list) or not content:
        raise NotPossible(f"step {step} gave no content to go on from")
    return {"role": "assistant", "content": content}


def _call(step: Any, turns: Sequence[dict[str, Any] | None], salt: str) -> str:
    for block in _turn(step, turns, salt)["content"]:
        if isinstance(block, dict) and block.get("type") == "tool_use":
            return str(block.get("id"))
    raise NotPossible(f"step {step} called no tool")


_MATERIALS = {"$words": _words, "$image": _image, "$pdf": _pdf, "$turn": _turn, "$call": _call}
