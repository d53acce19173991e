"""Prepares a request with a workshop that makes heads of images, and no pictures."""

import asyncio
from collections.abc import Mapping

from pictures import b64, png

from trimtab.catalogue import Catalogue
from trimtab.messages import MessagesBody
from trimtab.vision import Images, ImageSettings, Prepared
from trimtab.vision.workshop import Resized, Size

CATALOGUE = Catalogue.load()
OPUS, HAIKU = "claude-opus-4-7", "claude-haiku-4-5"


class Workshop:
    """Makes no picture, only heads of the right size."""

    def __init__(self, problem: str = "") -> None:
        self.problem = problem
        self.asked: list[Size] = []

    async def resize(self, text: bytes, size: Size) -> Resized:
        self.asked.append(size)
        await asyncio.sleep(0)
        made = b64(png(size.width, size.height, 30)).encode()
        return (
            Resized("", 0, 0, b"", self.problem)
            if self.problem
            else Resized("image/png", size.width, size.height, made)
        )


def prepared(
    asked: MessagesBody,
    settings: ImageSettings,
    model: str = OPUS,
    workshop: Workshop | None = None,
    own: Mapping[str, str] | None = None,
    platforms: tuple[str, ...] = ("anthropic",),
    tier: str | None = None,
) -> Prepared | None:
    images = Images(settings, workshop or Workshop(), CATALOGUE.platforms)  # type: ignore[arg-type]
    found = CATALOGUE.find(model)
    assert found is not None
    return asyncio.run(images.prepare(asked, own or {}, found, platforms, tier, ""))
