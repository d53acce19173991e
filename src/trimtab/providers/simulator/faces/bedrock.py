"""Bedrock's InvokeModel: models in the address, version and betas in the body, AWS's errors, AWS's event stream.

What it is not: Converse, which is answered as not simulated. Invariant: what a chunk holds is an event of the core,
byte for byte, but for the metrics that Bedrock adds to `message_stop`.

Source: Amazon Bedrock API reference, InvokeModel, InvokeModelWithResponseStream, CountTokens (2026-11).
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import msgspec

from trimtab.catalogue import Catalogue
from trimtab.catalogue.model import Model, Platform
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.errors import NotFound, RequestError
from trimtab.messages.sse import parse_block
from trimtab.providers.seam import Headers
from trimtab.providers.simulator.checks.shapes import Raw
from trimtab.providers.simulator.faces.amazon import aws_id, aws_refusal, check_credentials
from trimtab.providers.simulator.faces.event_stream import CONTENT_TYPE, chunk, exception
from trimtab.providers.simulator.faces.face import (
    Asked,
    FaceOptions,
    Names,
    Wanted,
    decoded,
    encoded,
    error_of,
    held,
    reshaped,
    streams,
)
from trimtab.providers.simulator.faces.taken import check_operation, check_size, check_taken
from trimtab.providers.simulator.response import SimResponse, Step

SERVICE = "bedrock"
HTTP_OK = 200

_VERSIONS = {"bedrock-2023-05-31": "2023-06-01", "2026-10-21": "2026-10-21"}
"""Values of `anthropic_version`, and what the vendor's API calls them."""
_PROFILES = ("us.", "eu.", "jp.", "au.", "apac.", "global.")
_STREAM, _WHOLE, _COUNT = "invoke-with-response-stream", "invoke", "count-tokens"
_CONVERSE = ("converse", "converse-stream")

_ERRORS = {
    400: (400, "ValidationException"),
    401: (403, "UnrecognizedClientException"),
    402: (403, "AccessDeniedException"),
    403: (403, "AccessDeniedException"),
    404: (404, "ResourceNotFoundException"),
    408: (408, "ModelTimeoutException"),
    413: (413, "RequestEntityTooLargeException"),
    429: (429, "ThrottlingException"),
    500: (500, "InternalServerException"),
    503: (503, "ServiceUnavailableException"),
    504: (408, "ModelTimeoutException"),
    529: (503, "ServiceUnavailableException"),
}
"""By the status of the vendor's API: AWS's status and name."""
_IN_STREAM = {
    "invalid_request_error": "validationException",
    "rate_limit_error": "throttlingException",
    "overloaded_error": "serviceUnavailableException",
    "timeout_error": "modelTimeoutException",
}
"""By the type of the error event; others are `internalServerException`."""


class BedrockFace:
    """See `faces.face.Face`."""

    platform: Platform = "bedrock"

    def __init__(self, catalogue: Catalogue, profile: PlatformProfile, options: FaceOptions) -> None:
        self._names = Names(self.platform, catalogue, profile, options)
        self._profile = profile
        self._options = options

    def takes(self, asked: Asked) -> bool:
        """See the seam."""
        return asked.target.startswith("/model/")

    def request(self, asked: Asked) -> Wanted:
        """See the seam."""
        name, operation = _address(asked)
        check_size(self._profile, asked.body)
        check_credentials(asked, SERVICE, self._options)
        raw = decoded(asked.body)
        counting = operation == _COUNT
        check_operation(self._profile, counting=counting)
        if counting:
            raw = _counted(raw)
        model = self._model(name, counting=counting)
        for field in ("model", "stream"):
            if field in raw:
                raise RequestError(f"{field}: Extra inputs are not permitted")
        version = _version(raw.pop("anthropic_version", None), model)
        betas = _betas(raw.pop("anthropic_beta", None))
        if "max_tokens" not in raw:
            raise RequestError("max_tokens: Field required")
        check_taken(self._profile, raw, betas, model)
        if counting:
            del raw["max_tokens"]
        if operation == _STREAM:
            raw["stream"] = True
        raw["model"] = model.id
        headers = [
            *(
                (key, value)
                for key, value in asked.headers
                if key not in (b"anthropic-version", b"anthropic-beta")
            ),
            (b"anthropic-version", version.encode()),
        ]
        if betas:
            headers.append((b"anthropic-beta", ",".join(betas).encode()))
        path = "/v1/messages/count_tokens" if counting else "/v1/messages"
        return Wanted(path, headers, encoded(raw))

    def reply(self, asked: Asked, response: SimResponse) -> SimResponse:
        """See the seam."""
        headers = _headers(response.headers)
        if response.foreign:
            return msgspec.structs.replace(response, headers=headers)
        if response.status != HTTP_OK:
            return _failed(response, headers)
        if streams(response):
            named: Headers = [
                (b"content-type", CONTENT_TYPE),
                (b"x-amzn-bedrock-content-type", b"application/json"),
                *((name, value) for name, value in headers if name != b"content-type"),
            ]
            return msgspec.structs.replace(response, headers=named, events=_framed(response))
        if asked.target.endswith(f"/{_COUNT}"):
            return reshaped(response, HTTP_OK, headers, _count_said)
        return msgspec.structs.replace(response, headers=headers)

    def _model(self, name: str, *, counting: bool) -> Model:
        """The model behind an id, an inference profile or an ARN of one. Raises `PlatformRefusal`, `NotFound`."""
        found = self._names.find(name)
        if found is not None:
            if found.ids.bedrock_profiles and name == found.ids.bedrock and not counting:
                raise aws_refusal(
                    400,
                    "ValidationException",
                    f"Invocation of model ID {name} with on-demand throughput isn't supported. Retry your request with "
                    "the ID or ARN of an inference profile that contains this model.",
                )
            return found
        bare = name.rpartition("/")[2]
        profile = next((prefix for prefix in _PROFILES if bare.startswith(prefix)), "")
        found = self._names.find(bare.removeprefix(profile))
        if found is None or (counting and profile):
            raise aws_refusal(400, "ValidationException", "The provided model identifier is invalid.")
        return found


