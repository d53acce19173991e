"""Finds the images of a Messages body: where each one stands, what it is, and how large.

Images stand in the content of messages, of tool results, and of documents that are made of blocks. What looks like one
elsewhere, as in the input of a tool, is text. What it is not: a check of the body, which is the platform's.
Invariant: a body in which an object on the way to an image holds a key twice is not read at all, because a platform
might read it otherwise.
"""

import msgspec

from trimtab.errors import RequestError
from trimtab.messages.condensed import Condensed
from trimtab.messages.images import ImageHead, image_head
from trimtab.messages.splice import elements_of, members_of, skip_blank

MAX_DEPTH = 4
"""A document in a tool result in a message has 3."""


class ImageBlock(msgspec.Struct, frozen=True, gc=False):
    """One image."""

    path: str
    """Where it stands, as the vendor writes it: `messages.3.content.1`."""
    source: str
    """`base64`, `url`, `file`; empty where it is none that is known here."""
    head: ImageHead | None = None
    """What its own bytes say; `None` where they are not here or say nothing that is understood."""
    data: tuple[int, int] = (0, 0)
    """Where its base64 stands in the body, without the quotes."""
    escaped: bool = False
    """Whether the base64 is written with escapes."""
    media_type: tuple[int, int] = (0, 0)
    """Where its media type stands, with the quotes; nowhere when there is none."""
    result_of: str = ""
    """The tool call whose result it is, where it is one."""
    member: str = "source"
    """Where in it its bytes stand; on the chat surface `image_url`, and then its media type has no quotes."""

    def written(self, media_type: str) -> bytes:
        """A media type as it is written in its place."""
        return media_type.encode() if self.member == "image_url" else f'"{media_type}"'.encode()

    @property
    def size(self) -> int:
        """Characters of base64, as it is written."""
        return self.data[1] - self.data[0]

    def base64(self, raw: bytes) -> bytes:
        """Its base64, Raises `ValueError` where that is no ASCII."""
        text = raw[self.data[0] : self.data[1]]
        return msgspec.json.decode(b'"' + text + b'"', type=str).encode("ascii") if self.escaped else text


class _Turn(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw()


class _Block(msgspec.Struct):
    type: object = None
    tool_use_id: object = None
    source: msgspec.Raw = msgspec.Raw()
    content: msgspec.Raw = msgspec.Raw()


class _Source(msgspec.Struct):
    type: object = None
    data: msgspec.Raw = msgspec.Raw()
    content: msgspec.Raw = msgspec.Raw()


_TURN_LIST = msgspec.json.Decoder(list[_Turn])
_BLOCK_LIST = msgspec.json.Decoder(list[_Block])
_SOURCE = msgspec.json.Decoder(_Source)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def image_blocks(raw: bytes, condensed: Condensed | None = None) -> tuple[ImageBlock, ...]:
    """The images of a body, in order; none where it cannot be read. Never raises.

    Cost: two scans of the body without its pixels, and 15 us for each image.
    """
    try:
        return tuple(_Search(raw, condensed or Condensed(raw)).found)
    except (msgspec.DecodeError, RequestError, RecursionError, ValueError, KeyError):
        return ()


class _Search:
    """One look through a body. Raises what `image_blocks` catches."""

    def __init__(self, raw: bytes, condensed: Condensed) -> None:
        self._raw = raw
        self._condensed = condensed
        self._text = text = condensed.text
        self.found: list[ImageBlock] = []
        body = _OBJECT.decode(text)
        turns = body["messages"]
        places: list[tuple[int, msgspec.Raw]] = []
        for index, turn in enumerate(_TURN_LIST.decode(turns)):
            if not _is_list(turn.content):
                continue
            blocks = _BLOCK_LIST.decode(turn.content)
            if not any(map(_may_hold, blocks)):
                continue
            if not places:
                whole = skip_blank(text, 0)
                places = self._elements(members_of(text, whole, body)["messages"].value, turns)
            content, _ = self._member(*places[index], "content")
            self._search(blocks, turn.content, content, f"messages.{index}.content", "", 1)

    def _search(
        self, blocks: list[_Block], values: msgspec.Raw, start: int, path: str, result_of: str, depth: int
    ) -> None:
        """Look through the blocks of one list, which stands at `start`."""
        if depth > MAX_DEPTH:
            return
        places: list[tuple[int, msgspec.Raw]] = []
        for index, block in enumerate(blocks):
            if not _may_hold(block):
                continue
            places = places or self._elements(start, values)
            at, here = places[index], f"{path}.{index}"
            if block.type == "image":
                self.found.append(self._image(*at, here, result_of))
            elif block.type == "tool_result":
                call = block.tool_use_id if isinstance(block.tool_use_id, str) else ""
                self._within(*at, f"{here}.content", call, depth)
            else:
                where, source = self._member(*at, "source")
                self._within(where, source, f"{here}.source.content", result_of, depth)

    def _within(self, start: int, value: msgspec.Raw, path: str, result_of: str, depth: int) -> None:
        """Look through the `content` of the object at `start`."""
        where, content = self._member(start, value, "content")
        self._search(_BLOCK_LIST.decode(content), content, where, path, result_of, depth + 1)

    def _image(self, start: int, value: msgspec.Raw, path: str, result_of: str) -> ImageBlock:
        at, source = self._member(start, value, "source")
        fields = _OBJECT.decode(source)
        found = _SOURCE.decode(source)
        parts = members_of(self._text, at, fields)
        if found.type != "base64" or "data" not in parts or not _is_text(found.data):
            return ImageBlock(path, found.type if isinstance(found.type, str) else "", result_of=result_of)
        place, text, part = self._condensed.place, self._text, parts["data"]
        first, end = place(part.value) + 1, place(part.end - 1)
        escaped = text.find(b"\\", part.value, part.end) >= 0
        media = parts.get("media_type")
        block = ImageBlock(
            path,
            "base64",
            None,
            (first, end),
            escaped,
            (0, 0) if media is None else (place(media.value), place(media.end - 1) + 1),
            result_of,
        )
        data = block.base64(self._raw) if escaped else memoryview(self._raw)[first:end]
        return msgspec.structs.replace(block, head=image_head(data))

    def _elements(self, start: int, values: msgspec.Raw) -> list[tuple[int, msgspec.Raw]]:
        listed = _LIST.decode(values)
        parts = elements_of(self._text, start, listed)
        return [(part.value, value) for part, value in zip(parts, listed, strict=True)]

    def _member(self, start: int, value: msgspec.Raw, name: str) -> tuple[int, msgspec.Raw]:
        """Where the value of a member of the object at `start` stands, and what it is."""
        fields = _OBJECT.decode(value)
        return members_of(self._text, start, fields)[name].value, fields[name]


def _may_hold(block: _Block) -> bool:
    """Whether it is an image, or may hold some."""
    if block.type == "image":
        return _begins(block.source, b"{")
    if block.type == "tool_result":
        return _is_list(block.content)
    return block.type == "document" and _begins(block.source, b"{") and _is_list(_inner(block.source))


def _inner(source: msgspec.Raw) -> msgspec.Raw:
    return _SOURCE.decode(source).content


def _begins(value: msgspec.Raw, sign: bytes) -> bool:
    return bytes(memoryview(value)[:1]) == sign


def _is_list(value: msgspec.Raw) -> bool:
    return _begins(value, b"[")


def _is_text(value: msgspec.Raw) -> bool:
    return _begins(value, b'"')
