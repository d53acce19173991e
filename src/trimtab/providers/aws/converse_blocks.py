"""Content blocks of a Messages request as Converse's.

What it is not: the request around them (`converse_request`). Invariant: blocks keep their order; texts, signatures,
tool inputs and data keep their bytes; a block or a member that Converse has no words for is refused by its place.

Source: Amazon Bedrock API reference, ContentBlock (2026-11).
"""

import base64
import binascii

import msgspec

from trimtab.errors import RequestError, shortened
from trimtab.providers.aws.converse_read import Members, Node, elements, is_string, string, text_of, unsayable

IMAGE_FORMATS = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
MAX_TITLE_CHARS = 1000
"""So much of a title is looked at for the name."""

MAX_NAME_CHARS = 200
"""Of a document. Source: DocumentBlock."""

_IN_NAMES = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-()[] ")
"""A document's name holds these, and no two blanks beside each other. Source: DocumentBlock."""


class Blocks:
    """Translates the blocks of one request: the names of its documents must differ."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def content(self, raw: msgspec.Raw, where: str) -> list[Node]:
        """The content of a message: a text, or a list of blocks."""
        if is_string(raw):
            return [{"text": raw}]
        made: list[Node] = []
        for index, element in enumerate(elements(raw, where)):
            made += self._block(Members(element, f"{where}.{index}"))
        return made

    def system(self, raw: msgspec.Raw) -> list[Node]:
        """The system prompt. An empty one is none: AWS takes no empty text there."""
        if is_string(raw):
            return _said(raw)
        made: list[Node] = []
        for index, element in enumerate(elements(raw, "system")):
            block = Members(element, f"system.{index}")
            kind = kind_of(block)
            if kind != "text":
                raise unsayable(f"{block.where}.type: {shortened(kind)!r}")
            made += [_text(block), *cache_point(block)]
            block.end()
        return made

    def _block(self, block: Members) -> list[Node]:
        made = self._of_kind(kind_of(block), block)
        made += cache_point(block)
        block.end()
        return made

    def _of_kind(self, kind: str, block: Members) -> list[Node]:
        match kind:
            case "tool_use":
                block.plain("caller", b'{"type":"direct"}')
                return [{
                    "toolUse": {
                        "toolUseId": string(block.need("id"), block.at("id")),
                        "name": string(block.need("name"), block.at("name")),
                        "input": block.need("input"),
                    }
                }]  # fmt: skip
            case "tool_result":
                return self._result(block)
            case "thinking":
                text: Node = {"text": string(block.need("thinking"), block.at("thinking"))}
                signature = block.take("signature")
                if signature is not None:
                    text["signature"] = string(signature, block.at("signature"))
                return [{"reasoningContent": {"reasoningText": text}}]
            case "redacted_thinking":
                data = block.need("data")
                _check_base64(text_of(data, block.at("data")), block.at("data"))
                return [{"reasoningContent": {"redactedContent": data}}]
        return [self._shown(kind, block)]

    def _shown(self, kind: str, block: Members) -> Node:
        """A block that a tool's result may hold too."""
        match kind:
            case "text":
                return _text(block)
            case "image":
                return {"image": _image(block)}
            case "document":
                return {"document": self._document(block)}
            case "search_result":
                return {"searchResult": _search_result(block)}
        raise unsayable(f"{block.where}.type: {shortened(kind)!r}")

    def _result(self, block: Members) -> list[Node]:
        raw = block.take("content")
        where = block.at("content")
        content: list[Node] = []
        after: list[Node] = []
        if raw is not None and is_string(raw):
            content += _said(raw)
        elif raw is not None:
            for index, element in enumerate(elements(raw, where)):
                if after:  # only behind the whole result there is a place for one
                    raise unsayable(
                        f"{where}.{index - 1}.cache_control", "put it on the last block of the result"
                    )
                inner = Members(element, f"{where}.{index}")
                content.append(self._shown(kind_of(inner), inner))
                after = cache_point(inner)
                inner.end()
        result: Node = {
            "toolUseId": string(block.need("tool_use_id"), block.at("tool_use_id")),
            "content": content,
        }
        failed = block.take("is_error")
        if failed is not None:
            if bytes(failed) not in (b"true", b"false"):
                raise RequestError(f"{block.at('is_error')}: Input should be a valid boolean")
            result["status"] = "error" if bytes(failed) == b"true" else "success"
        if after:
            block.plain("cache_control")  # one mark of the two has a place
        return [{"toolResult": result}, *after]

    def _document(self, block: Members) -> Node:
        source = Members(block.need("source"), block.at("source"))
        title, context = block.text("title"), block.take("context")
        uncited(block)
        made: Node = {}
        kind = kind_of(source)
        if kind == "base64":
            _media(source, {"application/pdf": "pdf"})
            made |= {"format": "pdf", "name": self._name(title)}
            made["source"] = {"bytes": string(source.need("data"), source.at("data"))}
        elif kind == "text":
            _media(source, {"text/plain": "txt"})
            made |= {"format": "txt", "name": self._name(title)}
            made["source"] = {"text": string(source.need("data"), source.at("data"))}
        elif kind == "content":
            made |= {"name": self._name(title), "source": {"content": _texts(source)}}
        else:
            raise unsayable(
                f"{source.at('type')}: {shortened(kind)!r}", "send the document itself, in base64"
            )
        source.end()
        if context is not None:
            made["context"] = string(context, block.at("context"))
        return made

    def _name(self, title: str | None) -> str:
        """A name for a document: its title as far as the platform takes it, and no other document's."""
        blanks = " ".join((title or "")[:MAX_TITLE_CHARS].split())
        plain = "".join(sign if sign in _IN_NAMES else "-" for sign in blanks)[: MAX_NAME_CHARS - 8].strip()
        plain = plain or f"document {len(self._names) + 1}"
        name, number = plain, 2
        while name in self._names:
            name, number = f"{plain} ({number})", number + 1
        self._names.add(name)
        return name


