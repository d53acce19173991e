"""Microsoft Foundry: the vendor's API under `/anthropic`, where models are deployments.

What it is not: Azure OpenAI. Invariant: what Azure's front door says (key, deployment, 503) is in Azure's shape, all
else in the vendor's. That this is so at Azure is seen from what clients report, not documented.

Source: vendor page on Microsoft Foundry (2026-11); wire output of the vendor's SDK 2.11.
"""

import msgspec

from trimtab.catalogue import Catalogue
from trimtab.catalogue.model import Platform
from trimtab.catalogue.platforms import PlatformProfile
from trimtab.errors import NotFound
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
)
from trimtab.providers.simulator.faces.taken import check_operation, check_size, check_taken
from trimtab.providers.simulator.issued import Issued
from trimtab.providers.simulator.response import SimResponse

UNAVAILABLE = 503
_AT = "/anthropic"
_PATHS = ("/v1/messages", "/v1/messages/count_tokens")


class FoundryFace:
    """See `faces.face.Face`."""

    platform: Platform = "foundry"

    def __init__(self, catalogue: Catalogue, profile: PlatformProfile, options: FaceOptions) -> None:
        self._names = Names(self.platform, catalogue, profile, options)
        self._profile = profile
        self._issued = options.issued

    def takes(self, asked: Asked) -> bool:
        """See the seam. Asked after Bedrock's Messages endpoint, which has the same paths."""
        return asked.path.startswith(f"{_AT}/")

    def request(self, asked: Asked) -> Wanted:
        """See the seam."""
        _check_key(asked, self._issued)
        path = asked.path.removeprefix(_AT) if asked.path.startswith(_AT) else ""
        if path not in _PATHS:
            raise NotFound("Not found")
        check_operation(self._profile, counting=path == _PATHS[1])
        check_size(self._profile, asked.body)
        raw = decoded(asked.body)
        name = raw.get("model")
        model = self._names.find(name) if isinstance(name, str) else None
        if model is None:
            raise azure_refusal(
                404,
                "DeploymentNotFound",
                f"The API deployment {name!s:.120} does not exist. If you created the deployment within the last 5 "
                "minutes, please wait a moment and try again.",
            )
        check_taken(self._profile, raw, betas_of(asked), model)
        raw["model"] = model.id
        headers = [*asked.headers, (b"x-api-key", b"checked")]  # the core knows no `api-key`
        return Wanted(path, headers, encoded(raw), method=asked.method)

    def reply(self, asked: Asked, response: SimResponse) -> SimResponse:
        """See the seam."""
        own = next((value for name, value in response.headers if name == b"request-id"), b"")
        made = in_vendors_words(response, self._profile, [(b"apim-request-id", own)])
        if response.foreign or response.status != UNAVAILABLE:
            return made
        made, _ = held(made)  # the vendor has no 503: it is Azure's
        return reshaped(made, UNAVAILABLE, made.headers, _unavailable)


def _unavailable(body: bytes) -> bytes:
    error = error_of(body)
    return body if error is None else _said("ServiceUnavailable", error.message)


def azure_refusal(status: int, code: str, message: str) -> PlatformRefusal:
    """An error answer in Azure's shape."""
    return PlatformRefusal(status, [], _said(code, message))


def _said(code: str, message: str) -> bytes:
    return msgspec.json.encode({"error": {"code": code, "message": message}})


def _check_key(asked: Asked, issued: Issued) -> None:
    given = asked.value(b"authorization")
    kind, _, token = (given or "").partition(" ")
    bearer = kind == "Bearer" and bool(token.strip())
    if not bearer and not (asked.value(b"api-key") or asked.value(b"x-api-key")):
        raise azure_refusal(
            401,
            "401",
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for "
            "an active subscription and use a correct regional API endpoint for your resource.",
        )
    if bearer and issued.verdict("azure", token.strip(), asked.now_s) not in ("good", "foreign"):
        raise azure_refusal(
            401,
            "401",
            "Unauthorized. Access token is missing, invalid, audience is incorrect (https://ai.azure.com), or have "
            "expired.",
        )
