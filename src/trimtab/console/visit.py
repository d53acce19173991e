"""What a browser asks of the pages, and what it gets back: plain data between the door and the pages.

What it is not: HTTP; the gateway has read the request and sends the answer.
"""

from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec

from trimtab.console.headers import page_headers
from trimtab.providers import Headers

MAX_FIELDS = 50
"""Fields of a form or an address. The largest form has a tenth of that."""


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One request."""

    method: str
    path: str
    query: bytes
    """As it came; `asked` has it read."""
    asked: Mapping[str, str]
    """Of a field that comes twice, the last."""
    form: Mapping[str, str]
    headers: Headers
    client: str
    """The address at the other end of the connection."""

    def header(self, name: bytes) -> bytes | None:
        """The first header of this (lower-case) name."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def in_part(self) -> bool:
        """Whether a page that is open asks for its changing part only."""
        return self.header(b"hx-request") == b"true"

    def shows(self, state: str) -> bool:
        """Whether a page that is open asks for its changing part, and shows this state already."""
        return self.in_part and self.header(b"x-state") == state.encode()

    @property
    def as_json(self) -> bool:
        """Whether the data of a page is meant, not the page."""
        return self.path.endswith(".json")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What goes back."""

    status: int = 200
    headers: Headers
    body: bytes = b""


def page(body: bytes, status: int = 200, *more: tuple[bytes, bytes]) -> Answer:
    """A page."""
    return Answer(status=status, headers=page_headers("text/html; charset=utf-8", *more), body=body)


def data(value: object, status: int = 200, *more: tuple[bytes, bytes]) -> Answer:
    """JSON for programs and for people who look at it."""
    body = msgspec.json.format(msgspec.json.encode(value), indent=2)
    return Answer(status=status, headers=page_headers("application/json", *more), body=body)


def see(path: str, *more: tuple[bytes, bytes]) -> Answer:
    """Send the browser to a path of this server."""
    headers = page_headers("text/plain; charset=utf-8", (b"location", path.encode("ascii")), *more)
    return Answer(status=303, headers=headers)


def fields(encoded: bytes) -> dict[str, str]:
    """A query or a form as fields. Raises `ValueError` for more than `MAX_FIELDS`."""
    text = encoded.decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=MAX_FIELDS))
