"""What the operations of Bedrock's runtime have in common: addresses, ids of models, headers, errors, counts.

What it is not: the operations (`bedrock`, `converse`). Invariant: an error has AWS's name in its header and its message
in the body, and nothing else.

Source: Amazon Bedrock API reference, common errors and CountTokens (2026-11).
"""

import base64
import binascii
from typing import Any
from urllib.parse import unquote

import msgspec

from trimtab.catalogue.model import Model
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.errors import RequestError
from trimtab.providers.seam import Headers
from trimtab.providers.simulator.checks.shapes import Raw
from trimtab.providers.simulator.faces.amazon import aws_id, aws_refusal
from trimtab.providers.simulator.faces.converse_read import invalid, messages_counted, read_counted
from trimtab.providers.simulator.faces.face import (
    Asked,
    Names,
    Wanted,
    decoded,
    encoded,
    error_of,
    held,
    reshaped,
    without,
)
from trimtab.providers.simulator.faces.taken import check_taken
from trimtab.providers.simulator.response import SimResponse

SERVICE = "bedrock"
HTTP_OK = 200
COUNT = "count-tokens"

_AT = "/model/"
_VERSIONS = {"bedrock-2023-05-31": "2023-06-01", "2026-10-21": "2026-10-21"}
"""Values of `anthropic_version`, and what the vendor's API calls them."""
_PROFILES = ("us.", "eu.", "jp.", "au.", "apac.", "global.")

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


def operation_of(asked: Asked) -> str:
    """What stands behind the model; empty where the address is another service's."""
    return asked.target.rpartition("/")[2] if asked.target.startswith(_AT) else ""


def model_in(asked: Asked, operations: tuple[str, ...]) -> str:
    """The model's name in the address. Raises `PlatformRefusal` where the operation is none of these."""
    name, _, operation = asked.target.removeprefix(_AT).rpartition("/")
    if not name or not asked.target.startswith(_AT) or operation not in operations:
        raise aws_refusal(404, "UnknownOperationException", "Unknown operation")
    if asked.method != "POST":
        raise aws_refusal(405, "UnknownOperationException", f"{asked.method} is not this operation's method")
    return unquote(name)


def model_named(names: Names, name: str, *, counting: bool) -> Model:
    """The model behind an id, an inference profile or an ARN of one. Raises `PlatformRefusal`."""
    found = names.find(name)
    if found is not None:
        if found.ids.bedrock_profiles and name == found.ids.bedrock and not counting:
            raise invalid(
                f"Invocation of model ID {name} with on-demand throughput isn't supported. Retry your request with "
                "the ID or ARN of an inference profile that contains this model."
            )
        return found
    bare = name.rpartition("/")[2]
    profile = next((prefix for prefix in _PROFILES if bare.startswith(prefix)), "")
    found = names.find(bare.removeprefix(profile))
    if found is None or (counting and profile):
        raise invalid("The provided model identifier is invalid.")
    return found


def invoked(raw: Raw, model: Model, profile: PlatformProfile) -> tuple[Raw, Headers]:
    """A body of InvokeModel as the core takes it, and the headers whose values stood in it. Raises `RequestError`."""
    for field in ("model", "stream"):
        if field in raw:
            raise RequestError(f"{field}: Extra inputs are not permitted")
    version = _version(raw.pop("anthropic_version", None), model)
    betas = betas_in(raw)
    if "max_tokens" not in raw:
        raise RequestError("max_tokens: Field required")
    check_taken(profile, raw, betas, model)
    return raw, headers_of(version, betas)


def headers_of(version: str, betas: list[str]) -> Headers:
    """The vendor's headers for a version and betas."""
    named: Headers = [(b"anthropic-version", version.encode())]
    return [*named, (b"anthropic-beta", ",".join(betas).encode())] if betas else named


def betas_in(raw: Raw) -> list[str]:
    """Takes the betas out of a body. Raises `RequestError`."""
    said = raw.pop("anthropic_beta", None)
    if said is None:
        return []
    if not isinstance(said, list) or not all(isinstance(beta, str) and beta.isascii() for beta in said):
        raise RequestError("anthropic_beta: Input should be a list of strings")
    return [str(beta) for beta in said]


def wanted(asked: Asked, path: str, raw: Raw, model: Model, named: Headers) -> Wanted:
    """A request for the core."""
    raw["model"] = model.id
    headers = [*without(asked.headers, b"anthropic-version", b"anthropic-beta"), *named]
    return Wanted(path, headers, encoded(raw))


def count_wanted(asked: Asked, name: str, names: Names, profile: PlatformProfile) -> Wanted:
    """CountTokens of a body of InvokeModel, which it carries in base64, or of Converse's."""
    inner = decoded(asked.body).get("input")
    said = inner if isinstance(inner, dict) else {}
    if "converse" in said:
        raw = messages_counted(read_counted(said["converse"]))
        model = model_named(names, name, counting=True)
        betas = betas_in(raw)
        check_taken(profile, raw, betas, model)
        named = headers_of("2023-06-01", betas)
    else:
        content = _carried(said)
        model = model_named(names, name, counting=True)
        raw, named = invoked(content, model, profile)
        del raw["max_tokens"]
    return wanted(asked, "/v1/messages/count_tokens", raw, model, named)


def count_said(response: SimResponse, headers: Headers) -> SimResponse:
    """The core's count in CountTokens's words."""
    return reshaped(response, HTTP_OK, headers, _count)


def _count(body: bytes) -> bytes:
    return msgspec.json.encode({"inputTokens": msgspec.json.decode(body)["input_tokens"]})


def _carried(said: Raw) -> dict[str, Any]:
    invoke = said.get("invokeModel")
    body = invoke.get("body") if isinstance(invoke, dict) else None
    if not isinstance(body, str):
        raise RequestError("input.invokeModel.body: Field required")
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


def aws_headers(headers: Headers) -> Headers:
    """Those that AWS sends: its own id of the request, and none of the vendor's."""
    own = next((value for name, value in headers if name == b"request-id"), b"")
    kept = without(headers, b"request-id", b"x-should-retry", starting=(b"anthropic-",))
    return [*kept, (b"x-amzn-requestid", aws_id(own.decode("latin-1")))]


def failed(response: SimResponse, headers: Headers, before: str = "") -> SimResponse:
    """An error of the core in AWS's words; `before` stands before the message of what the model refuses.

    The `error_code` of a script is AWS's name where it ends as those do.
    """
    response, said = held(response)
    status, name = _ERRORS.get(
        response.status,
        (response.status, "InternalServerException" if response.status >= 500 else "ValidationException"),
    )
    code = str((said.details or {}).get("error_code", "")) if said is not None else ""
    if code.endswith("Exception"):
        status, name = response.status, code
    elif code and response.status == 429:
        status, name = 400, "ServiceQuotaExceededException"
    before = before if status == 400 else ""

    def worded(body: bytes) -> bytes:
        error = error_of(body)
        return body if error is None else msgspec.json.encode({"message": f"{before}{error.message}"})

    return reshaped(response, status, [*headers, (b"x-amzn-errortype", name.encode())], worded)
