"""Reading of a Messages body for Converse: objects whose every member must be asked for, or the request is refused.

What it is not: a check of values, which the platform makes. Invariant: a value that is handed on is handed on as the
bytes it came in.
"""

from typing import TypeAlias

import msgspec

from trimtab.errors import RequestError, shortened

Node: TypeAlias = dict[str, object]
"""An object of Converse's schema; values that came from the caller are raw JSON."""

NULL = b"null"

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Members:
    """The members of one object, each to be taken once; `end` refuses what nobody took."""

    def __init__(self, raw: msgspec.Raw, where: str) -> None:
        """`where` is the object's place in the body (`messages.0.content.1`). Raises `RequestError` for no object.
        The body itself has the place `""`."""
        self.where = where
        try:
            self._left = _OBJECT.decode(raw)
        except _UNREADABLE:
            raise RequestError(f"{where}: Input should be an object") from None

    def at(self, name: str) -> str:
        """The place of a member."""
        return f"{self.where}.{name}" if self.where else name

    def take(self, name: str) -> msgspec.Raw | None:
        """A member as it came; `None` where it is absent or null."""
        raw = self._left.pop(name, None)
        return None if raw is None or bytes(raw) == NULL else raw

    def need(self, name: str) -> msgspec.Raw:
        """A member that must be there. Raises `RequestError`."""
        raw = self.take(name)
        if raw is None:
            raise RequestError(f"{self.at(name)}: Field required")
        return raw

    def text(self, name: str) -> str | None:
        """A member that is a text, decoded."""
        raw = self.take(name)
        return None if raw is None else text_of(raw, self.at(name))

    def plain(self, name: str, *defaults: bytes) -> None:
        """A member that Converse has no place for, and that may be there only with a value that says nothing."""
        raw = self.take(name)
        if raw is not None and bytes(raw).translate(None, b" \t\r\n") not in defaults:
            raise unsayable(self.at(name))

    def rest(self) -> Node:
        """The members that nobody took, as they came, less those that are null."""
        left: Node = {name: raw for name, raw in self._left.items() if bytes(raw) != NULL}
        self._left = {}
        return left

    def end(self) -> None:
        """Raises `RequestError` for a member that nobody took, unless it is null."""
        for name, raw in self._left.items():
            if bytes(raw) != NULL:
                raise unsayable(self.at(shortened(name)))


def unsayable(where: str, advice: str = "leave it out, or use endpoint = 'invoke'") -> RequestError:
    """The refusal of what Converse has no words for."""
    return RequestError(f"{where}: Amazon Bedrock (Converse) has no place for it; {advice}")


def text_of(raw: msgspec.Raw, where: str) -> str:
    """A text, decoded. Raises `RequestError`."""
    try:
        return _TEXT.decode(raw)
    except _UNREADABLE:
        raise RequestError(f"{where}: Input should be a valid string") from None


def string(raw: msgspec.Raw, where: str) -> msgspec.Raw:
    """A text as it came. Raises `RequestError` for another kind of value."""
    if not is_string(raw):
        raise RequestError(f"{where}: Input should be a valid string")
    return raw


def is_string(raw: msgspec.Raw) -> bool:
    """Whether a value is a text."""
    return bytes(memoryview(raw)[:1]) == b'"'


def elements(raw: msgspec.Raw, where: str) -> list[msgspec.Raw]:
    """The elements of a list, as they came. Raises `RequestError`."""
    try:
        return _LIST.decode(raw)
    except _UNREADABLE:
        raise RequestError(f"{where}: Input should be a valid list") from None
