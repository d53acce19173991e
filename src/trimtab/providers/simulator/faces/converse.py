"""Bedrock's Converse: AWS's own schema for all models, answered in one piece or as events of its own.

What it is not: our provider's reading and writing of it, with which it shares no code. Invariant: what the schema does
not have, or is not simulated, is refused by its place.

Source: Amazon Bedrock API reference, Converse and ConverseStream (2026-11).
"""

import msgspec

from trimtab.catalogue import Catalogue
from trimtab.catalogue.model import Platform
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.providers.simulator.faces.amazon import check_credentials
from trimtab.providers.simulator.faces.bedrock_runtime import (
    COUNT,
    HTTP_OK,
    SERVICE,
    aws_headers,
    betas_in,
    count_said,
    count_wanted,
    failed,
    headers_of,
    model_in,
    model_named,
    operation_of,
    wanted,
)
from trimtab.providers.simulator.faces.converse_read import messages_request, read_request
from trimtab.providers.simulator.faces.converse_say import said_in_frames, said_whole
from trimtab.providers.simulator.faces.event_stream import CONTENT_TYPE
from trimtab.providers.simulator.faces.face import (
    Asked,
    FaceOptions,
    Names,
    Wanted,
    reshaped,
    streams,
    without,
)
from trimtab.providers.simulator.faces.taken import check_operation, check_size, check_taken
from trimtab.providers.simulator.response import SimResponse

_STREAM, _WHOLE = "converse-stream", "converse"
_VERSION = "2023-06-01"
"""Of the vendor's API: Converse has no place for one, and takes sampling parameters, which later ones do not have."""
_REFUSED = "The model returned the following errors: "


class ConverseFace:
    """See `faces.face.Face`."""

    platform: Platform = "bedrock_converse"

    def __init__(self, catalogue: Catalogue, profile: PlatformProfile, options: FaceOptions) -> None:
        self._names = Names(self.platform, catalogue, profile, options)
        self._profile = profile
        self._options = options

    def takes(self, asked: Asked) -> bool:
        """See the seam."""
        return operation_of(asked) in (_STREAM, _WHOLE)

    def request(self, asked: Asked) -> Wanted:
        """See the seam."""
        name = model_in(asked, (_STREAM, _WHOLE, COUNT))
        operation = operation_of(asked)
        check_size(self._profile, asked.body)
        check_credentials(asked, SERVICE, self._options)
        check_operation(self._profile, counting=operation == COUNT)
        if operation == COUNT:
            return count_wanted(asked, name, self._names, self._profile)
        said = read_request(asked.body)
        model = model_named(self._names, name, counting=False)
        raw = messages_request(said, model)
        betas = betas_in(raw)
        check_taken(self._profile, raw, betas, model)
        if operation == _STREAM:
            raw["stream"] = True
        return wanted(asked, "/v1/messages", raw, model, headers_of(_VERSION, betas))

    def reply(self, asked: Asked, response: SimResponse) -> SimResponse:
        """See the seam."""
        headers = aws_headers(response.headers)
        if response.foreign:
            return msgspec.structs.replace(response, headers=headers)
        if response.status != HTTP_OK:
            return failed(response, headers, _REFUSED)
        if operation_of(asked) == COUNT:
            return count_said(response, headers)
        paths = read_request(asked.body).additional_model_response_field_paths or ()
        if streams(response):
            named = [(b"content-type", CONTENT_TYPE), *without(headers, b"content-type")]
            return msgspec.structs.replace(
                response, headers=named, events=said_in_frames(response.events, paths)
            )
        return reshaped(response, HTTP_OK, headers, lambda body: said_whole(body, paths))