def kind_of(block: Members) -> str:
    """The `type` of a block. Raises `RequestError`."""
    return text_of(block.need("type"), block.at("type"))


def cache_point(block: Members) -> list[Node]:
    """The point that Converse wants behind what `cache_control` marks, if it does."""
    raw = block.take("cache_control")
    if raw is None:
        return []
    control = Members(raw, block.at("cache_control"))
    kind = kind_of(control)
    if kind != "ephemeral":
        raise unsayable(f"{control.at('type')}: {shortened(kind)!r}")
    point: Node = {"type": "default"}
    ttl = control.take("ttl")
    if ttl is not None:
        point["ttl"] = string(ttl, control.at("ttl"))
    control.end()
    return [{"cachePoint": point}]


def uncited(block: Members) -> None:
    """Refuses citations, which would come back as blocks that are not translated. Raises `RequestError`."""
    raw = block.take("citations")
    if raw is None:
        return
    citations = Members(raw, block.at("citations"))
    citations.plain("enabled", b"false")
    citations.end()


def _said(raw: msgspec.Raw) -> list[Node]:
    """A text that stands for a list of blocks; an empty one is an empty list, which the vendor takes it for."""
    return [] if bytes(raw) == b'""' else [{"text": raw}]


def _text(block: Members) -> Node:
    block.plain("citations", b"[]")
    return {"text": string(block.need("text"), block.at("text"))}


def _image(block: Members) -> Node:
    source = Members(block.need("source"), block.at("source"))
    kind = kind_of(source)
    if kind != "base64":
        raise unsayable(f"{source.at('type')}: {shortened(kind)!r}", "send the image itself, in base64")
    made: Node = {
        "format": _media(source, IMAGE_FORMATS),
        "source": {"bytes": string(source.need("data"), source.at("data"))},
    }
    source.end()
    return made


def _search_result(block: Members) -> Node:
    uncited(block)
    return {
        "source": string(block.need("source"), block.at("source")),
        "title": string(block.need("title"), block.at("title")),
        "content": _texts(block),
    }


def _texts(around: Members) -> list[Node]:
    """`content` that may be texts only."""
    raw, where = around.need("content"), around.at("content")
    if is_string(raw):
        return [{"text": raw}]
    made: list[Node] = []
    for index, element in enumerate(elements(raw, where)):
        inner = Members(element, f"{where}.{index}")
        kind = kind_of(inner)
        if kind != "text":
            raise unsayable(f"{inner.at('type')}: {shortened(kind)!r}")
        made.append(_text(inner))
        inner.end()
    return made


def _media(source: Members, formats: dict[str, str]) -> str:
    media = text_of(source.need("media_type"), source.at("media_type"))
    if media not in formats:
        raise RequestError(
            f"{source.at('media_type')}: {shortened(media)!r} is not taken; use {' or '.join(formats)}"
        )
    return formats[media]


def _check_base64(data: str, where: str) -> None:
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(
            f"{where}: is not base64, as Amazon Bedrock (Converse) wants it; send the block as it came"
        ) from None
