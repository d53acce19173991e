"""Which images of a request must change, and to what size. Pure.

What it is not: the resizing. Invariant: what is asked for is never larger than what came.

Source: vendor vision page (2026-11): images over 8000 px on a side are refused, and over 2000 px where a request has
more than 20 of them; the base64 of one has at most 10 MB on the vendor's own API, and less on other platforms
(`catalogue/platforms.yaml`).
"""

import msgspec

from trimtab.catalogue import Model
from trimtab.catalogue.images import MAX_SIDE_PX, size_within
from trimtab.errors import RequestError
from trimtab.messages.image_blocks import ImageBlock
from trimtab.vision.settings import IMAGES, Rules

MANY_IMAGES = 20
MANY_SIDE_PX = 2000

Size = tuple[int, int]


class Wanted(msgspec.Struct, frozen=True):
    """One image that must change."""

    block: ImageBlock
    size: Size
    """In pixels; that of the image where only its bytes are too many."""


class Bounds(msgspec.Struct, frozen=True):
    """What one image of a request may have at most."""

    vision: str
    side_px: int
    pixels: int

    def size(self, width: int, height: int) -> Size:
        """The size at which an image is sent. How a model sees images that the catalogue does not know is its server's
        affair: then only what the policy says in figures holds."""
        vision = None if self.vision == "none" else self.vision
        if vision is None and self.side_px == MAX_SIDE_PX and self.pixels == MAX_SIDE_PX**2:
            return width, height
        return size_within(width, height, vision, side_px=self.side_px, pixels=self.pixels)


def bounds_of(rules: Rules, model: Model, images: int) -> Bounds:
    """The bounds for a request with so many images."""
    many = images > MANY_IMAGES and model.vision != "none"
    side_px = min(rules.side_px, MANY_SIDE_PX) if many else rules.side_px
    return Bounds(model.vision, side_px, rules.pixels)


def to_fit(blocks: tuple[ImageBlock, ...], bounds: Bounds, most_base64: int) -> list[Wanted]:
    """The images that the platform would shrink, or refuse for their size, or that are larger than was asked for."""
    wanted = []
    for block in blocks:
        if (head := block.head) is None:
            continue
        size = bounds.size(head.width, head.height)
        if size != (head.width, head.height) or block.size > most_base64:
            wanted.append(Wanted(block, size))
    return wanted


def check_exact(blocks: tuple[ImageBlock, ...], model: Model) -> None:
    """Raise `RequestError` for the first image that the model would not, or may not, see pixel for pixel."""
    for block in blocks:
        if model.vision == "none":
            raise RequestError(
                f"{block.path}: how {model.id} sees images is not in the catalogue, and images of this request are to "
                f"be exact; send {IMAGES}: as_sent, or name a model whose row says `vision` (GET /v1/models)"
            )
        if (head := block.head) is None:
            why = (
                f"is given by {block.source}" if block.source in ("url", "file") else "is not understood here"
            )
            raise RequestError(
                f"{block.path}: the size of this image is not known, because it {why}, and images of this request "
                f"are to be exact; send it as base64, or send {IMAGES}: as_sent"
            )
        seen = size_within(head.width, head.height, model.vision)
        if seen != (head.width, head.height):
            raise RequestError(
                f"{block.path}: this image has {head.width}x{head.height} pixels, {model.id} would see "
                f"{seen[0]}x{seen[1]}, and images of this request are to be exact; send it in that size or smaller, "
                f"or send {IMAGES}: fit"
            )
