"""Claude Platform on AWS: the vendor's API, behind AWS's credentials and a workspace.

What it is not: Bedrock. Invariant: without a workspace nothing is answered; credentials that are refused are refused in
AWS's words, all else in the vendor's. That this is so at AWS is not documented.

Source: vendor page on Claude Platform on AWS (2026-11); wire output of the vendor's SDK 2.11.
"""

from trimtab.catalogue import Catalogue
from trimtab.catalogue.model import Platform
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.errors import RequestError
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
from trimtab.providers.simulator.faces.taken import check_size, check_taken
from trimtab.providers.simulator.response import SimResponse

SERVICE = "aws-external-anthropic"
WORKSPACE = b"anthropic-workspace-id"


class ClaudeOnAwsFace:
    """See `faces.face.Face`."""

    platform: Platform = "anthropic_on_aws"

    def __init__(self, catalogue: Catalogue, profile: PlatformProfile, options: FaceOptions) -> None:
        self._names = Names(self.platform, catalogue, profile, options)
        self._profile = profile
        self._options = options

    def takes(self, asked: Asked) -> bool:
        """See the seam. The Claude API has the same paths; a workspace with a bearer key is taken for AWS's."""
        if not asked.path.startswith("/v1/"):
            return False
        return is_signed(asked) or (has_bearer(asked) and asked.value(WORKSPACE) is not None)

    def request(self, asked: Asked) -> Wanted:
        """See the seam."""
        check_size(self._profile, asked.body)
        check_credentials(asked, SERVICE, self._options)
        workspace = asked.value(WORKSPACE)
        if not workspace:
            raise RequestError("anthropic-workspace-id: header is required")
        if not workspace.startswith("wrkspc_"):
            raise RequestError(f"anthropic-workspace-id: {workspace!r:.80} is not the id of a workspace")
        body = asked.body
        if body:
            raw = decoded(body)
            name = raw.get("model")
            model = self._names.find(name) if isinstance(name, str) else None
            check_taken(self._profile, raw, betas_of(asked), model)
            if model is not None and model.id != name:
                body = encoded({**raw, "model": model.id})
        return Wanted(asked.path, asked.headers, body, asked.query, asked.method)

    def reply(self, asked: Asked, response: SimResponse) -> SimResponse:
        """See the seam."""
        own = next((value for name, value in response.headers if name == b"request-id"), b"")
        return in_vendors_words(
            response, self._profile, [(b"x-amzn-requestid", aws_id(own.decode("latin-1")))]
        )
