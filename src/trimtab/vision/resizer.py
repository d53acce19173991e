"""Resizes images, in a process of its own: reads requests from standard input, writes answers to standard output.

Run by path, it imports nothing of Trimtab: it holds no key, opens no connection and may write no file, so that bytes
that break the decoder break nothing else. Invariant: the answer depends on the request alone.

A request: two lengths (4 bytes each, big-endian), JSON {"width", "height", "most"}, the image in base64. An answer: the
same with JSON {"media_type", "width", "height"}, or {"error"}.
"""

import base64
import io
import json
import resource
import struct
import sys
from typing import Any, BinaryIO

from PIL import ExifTags, Image

LENGTHS = struct.Struct(">II")

MAX_PIXELS = 64_000_000
"""8000 x 8000, the largest that the vendor takes; as colours with transparency 256 MB."""

MAX_MEMORY_BYTES = 2 * 1024**3
"""Address space: the largest image, decoded, with its copies."""

JPEG: dict[str, Any] = {"quality": 90, "subsampling": 0}
"""Full colour resolution: coloured text in screenshots stays sharp."""
PNG: dict[str, Any] = {"compress_level": 3}
"""Measured on a screenshot of 2576 x 1449: 5 % more bytes than level 6 at half the time (0.4 s)."""
WEBP: dict[str, Any] = {"quality": 90, "method": 4}
SMALLER: tuple[int, ...] = (90, 75)
"""Qualities of WebP that are tried where the bytes are too many."""
MAX_PROFILE_BYTES = 64 * 1024

STEP = 0.8
STEPS = 8
"""Where no quality is enough, each side becomes so much smaller, so often at most."""


class Refused(Exception):
    """An image that is left as it is, and why."""


def resized(text: bytes, width: int, height: int, most: int) -> tuple[str, int, int, bytes]:
    """Media type, size and base64 of the image in this size, its base64 at most `most` long. Raises `Refused`."""
    data = base64.b64decode(text)
    try:
        image = _opened(data)
        kind, made, extras = _shaped(image, data)
        small = _scaled(made, width, height)
    except Refused:
        raise
    except MemoryError:
        raise Refused("it takes too much memory") from None
    except Exception as problem:  # whatever a decoder raises for bytes that it cannot read
        raise Refused(f"it cannot be decoded ({type(problem).__name__})") from None
    coded = _coded(small, kind, extras)
    if len(coded) <= most:
        return f"image/{kind.lower()}", width, height, coded
    extras.pop("lossless", None)
    for step in range(STEPS):
        for quality in SMALLER:
            coded = _encoded(small, "WEBP", {**WEBP, "quality": quality, **extras})
            if len(coded) <= most:
                return "image/webp", *small.size, coded
        factor = STEP ** (step + 1)
        small = _scaled(made, max(round(width * factor), 1), max(round(height * factor), 1))
    raise Refused(f"its base64 would have more than {most} bytes")


def _opened(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "GIF", "WEBP"))
    except Image.DecompressionBombError:
        raise Refused(f"it has more than {MAX_PIXELS} pixels") from None
    if image.width * image.height > MAX_PIXELS:
        raise Refused(f"it has {image.width}x{image.height} pixels, more than {MAX_PIXELS}")
    return image


def _shaped(image: Image.Image, data: bytes) -> tuple[str, Image.Image, dict[str, Any]]:
    """The format that it gets, its first picture in a mode that can be resized, and what is kept beside the pixels.

    An orientation stays in the head, so that whoever turns the picture by it still does. Everything else that says
    where, when and with what a picture was taken goes.
    """
    kind = {"GIF": "PNG", "MPO": "JPEG"}.get(image.format or "", image.format or "")
    extras: dict[str, Any] = {}
    if kind == "WEBP" and data[12:16] == b"VP8L":
        extras["lossless"] = True
    orientation = image.getexif().get(ExifTags.Base.Orientation)
    if orientation in range(2, 9):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        extras["exif"] = exif.tobytes()
    profile = image.info.get("icc_profile")
    image.seek(0)
    image.load()
    if image.mode in ("1", "L", "LA", "RGB", "RGBA"):
        made = image.convert("L") if image.mode == "1" else image
    elif image.mode.startswith("I;16"):
        made = image.convert("I").point(lambda value: value / 256).convert("L")
    else:
        made = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if profile and len(profile) <= MAX_PROFILE_BYTES and image.mode in ("RGB", "RGBA", "P"):
        extras["icc_profile"] = profile
    return kind, made, extras


def _scaled(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def _coded(image: Image.Image, kind: str, extras: dict[str, Any]) -> bytes:
    if kind == "JPEG":
        plain = image if image.mode in ("L", "RGB") else image.convert("RGB")
        return _encoded(plain, kind, {**JPEG, **extras})
    return _encoded(image, kind, {**(WEBP if kind == "WEBP" else PNG), **extras})


def _encoded(image: Image.Image, kind: str, how: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    if kind == "WEBP" and image.mode in ("L", "LA"):
        image = image.convert("RGBA" if image.mode == "LA" else "RGB")
    image.info = {}  # of which encoders take what is not asked for
    image.save(out, kind, **how)
    return base64.b64encode(out.getvalue())


def answer(request: dict[str, int], text: bytes) -> tuple[dict[str, object], bytes]:
    """What goes back for one request."""
    try:
        media_type, width, height, made = resized(text, request["width"], request["height"], request["most"])
    except Refused as refused:
        return {"error": str(refused)}, b""
    except Exception as problem:  # an encoder's, or of base64 that is none
        return {"error": f"it cannot be made smaller ({type(problem).__name__})"}, b""
    return {"media_type": media_type, "width": width, "height": height}, made


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    while head := requests.read(LENGTHS.size):
        said, size = LENGTHS.unpack(head)
        request = json.loads(requests.read(said))
        told, made = answer(request, requests.read(size))
        words = json.dumps(told).encode()
        answers.write(LENGTHS.pack(len(words), len(made)) + words + made)
        answers.flush()


def main() -> None:
    """Serve on the standard streams, with bounds on what this process can do."""
    for what, most in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    Image.MAX_IMAGE_PIXELS = None  # the bound is our own
    Image.preinit()
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
