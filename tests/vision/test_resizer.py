"""Whatever image goes into the resizing process, the same small image comes out each time, or a reason why not."""

import base64
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import b64, gif, jpeg, png, real_png, webp

pytest.importorskip("PIL", reason="the extra vision is not installed")

from PIL import ExifTags, Image

from trimtab.vision import resizer

MANY = 10**8


def coded(kind: str, size: tuple[int, int] = (300, 200), mode: str = "RGB", **how: Any) -> bytes:
    image = Image.open(io.BytesIO(real_png(*size))).convert(mode)
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def made(data: bytes, size: tuple[int, int] = (150, 100), most: int = MANY) -> tuple[str, Image.Image, bytes]:
    kind, width, height, text = resizer.resized(b64(data).encode(), *size, most)
    out = base64.b64decode(text)
    image = Image.open(io.BytesIO(out))
    image.load()
    assert image.size == (width, height)
    assert len(text) <= most
    return kind, image, out


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (coded("PNG"), "image/png"),
        (coded("PNG", mode="RGBA"), "image/png"),
        (coded("PNG", mode="LA"), "image/png"),
        (coded("PNG", mode="P"), "image/png"),
        (coded("PNG", mode="1"), "image/png"),
        (coded("PNG", mode="I;16"), "image/png"),
        (coded("JPEG"), "image/jpeg"),
        (coded("JPEG", mode="L"), "image/jpeg"),
        (coded("JPEG", mode="CMYK"), "image/jpeg"),
        (coded("WEBP", quality=80), "image/webp"),
        (coded("WEBP", lossless=True), "image/webp"),
        (coded("GIF"), "image/png"),
    ],
)
def test_each_format_keeps_its_kind_and_becomes_the_same_bytes_each_time(data: bytes, kind: str) -> None:
    first, again = made(data), made(data)
    assert first[0] == kind
    assert first[1].size == (150, 100)
    assert first[2] == again[2]


def test_a_picture_looks_the_same_in_the_small() -> None:
    data = coded("PNG")
    _, small, _ = made(data)
    whole = Image.open(io.BytesIO(data)).convert("RGB").resize((150, 100), Image.Resampling.BOX)
    pairs = zip(small.convert("RGB").tobytes(), whole.tobytes(), strict=True)
    assert sum(abs(a - b) for a, b in pairs) / (150 * 100 * 3) < 12


def test_transparency_stays() -> None:
    clear = Image.new("RGBA", (300, 200), (10, 20, 30, 0))
    out = io.BytesIO()
    clear.save(out, "PNG")
    _, small, _ = made(out.getvalue())
    assert small.mode == "RGBA"
    assert small.getpixel((50, 50))[3] == 0  # type: ignore[index]


def test_only_the_first_picture_of_an_animation_is_kept() -> None:
    frames = [Image.new("RGB", (300, 200), colour) for colour in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    _, small, _ = made(out.getvalue())
    assert small.convert("RGB").getpixel((9, 9)) == (255, 0, 0)


def test_the_orientation_of_a_photograph_stays_and_where_it_was_taken_does_not() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "Camera of somebody"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[1] = "N"
    for kind in ("JPEG", "PNG", "WEBP"):
        _, small, out = made(coded(kind, exif=exif.tobytes()))
        assert dict(small.getexif()) == {ExifTags.Base.Orientation: 6}
        assert b"somebody" not in out


def test_bytes_that_are_too_many_are_fewer_in_another_format_or_size() -> None:
    noise = Image.effect_noise((400, 400), 90).convert("RGB")
    out = io.BytesIO()
    noise.save(out, "PNG")
    kind, image, _ = made(out.getvalue(), (400, 400), 150_000)
    assert (kind, image.size) == ("image/webp", (400, 400))
    kind, image, _ = made(out.getvalue(), (400, 400), 20_000)
    assert kind == "image/webp"
    assert image.size[0] < 400
    with pytest.raises(resizer.Refused, match="more than 100 bytes"):
        made(out.getvalue(), (400, 400), 100)


def test_an_image_that_is_vast_when_it_is_unpacked_is_refused_before_it_is() -> None:
    # One pixel's worth of data behind a head that says 400 megapixels.
    bomb = real_png(9, 9)[:16] + struct.pack(">II", 20_000, 20_000) + real_png(9, 9)[24:29]
    crc = struct.pack(">I", zlib.crc32(bomb[12:29]))
    with pytest.raises(resizer.Refused, match="more than 64000000"):
        made(bomb + crc + real_png(9, 9)[33:])


WHOLE = [coded("PNG", (40, 30)), coded("JPEG", (40, 30)), coded("WEBP", (40, 30)), coded("GIF", (40, 30))]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(WHOLE), st.integers(0, 400), st.binary(max_size=12), st.booleans())
def test_hostile_bytes_get_an_answer(whole: bytes, at: int, junk: bytes, cut: bool) -> None:
    data = whole[:at] + junk + (b"" if cut else whole[at + len(junk) :])
    told, _ = resizer.answer({"width": 20, "height": 15, "most": 10_000}, b64(data).encode())
    assert "error" in told or told["width"] == 20


@pytest.mark.parametrize(
    "data", [b"", png(50, 50), jpeg(50, 50), gif(50, 50), webp(50, 50), b"<svg/>", b"%PDF-1.4", coded("BMP")]
)
def test_what_is_no_image_of_the_four_kinds_says_so(data: bytes) -> None:
    told, made = resizer.answer({"width": 20, "height": 15, "most": 10_000}, b64(data).encode())
    assert "cannot be decoded" in str(told["error"])
    assert made == b""
    assert "error" in resizer.answer({"width": 20, "height": 15, "most": 10_000}, b"!not base64!")[0]


def test_the_process_may_write_no_file_and_loads_nothing_of_ours() -> None:
    code = (
        "import sys, runpy; sys.argv=[''];"
        f"space = runpy.run_path({str(Path(resizer.__file__))!r}); space['serve'] = None;"
        "import io; sys.stdin = io.TextIOWrapper(io.BytesIO()); space['main'].__globals__['serve'] = lambda a, b: None;"
        "space['main']();"
        "assert not any(name.startswith('trimtab') for name in sys.modules), 'ours';"
        "f = open('/tmp/trimtab-resizer-writes', 'wb', buffering=0);"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);\ntry:\n f.write(b'x')\nexcept OSError:\n sys.exit(7)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, timeout=60, check=False)
    Path("/tmp/trimtab-resizer-writes").unlink(missing_ok=True)
    assert done.returncode == 7, done.stderr
