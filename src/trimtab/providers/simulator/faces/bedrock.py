"""Bedrock's InvokeModel: models in the address, version and betas in the body, AWS's errors, AWS's event stream.

What it is not: Converse (`converse`), at the same host. Invariant: what a chunk holds is an event of the core, byte for
byte, but for the metrics that Bedrock adds to `message_stop`.

Source: Amazon Bedrock API reference, InvokeModel, InvokeModelWithResponseStream (2026-11).
"""

from collections.abc import Iterator

import msgspec

from trimtab.catalogue import Catalogue
from trimtab.catalogue.model import Platform
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.messages.sse import parse_block
from trimtab.providers.seam import Headers
from trimtab.providers.simulator.faces.amazon import check_credentials
from trimtab.providers.simulator.faces.bedrock_runtime import (
    COUNT,
    HTTP_OK,
    SERVICE,
    aws_headers,
    count_said,
    count_wanted,
    failed,
    invoked,
    model_in,
    model_named,
    operation_of,
    wanted,
)
from trimtab.providers.simulator.faces.event_stream import CONTENT_TYPE, chunk, exception
from trimtab.providers.simulator.faces.face import (
    Asked,
    FaceOptions,
    Names,
    Wanted,
    decoded,
    error_of,
    streams,
)
from trimtab.providers.simulator.faces.taken import check_operation, check_size
from trimtab.providers.simulator.response import SimResponse, Step

_STREAM, _WHOLE = "invoke-with-response-stream", "invoke"

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
        """See the seam. Asked after Converse, which has the same host."""
        return asked.target.startswith("/model/")

    def request(self, asked: Asked) -> Wanted:
        """See the seam."""
        name = model_in(asked, (_STREAM, _WHOLE, COUNT))
        operation = operation_of(asked)
        check_size(self._profile, asked.body)
        check_credentials(asked, SERVICE, self._options)
        check_operation(self._profile, counting=operation == COUNT)
        if operation == COUNT:
            return count_wanted(asked, name, self._names, self._profile)
        raw = decoded(asked.body)
        model = model_named(self._names, name, counting=False)
        raw, named = invoked(raw, model, self._profile)
        if operation == _STREAM:
            raw["stream"] = True
        return wanted(asked, "/v1/messages", raw, model, named)

    def reply(self, asked: Asked, response: SimResponse) -> SimResponse:
        """See the seam."""
        headers = aws_headers(response.headers)
        if response.foreign:
            return msgspec.structs.replace(response, headers=headers)
        if response.status != HTTP_OK:
            return failed(response, headers)
        if streams(response):
            named: Headers = [
                (b"content-type", CONTENT_TYPE),
                (b"x-amzn-bedrock-content-type", b"application/json"),
                *((name, value) for name, value in headers if name != b"content-type"),
            ]
            return msgspec.structs.replace(response, headers=named, events=_framed(response))
        if operation_of(asked) == COUNT:
            return count_said(response, headers)
        return msgspec.structs.replace(response, headers=headers)


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
