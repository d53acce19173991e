"""Bedrock's Messages endpoint ("mantle"): the vendor's API under `/anthropic`, with ids of its own.

What it is not: InvokeModel. Invariant: credentials that AWS's front door refuses are refused in AWS's words, all else
in the vendor's. That this is so at AWS is not documented.

Source: vendor page on Claude in Amazon Bedrock (2026-08); wire output of the vendor's SDK 2.11.
"""

from trimtab.catalogue import Catalogue
from trimtab.catalogue.model import Platform
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.errors import NotFound, RequestError
from trimtab.providers.simulator.faces.amazon import aws_id, check_credentials, has_bearer, is_signed
from trimtab.providers.simulator.faces.face import (
    Asked,
    FaceOptions,
    Names,
    Wanted,
    betas_of,
    decoded,
    encoded,
    in_vendors_words,
)
from trimtab.providers.simulator.faces.taken import check_operation, check_size, check_taken
from trimtab.providers.simulator.response import SimResponse

SERVICE = "bedrock-mantle"
_AT = "/anthropic"
_PATHS = ("/v1/messages", "/v1/messages/count_tokens")


class MantleFace:
    """See `faces.face.Face`."""

    platform: Platform = "bedrock_mantle"

    def __init__(self, catalogue: Catalogue, profile: PlatformProfile, options: FaceOptions) -> None:
        self._names = Names(self.platform, catalogue, profile, options)
        self._profile = profile
        self._options = options

    def takes(self, asked: Asked) -> bool:
        """See the seam. Foundry has the same paths: signatures are AWS's, bearer keys are by the model's id."""
        if not asked.path.startswith(f"{_AT}/"):
            return False
        return is_signed(asked) or (has_bearer(asked) and b'"anthropic.claude-' in asked.body)

    def request(self, asked: Asked) -> Wanted:
        """See the seam."""
        path = asked.path.removeprefix(_AT) if asked.path.startswith(_AT) else ""
        check_size(self._profile, asked.body)
        check_credentials(asked, SERVICE, self._options)
        if path not in _PATHS:
            raise NotFound("Not found")
        check_operation(self._profile, counting=path == _PATHS[1])
        raw = decoded(asked.body)
        name = raw.get("model")
        model = self._names.find(name) if isinstance(name, str) else None
        if model is None:
            raise NotFound(f"model: {name!s:.256}")
        version, taken = asked.value(b"anthropic-version"), model.ids.bedrock_api_versions
        if taken is not None and version not in taken:
            raise RequestError(f'anthropic-version: "{version!s:.64}" is not a valid version for this model')
        check_taken(self._profile, raw, betas_of(asked), model)
        raw.pop("user_profile_id", None)  # it stands in the body here, and has no effect
        raw["model"] = model.id
        return Wanted(path, asked.headers, encoded(raw), method=asked.method)

    def reply(self, asked: Asked, response: SimResponse) -> SimResponse:
        """See the seam."""
        own = next((value for name, value in response.headers if name == b"request-id"), b"")
        return in_vendors_words(
            response, self._profile, [(b"x-amzn-requestid", aws_id(own.decode("latin-1")))]
        )