def _address(asked: Asked) -> tuple[str, str]:
    """Model and operation."""
    name, _, operation = asked.target.removeprefix("/model/").rpartition("/")
    if operation in _CONVERSE:
        raise NotFound("Converse is not simulated; use InvokeModel or the Messages endpoint")
    if not name or operation not in (_STREAM, _WHOLE, _COUNT):
        raise aws_refusal(404, "UnknownOperationException", "Unknown operation")
    if asked.method != "POST":
        raise aws_refusal(405, "UnknownOperationException", f"{asked.method} is not this operation's method")
    return unquote(name), operation


def _counted(raw: Raw) -> dict[str, Any]:
    """The body to be counted, which CountTokens carries in base64."""
    inner = raw.get("input")
    invoked = inner.get("invokeModel") if isinstance(inner, dict) else None
    body = invoked.get("body") if isinstance(invoked, dict) else None
    if not isinstance(body, str):
        raise RequestError("input.invokeModel.body: Field required (Converse is not simulated)")
    try:
        return decoded(base64.b64decode(body, validate=True))
    except binascii.Error:
        raise RequestError("input.invokeModel.body: is not base64") from None


def _version(said: object, model: Model) -> str:
    if said is None:
        raise RequestError("anthropic_version: Field required")
    version = _VERSIONS.get(said) if isinstance(said, str) else None
    taken = model.ids.bedrock_api_versions
    if version is None or (taken is not None and version not in taken):
        raise RequestError(f"anthropic_version: {said!r:.64} is not a valid version for this model")
    return version


def _betas(said: object) -> list[str]:
    if said is None:
        return []
    if not isinstance(said, list) or not all(isinstance(beta, str) and beta.isascii() for beta in said):
        raise RequestError("anthropic_beta: Input should be a list of strings")
    return [str(beta) for beta in said]


def _headers(headers: Headers) -> Headers:
    """Those that AWS sends: its own id of the request, and none of the vendor's."""
    kept = [
        (name, value)
        for name, value in headers
        if not name.startswith(b"anthropic-") and name not in (b"request-id", b"x-should-retry")
    ]
    own = next((value for name, value in headers if name == b"request-id"), b"")
    return [*kept, (b"x-amzn-requestid", aws_id(own.decode("latin-1")))]


def _failed(response: SimResponse, headers: Headers) -> SimResponse:
    response, said = held(response)
    status, name = _ERRORS.get(
        response.status,
        (response.status, "InternalServerException" if response.status >= 500 else "ValidationException"),
    )
    if said is not None and said.details is not None and response.status == 429:
        status, name = 400, "ServiceQuotaExceededException"

    def worded(body: bytes) -> bytes:
        error = error_of(body)
        return body if error is None else msgspec.json.encode({"message": error.message})

    return reshaped(response, status, [*headers, (b"x-amzn-errortype", name.encode())], worded)


def _count_said(body: bytes) -> bytes:
    counted = msgspec.json.decode(body)
    return msgspec.json.encode({"inputTokens": counted["input_tokens"]})


def _framed(response: SimResponse) -> Iterator[Step]:
    counts = {"input_tokens": 0, "output_tokens": 0}
    for step in response.events:
        if not isinstance(step, bytes):
            yield step
            continue
        event = parse_block(step.rstrip(b"\n"))
        data = event.data
        if event.name == b"error":
            error = error_of(data)
            kind = error.type if error is not None else ""
            message = error.message if error is not None else ""
            yield exception(_IN_STREAM.get(kind, "internalServerException"), message)
            return
        if event.name in (b"message_start", b"message_delta"):
            said = msgspec.json.decode(data)
            counts |= said.get("usage") or said["message"]["usage"]
        elif event.name == b"message_stop":
            metrics = {
                "inputTokenCount": counts["input_tokens"],
                "outputTokenCount": counts["output_tokens"],
                "invocationLatency": 1,
                "firstByteLatency": 1,
            }
            data = b'%b,"amazon-bedrock-invocationMetrics":%b}' % (data[:-1], msgspec.json.encode(metrics))
        yield chunk(data)
