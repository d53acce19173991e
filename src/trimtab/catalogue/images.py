"""Image tokens, the size to which the platform shrinks an image before it counts them, and where a point comes to lie.

What it is not: an image library; it knows widths and heights only.
Invariants: a resized image keeps within both limits of its tier, is never enlarged, and keeps its aspect ratio
within the rounding of its short edge.

Source: vendor vision page (2026-11): tokens = ceil(w/28) * ceil(h/28) after resizing; the standard tier allows a
padded long edge of 1568 px and 1568 tokens, the high tier (Opus 4.7 and later) 2576 px and 4784 tokens. Checked
against the vendor's table: every token count agrees, one size differs by a pixel of rounding.
"""

import math
from typing import NamedTuple

PATCH_PX = 28
"""Side of the square that one token stands for."""


class VisionLimits(NamedTuple):
    """What one image may have at most after resizing."""

    long_edge_px: int
    """Of the image padded to whole patches."""
    tokens: int


_LIMITS = {"standard": VisionLimits(1568, 1568), "high": VisionLimits(2576, 4784)}

MAX_SIDE_PX = 8000
"""Larger images are refused by the platform. Source: vendor vision page (2026-11)."""


def vision_limits(vision: str) -> VisionLimits:
    """The limits of a tier. Raises `ValueError` for a model without vision."""
    limits = _LIMITS.get(vision)
    if limits is None:
        raise ValueError(f"{vision!r}: vision must be one of {', '.join(_LIMITS)}")
    return limits


def image_tokens(width: int, height: int, vision: str) -> int:
    """Tokens that an image of this size in pixels costs, resized as the platform does it."""
    return _tokens(*resize_for(width, height, vision))


def resize_for(width: int, height: int, vision: str) -> tuple[int, int]:
    """The size at which the model sees an image: the largest that fits, found along the long edge.

    Send this size, and coordinates that the model gives are pixels of it. Raises `ValueError` for a side below 1.
    """
    return size_within(width, height, vision)


def size_within(
    width: int, height: int, vision: str | None, *, side_px: int = MAX_SIDE_PX, pixels: int = MAX_SIDE_PX**2
) -> tuple[int, int]:
    """The same within further limits, of each side in pixels and of all pixels; without `vision`, within these alone.
    Raises `ValueError`."""
    limits = None if vision is None else vision_limits(vision)
    if width < 1 or height < 1:
        raise ValueError(f"{width} x {height}: an image is at least 1 x 1 pixel")

    def fits(wide: int, high: int) -> bool:
        return (
            (limits is None or _fits(wide, high, limits))
            and max(wide, high) <= side_px
            and wide * high <= pixels
        )

    if fits(width, height):
        return width, height
    long, short = max(width, height), min(width, height)
    low, high = 1, long
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle, _scaled(middle, long, short)):
            low = middle
        else:
            high = middle
    edges = low, _scaled(low, long, short)
    return edges if width >= height else (edges[1], edges[0])


def map_point(x: float, y: float, shown: tuple[int, int], meant: tuple[int, int]) -> tuple[int, int]:
    """A point of the image in one size, as a point of the same image in another, both in pixels.

    From the size that was sent to the original one: what the model names, where its caller means it. A point inside
    stays inside; one outside stays outside, so that its caller refuses it. Going there and back from the smaller size
    gives the same point; from the larger one it differs by half a pixel of the smaller one (at the far edges a whole
    one), and rounding, at most.
    """
    return _along(x, shown[0], meant[0]), _along(y, shown[1], meant[1])


def _along(at: float, shown: int, meant: int) -> int:
    moved = math.floor(at * meant / shown + 0.5)
    return min(moved, meant - 1) if 0 <= at < shown else moved


def _scaled(edge: int, long: int, short: int) -> int:
    """The short edge that belongs to a long edge: nearest, at least 1, ties to even."""
    quotient, rest = divmod(edge * short, long)
    if 2 * rest > long or (2 * rest == long and quotient % 2):
        quotient += 1
    return max(quotient, 1)


def _fits(width: int, height: int, limits: VisionLimits) -> bool:
    padded = -(-max(width, height) // PATCH_PX) * PATCH_PX
    return padded <= limits.long_edge_px and _tokens(width, height) <= limits.tokens


def _tokens(width: int, height: int) -> int:
    return -(-width // PATCH_PX) * -(-height // PATCH_PX)
