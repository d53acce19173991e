"""A server that gives out credentials, and how a script disturbs it.

What it is not: the judge of what it gave out (`simulator.issued`). Invariant: a refusal has the server's own shape.
"""

import base64
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec

from trimtab.catalogue.model import Platform
from trimtab.providers.seam import Headers
from trimtab.providers.simulator.core import Simulator
from trimtab.providers.simulator.faces.face import (
    SIMULATED,
    Asked,
    FaceOptions,
    PlatformRefusal,
    held,
    reshaped,
    without,
)
from trimtab.providers.simulator.response import SimResponse

JSON = b"application/json"
TEXT = b"text/plain"
XML = b"text/xml"


class Given(msgspec.Struct, frozen=True):
    """Credentials, as they go out."""

    about: str
    """Which server gave them, and for whom: what rules of a script look at. Never a secret."""
    body: bytes
    content_type: bytes = JSON
    headers: Headers = []


class Said(msgspec.Struct, frozen=True):
    """A refusal in a server's words."""

    body: bytes
    content_type: bytes = JSON


class Issuer(Protocol):
    """One server. Pure but for the numbers of its tokens: no clock, no sockets."""

    platforms: tuple[Platform, ...]
    """Whose credentials it gives out."""

    def __init__(self, options: FaceOptions) -> None: ...

    def takes(self, asked: Asked) -> bool:
        """Whether path and method are this server's."""
        ...

    def give(self, asked: Asked) -> Given:
        """The credentials. Raises `PlatformRefusal`."""
        ...

    def said(self, status: int, code: str, message: str) -> Said:
        """A refusal; `code` may be empty."""
        ...


def issued_answer(issuer: Issuer, asked: Asked, simulator: Simulator) -> SimResponse:
    """The server's answer, with the script's errors, waits and cuts. Never raises."""
    try:
        given = issuer.give(asked)
    except PlatformRefusal as problem:
        return problem.answer
    response = simulator.gives(given.about, asked.headers, given.body)
    if response.foreign:
        return response
    headers = without(response.headers, b"content-type", b"request-id", starting=(b"anthropic-",))
    if response.status < 400:
        named = [(b"content-type", given.content_type), *given.headers, *headers]
        return msgspec.structs.replace(response, headers=named)
    response, found = held(response)
    code = str(((found.details if found is not None else None) or {}).get("error_code", ""))
    said = issuer.said(response.status, code, found.message if found is not None else "")
    named = [(b"content-type", said.content_type), *headers]
    return reshaped(response, response.status, named, lambda _: said.body)


def refuse(issuer: Issuer, status: int, code: str, message: str) -> PlatformRefusal:
    """A refusal of the server's own."""
    said = issuer.said(status, code, message)
    refusal = PlatformRefusal(status, [], said.body)
    refusal.answer = SimResponse(
        status,
        [
            (b"content-type", said.content_type),
            (b"content-length", b"%d" % len(said.body)),
            SIMULATED,
        ],
        (said.body,),
    )
    return refusal


def form_of(asked: Asked) -> dict[str, str]:
    """The fields of a form; of one that stands twice the last."""
    try:
        return dict(parse_qsl(asked.body.decode("ascii"), keep_blank_values=True, max_num_fields=100))
    except (UnicodeDecodeError, ValueError):
        return {}


def claims_of(token: str) -> dict[str, Any] | None:
    """What a JWT claims, unverified; `None` for what is not one."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    found = [part_of(part) for part in parts[:2]]
    return found[1] if None not in found else None


def part_of(part: str) -> dict[str, Any] | None:
    """A part of a JWT: JSON in base64 for URLs."""
    try:
        found = msgspec.json.decode(bytes_of(part))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def bytes_of(part: str) -> bytes:
    """Base64 for URLs without its padding. Raises `ValueError`."""
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def is_over(claims: dict[str, Any], now_s: float) -> bool:
    """Whether the token says that it has ended."""
    end = claims.get("exp")
    return isinstance(end, int | float) and end <= now_s
