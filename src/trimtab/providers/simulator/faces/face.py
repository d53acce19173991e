"""A face: one platform's way of asking the simulator, and of hearing its answer.

What it is not: an answer. What is said, counted, cached and disturbed is the core's; a face finds the operation and the
model in a platform's request, checks what only that platform checks, and puts its framing and its words around the
answer. Invariant: every answer says that it was simulated.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import unquote

import msgspec

from trimtab.catalogue import Catalogue
from trimtab.catalogue.model import Model, Platform
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.errors import RequestError
from trimtab.providers.seam import Headers
from trimtab.providers.simulator.checks.shapes import Raw
from trimtab.providers.simulator.issued import Issued
from trimtab.providers.simulator.response import SimResponse, Step

SIMULATED = (b"x-trimtab-simulated", b"true")
JSON = (b"content-type", b"application/json")


class Asked(msgspec.Struct, frozen=True):
    """A request as it came over the wire."""

    method: str
    target: str
    """The path, percent-encoded as it came."""
    query: bytes
    headers: Headers
    """Names in lower case."""
    body: bytes
    now_s: float
    """Unix seconds."""

    @property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(self.target)

    def value(self, name: bytes) -> str | None:
        """All values of a header, joined as HTTP says; `None` when it is absent."""
        values = [value for key, value in self.headers if key == name]
        return b", ".join(values).decode("latin-1") if values else None


class Wanted(msgspec.Struct, frozen=True):
    """The same request as the simulator's core takes it."""

    path: str
    """Of the vendor's API."""
    headers: Headers
    body: bytes
    query: bytes = b""
    method: str = "POST"


class PlatformRefusal(Exception):
    """An answer that the platform itself gives, in its own shape, before any model is asked."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        super().__init__(body.decode("utf-8", "replace"))
        self.answer = whole(status, headers, body)


class Face(Protocol):
    """One platform. Pure: no clock, no sockets."""

    platform: Platform
    """The catalogue's name for it."""

    def takes(self, asked: Asked) -> bool:
        """Whether path and headers are this platform's."""
        ...

    def request(self, asked: Asked) -> Wanted:
        """The request as the core takes it. Raises `PlatformRefusal`, or `RequestError` for what the model's side of
        the platform refuses, which `reply` then puts into the platform's words."""
        ...

    def reply(self, asked: Asked, response: SimResponse) -> SimResponse:
        """The core's answer in the platform's framing and words."""
        ...


class RsaKey(msgspec.Struct, frozen=True):
    """A public key of RSA."""

    modulus: int
    exponent: int


class FaceOptions(msgspec.Struct, frozen=True):
    """What whoever runs the simulator may say of the platforms."""

    region: str | None = None
    """The only region that signatures and addresses may name; `None`: any."""
    aws_key: tuple[str, str] | None = None
    """Key id and secret key: signatures of other keys, and signatures that do not hold, are refused. `None`: they
    are checked for their form."""
    issued: Issued = msgspec.field(default_factory=Issued)
    """Makes and judges short-lived credentials."""
    google_key: RsaKey | None = None
    """The public key that assertions of service accounts must be signed with. `None`: only their form is checked."""
    models: Mapping[str, str] = {}
    """Further names of models, such as deployments and ARNs, by which a model of the catalogue is meant."""


class Names:
    """What a platform calls the models of the catalogue."""

    def __init__(
        self, platform: Platform, catalogue: Catalogue, profile: PlatformProfile, options: FaceOptions
    ) -> None:
        self.platform: Platform = platform
        self.profile = profile
        self._catalogue = catalogue
        self._models: dict[str, Model] = {}
        for model in catalogue.models:
            name = model.platform_id(platform)
            if name is not None:
                self._models.setdefault(name, model)
        for name, meant in options.models.items():
            found = catalogue.find(meant)
            if found is None:
                raise ValueError(f"{meant!r}: is no model of the catalogue; 'trimtab models' lists them")
            self._models[name] = found

    def find(self, name: str) -> Model | None:
        """The model that the platform calls so."""
        return self._models.get(name)


def whole(status: int, headers: Headers, body: bytes) -> SimResponse:
    """A short answer that is ready, marked as simulated."""
    length = (b"content-length", b"%d" % len(body))
    return SimResponse(status, [JSON, *headers, length, SIMULATED], (body,))


def decoded(body: bytes) -> dict[str, Any]:
    """A body as JSON. Raises `RequestError`."""
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise RequestError(f"The request body is not valid JSON: {problem}") from None
    except RecursionError:
        raise RequestError("The request body is nested too deeply") from None
    if not isinstance(raw, dict):
        raise RequestError("The request body should be a JSON object")
    return raw


def encoded(raw: Raw) -> bytes:
    """A body for the core. Raises `RequestError` for what JSON cannot say."""
    try:
        return msgspec.json.encode(raw)
    except (msgspec.EncodeError, RecursionError, ValueError) as problem:
        raise RequestError(f"The request body is not valid JSON: {problem}") from None


def without(headers: Headers, *names: bytes, starting: tuple[bytes, ...] = ()) -> Headers:
    """Headers less those of these names or beginnings."""
    return [(name, value) for name, value in headers if name not in names and not name.startswith(starting)]


def reshaped(
    response: SimResponse, status: int, headers: Headers, change: Callable[[bytes], bytes]
) -> SimResponse:
    """A response that is one document, with another body; its length is said anew."""
    events: Iterable[Step] = [change(step) if isinstance(step, bytes) else step for step in response.events]
    length = sum(len(step) for step in events if isinstance(step, bytes))
    named = [*without(headers, b"content-length"), (b"content-length", b"%d" % length)]
    return msgspec.structs.replace(response, status=status, headers=named, events=events)


def streams(response: SimResponse) -> bool:
    """Whether the answer is an event stream."""
    return any(
        name == b"content-type" and value.startswith(b"text/event-stream") for name, value in response.headers
    )


class VendorError(msgspec.Struct):
    """What an error of the core says."""

    type: str = "api_error"
    message: str = ""
    details: dict[str, Any] | None = None


class _ErrorBody(msgspec.Struct):
    error: VendorError


_ERROR = msgspec.json.Decoder(_ErrorBody)


def error_of(body: bytes) -> VendorError | None:
    """The error that a body or an `error` event of the core holds."""
    try:
        return _ERROR.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def held(response: SimResponse) -> tuple[SimResponse, VendorError | None]:
    """An error answer with its events at hand, and the error that it holds."""
    events = tuple(response.events)
    said = next((error_of(step) for step in events if isinstance(step, bytes)), None)
    return msgspec.structs.replace(response, events=events), said


def in_vendors_words(
    response: SimResponse, profile: PlatformProfile, more: Headers | None = None
) -> SimResponse:
    """The core's answer from a platform that speaks the vendor's API: other headers at most."""
    headers = response.headers
    if not profile.rate_limit_headers:
        headers = without(headers, starting=(b"anthropic-ratelimit-",))
    return msgspec.structs.replace(response, headers=[*headers, *(more or [])])


def betas_of(asked: Asked) -> list[str]:
    """The values of `anthropic-beta`."""
    return [beta for part in (asked.value(b"anthropic-beta") or "").split(",") if (beta := part.strip())]
