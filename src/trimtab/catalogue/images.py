"""Image tokens, and the size to which the platform shrinks an image before it counts them.

What it is not: an image library; it knows widths and heights only.
Invariants: a resized image keeps within both limits of its tier, is never enlarged, and keeps its aspect ratio
within the rounding of its short edge.

Source: vendor vision page (2026-11): tokens = ceil(w/28) * ceil(h/28) after resizing; the standard tier allows a
padded long edge of 1568 px and 1568 tokens, the high tier (Opus 4.7 and later) 2576 px and 4784 tokens. Checked
against the vendor's table: every token count agrees, one size differs by a pixel of rounding.
"""

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
    limits = vision_limits(vision)
    if width < 1 or height < 1:
        raise ValueError(f"{width} x {height}: an image is at least 1 x 1 pixel")
    if _fits(width, height, limits):
        return width, height
    long, short = max(width, height), min(width, height)
    low, high = 1, long
    while high - low > 1:
        middle = (low + high) // 2
        if _fits(middle, _scaled(middle, long, short), limits):
            low = middle
        else:
            high = middle
    edges = low, _scaled(low, long, short)
    return edges if width >= height else (edges[1], edges[0])


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
