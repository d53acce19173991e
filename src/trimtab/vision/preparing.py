"""Prepares one request: its images measured against what holds for it, resized, and put in their places.

What it is not: the resizing (`workshop`), or the call. Invariants: every byte that belongs to no image that changes, to
no size of a display and to no coordinate stays; what changes is named; an image that cannot be resized stays as it is,
and that is said too.
"""

import asyncio
from collections.abc import Iterable, Mapping

import msgspec

from trimtab.catalogue import Model, Platform
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.errors import RequestError
from trimtab.messages import MessagesBody
from trimtab.messages.chat import ChatBody, chat_image_blocks
from trimtab.messages.condensed import Condensed
from trimtab.messages.image_blocks import image_blocks
from trimtab.messages.splice import Edit, apply_edits
from trimtab.vision.answering import MapBack
from trimtab.vision.computer import SIGN, Frame, Screen, screen_of
from trimtab.vision.fitting import Bounds, Wanted, bounds_of, check_exact, to_fit
from trimtab.vision.settings import COORDINATES, IMAGES, ImageSettings, Rules, acts, rules_for
from trimtab.vision.workshop import WAIT_S, Resized, Size, Workshop

MAX_BASE64 = 10 * 1024 * 1024
"""Of one image, where the platform's profile says nothing. Source: vendor vision page (2026-11)."""

MAX_NOTES = 20
"""Images that are named among the adaptations, which go into a header; of the others the number is said."""

_SIGNS = (b'"image"', SIGN)
_CHAT_SIGNS = (b'"image_url"',)


class Prepared(msgspec.Struct, frozen=True):
    """What became of a request."""

    body: MessagesBody
    adaptations: tuple[str, ...] = ()
    observations: tuple[str, ...] = ()
    back: MapBack | None = None
    """How its answer is changed."""


class Images:
    """One per configuration version."""

    def __init__(
        self, settings: ImageSettings, workshop: Workshop, platforms: Mapping[Platform, PlatformProfile]
    ) -> None:
        self._settings = settings
        self._workshop = workshop
        self._most = {
            str(name): profile.max_image_bytes
            for name, profile in platforms.items()
            if profile.max_image_bytes
        }
        self._acts = acts(settings)

    def wanted(self, own: Mapping[str, str], body: MessagesBody) -> bool:
        """Whether a request may have to be prepared. Cost: a comparison or two, where no policy is set and none asked
        for; else a search of the body."""
        if not self._acts and IMAGES not in own and COORDINATES not in own:
            return False
        signs = _CHAT_SIGNS if isinstance(body, ChatBody) else _SIGNS
        return any(body.raw.rfind(sign) >= 0 for sign in signs) or IMAGES in own or COORDINATES in own

    async def prepare(
        self,
        body: MessagesBody,
        own: Mapping[str, str],
        model: Model,
        platforms: Iterable[str],
        tier: str | None,
        route: str,
    ) -> Prepared | None:
        """The request as it is to go out to any of these platforms; `None` where no policy holds for it.

        Raises `RequestError` for a header that says nothing known, and for an image that cannot go out exactly. Waits
        for images that were not resized before, `WAIT_S` at most.
        """
        rules = rules_for(self._settings, own, tier, route)
        on_chat = isinstance(body, ChatBody)
        if on_chat and own.get(COORDINATES) == "map_back":
            raise RequestError(
                f"{COORDINATES}: map_back: a chat request has no computer tool whose coordinates are known here; leave "
                "it out, or use /v1/messages"
            )
        if rules.policy == "as_sent" or (model.vision == "none" and not on_chat):
            return Prepared(body) if IMAGES in own else None
        condensed = Condensed(body.raw)
        blocks = (chat_image_blocks if on_chat else image_blocks)(body.raw, condensed)
        if rules.policy == "exact":
            check_exact(blocks, model)
            return Prepared(body)
        bounds = bounds_of(rules, model, len(blocks))
        most = min([self._most.get(name, MAX_BASE64) for name in platforms], default=MAX_BASE64)
        if model.vision == "none":
            most = max([most, *[block.size for block in blocks]])
        wanted = to_fit(blocks, bounds, most)
        made = await self._made(body.raw, wanted, most) if wanted else []
        return _prepared(body, condensed, bounds, rules, list(zip(wanted, made, strict=True)))

    async def _made(self, raw: bytes, wanted: list[Wanted], most: int) -> list[Resized]:
        async def one(want: Wanted) -> Resized:
            try:
                text = want.block.base64(raw)
                return await self._workshop.resize(text, Size(*want.size, most))
            except ValueError:
                return Resized("", 0, 0, b"", "its base64 is no text")

        tasks = [asyncio.create_task(one(want)) for want in wanted]
        try:
            await asyncio.wait(tasks, timeout=WAIT_S)
            late = Resized("", 0, 0, b"", f"images before it took {WAIT_S:g} s")
            return [task.result() if task.done() else late for task in tasks]
        finally:
            for task in tasks:
                task.cancel()


def _prepared(
    body: MessagesBody, condensed: Condensed, bounds: Bounds, rules: Rules, made: list[tuple[Wanted, Resized]]
) -> Prepared:
    raw = body.raw
    edits: list[Edit] = []
    changes: list[str] = []
    left: list[str] = []
    frames: dict[str, Frame] = {}
    for want, became in made:
        block, head = want.block, want.block.head
        assert head is not None
        if became.problem:
            left.append(f"{block.path}: not resized: {became.problem}")
            continue
        edits.append((*block.data, became.data))
        kind = block.written(became.media_type)
        note = f"{block.path}.{block.member} {head.width}x{head.height}->{became.width}x{became.height}"
        if block.media_type != (0, 0) and raw[slice(*block.media_type)].replace(b"\\/", b"/") != kind:
            edits.append((*block.media_type, kind))
            note += f" {became.media_type}"
        changes.append(note)
        frames[block.path] = Frame((became.width, became.height), (head.width, head.height))
    screen: Screen | None = None
    if raw.rfind(SIGN) >= 0 and not isinstance(body, ChatBody):
        screen = screen_of(raw, condensed, bounds, frames, maps_back=rules.maps_back)
    if screen is not None:
        edits += screen.edits
        changes += screen.notes
    told = _told(changes), _told(left)
    if not edits:
        return Prepared(body, *told)
    back = MapBack(screen.tools, screen.frame) if screen is not None and screen.frame is not None else None
    if back is not None:
        told = (*told[0], "coordinates=map_back"), told[1]
    changed = apply_edits(raw, edits)
    if isinstance(body, ChatBody):
        return Prepared(ChatBody(changed), *told)
    return Prepared(MessagesBody(changed, max_tokens_required=False), *told, back)


def _told(notes: list[str]) -> tuple[str, ...]:
    if len(notes) <= MAX_NOTES:
        return tuple(notes)
    return (*notes[: MAX_NOTES - 1], f"and {len(notes) - MAX_NOTES + 1} more images")
