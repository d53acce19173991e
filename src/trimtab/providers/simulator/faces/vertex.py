"""Google Vertex AI: models in the address, the version in the body, Google's errors.

What it is not: Google's own models. Invariant: what the model's side refuses (400) or is too busy for (529) is said
in the vendor's words, all other errors in Google's. That it is so at Google is seen from what clients report, not
documented.

Source: vendor page on Vertex AI (2026-11); wire output of the vendor's SDK 2.11; Google API design guide, errors.
"""

from typing import Any
from urllib.parse import unquote

import msgspec

from trimtab.catalogue import Catalogue
from trimtab.catalogue.model import Platform
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.errors import RequestError
from trimtab.providers.seam import Headers
from trimtab.providers.simulator.faces.face import (
    Asked,
    FaceOptions,
    Names,
    PlatformRefusal,
    Wanted,
    betas_of,
    decoded,
    encoded,
    error_of,
    held,
    in_vendors_words,
    reshaped,
    without,
)
from trimtab.providers.simulator.faces.taken import check_operation, check_size, check_taken
from trimtab.providers.simulator.issued import Issued
from trimtab.providers.simulator.response import SimResponse

_VERSIONS = {"vertex-2023-10-16": "2023-06-01", "2026-10-21": "2026-10-21"}
"""Values of `anthropic_version`, and what the vendor's API calls them."""
_VENDORS_OWN = (400, 529)
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""By HTTP status. Source: google.rpc.Code."""
_COUNT = "count-tokens"


class VertexFace:
    """See `faces.face.Face`."""

    platform: Platform = "vertex"

    def __init__(self, catalogue: Catalogue, profile: PlatformProfile, options: FaceOptions) -> None:
        self._names = Names(self.platform, catalogue, profile, options)
        self._profile = profile
        self._options = options

    def takes(self, asked: Asked) -> bool:
        """See the seam."""
        return asked.path.startswith("/v1/projects/")

    def request(self, asked: Asked) -> Wanted:
        """See the seam."""
        _check_token(asked, self._options.issued)
        name, streams = self._address(asked)
        check_size(self._profile, asked.body)
        raw = decoded(asked.body)
        counting = name == _COUNT
        check_operation(self._profile, counting=counting)
        if counting:
            name = str(raw.pop("model", ""))
        elif "model" in raw:
            raise RequestError("model: Extra inputs are not permitted")
        model = self._names.find(name)
        if model is None:
            raise google_refusal(
                404, f"Publisher Model `{asked.path.partition('/v1/')[2]:.300}` was not found or your project does not "
                "have access to it. Please ensure you are using a valid model version."
            )  # fmt: skip
        if raw.get("stream") is not None and bool(raw["stream"]) != streams:
            raise RequestError(f"stream: {raw['stream']!r:.20} is not what the method of the address does")
        version = _version(raw.pop("anthropic_version", None))
        betas = [*betas_of(asked), *_written(raw.pop("anthropic_beta", None))]
        check_taken(self._profile, raw, betas, model)
        raw["model"] = model.id
        if streams:
            raw["stream"] = True
        headers = [
            *without(asked.headers, b"anthropic-version", b"anthropic-beta"),
            (b"anthropic-version", version.encode()),
        ]
        if betas:
            headers.append((b"anthropic-beta", ",".join(betas).encode()))
        return Wanted("/v1/messages/count_tokens" if counting else "/v1/messages", headers, encoded(raw))

    def reply(self, asked: Asked, response: SimResponse) -> SimResponse:
        """See the seam."""
        if response.foreign or response.status < 400 or response.status in _VENDORS_OWN:
            return in_vendors_words(response, self._profile)
        response, said = held(response)
        if said is None:
            return in_vendors_words(response, self._profile)
        status = response.status
        headers = without(response.headers, b"request-id", starting=(b"anthropic-",))

        def worded(body: bytes) -> bytes:
            error = error_of(body)
            return body if error is None else _body(status, error.message)

        return reshaped(response, status, headers, worded)

    def _address(self, asked: Asked) -> tuple[str, bool]:
        """What stands for the model, and whether the answer is a stream. Raises `PlatformRefusal`."""
        parts = asked.target.split(
            "/"
        )  # "", v1, projects, P, locations, R, publishers, anthropic, models, M:METHOD
        fixed = (parts[4:5], parts[6:9])
        if (
            len(parts) != 10
            or fixed != (["locations"], ["publishers", "anthropic", "models"])
            or not parts[3]
        ):
            raise google_refusal(404, "The requested URL was not found on this server.")
        location, (name, _, method) = parts[5], unquote(parts[9]).rpartition(":")
        if self._options.region is not None and location != self._options.region:
            raise google_refusal(400, f"Unsupported region for Vertex AI: {location:.60}")
        if method not in ("rawPredict", "streamRawPredict") or (name == _COUNT and method != "rawPredict"):
            raise google_refusal(404, f"Method not found: {method:.60}")
        if asked.method != "POST":
            raise google_refusal(404, "The requested URL was not found on this server.")
        return name, method == "streamRawPredict"


def google_refusal(status: int, message: str, headers: Headers | None = None) -> PlatformRefusal:
    """An error answer in Google's shape."""
    return PlatformRefusal(status, headers or [], _body(status, message))


def _body(status: int, message: str) -> bytes:
    error: dict[str, Any] = {"code": status, "message": message, "status": _STATUSES.get(status, "UNKNOWN")}
    return msgspec.json.encode({"error": error})


def _check_token(asked: Asked, issued: Issued) -> None:
    given = asked.value(b"authorization")
    if given is None:
        raise google_refusal(
            401,
            "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or "
            "other valid authentication credential.",
            [(b"www-authenticate", b'Bearer realm="https://accounts.google.com/"')],
        )
    kind, _, token = given.partition(" ")
    if kind != "Bearer" or not token.strip() or " " in token.strip():
        raise google_refusal(
            401, "Request had invalid authentication credentials. Expected OAuth 2 access token."
        )
    if issued.verdict("google", token.strip(), asked.now_s) not in ("good", "foreign"):
        raise google_refusal(
            401,
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
            "valid authentication credential.",
            [(b"www-authenticate", b'Bearer realm="https://accounts.google.com/", error="invalid_token"')],
        )


def _version(said: object) -> str:
    if said is None:
        raise RequestError("anthropic_version: Field required")
    version = _VERSIONS.get(said) if isinstance(said, str) else None
    if version is None:
        raise RequestError(f"anthropic_version: {said!r:.64} is not a valid version")
    return version


def _written(said: object) -> list[str]:
    if said is None:
        return []
    if not isinstance(said, list) or not all(isinstance(beta, str) and beta.isascii() for beta in said):
        raise RequestError("anthropic_beta: Input should be a list of strings")
    return [str(beta) for beta in said]
