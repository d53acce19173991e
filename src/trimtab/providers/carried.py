"""Bodies of platforms that have the model in the address and the API version in the body.

What it is not: any one platform's other members, such as Bedrock's betas. Invariant: what the caller wrote in the body
stays, as with the vendor's own clients, and so does every byte that has no reason to change.
"""

from collections.abc import Collection, Mapping

from trimtab.messages import GONE, MessagesBody
from trimtab.providers.replies import value_of
from trimtab.providers.seam import Headers


def version_member(body: MessagesBody, headers: Headers, old: str) -> dict[str, object]:
    """`anthropic_version` as the header of the call says it, unless the body has one. `old` is what the platform calls
    version 2023-06-01; later ones have the vendor's names."""
    if "anthropic_version" in body.fields:
        return {}
    sent = value_of(headers, b"anthropic-version").decode("latin-1")
    return {"anthropic_version": old if sent in ("", "2023-06-01") else sent}


def without_model(body: MessagesBody, members: Mapping[str, object], gone: Collection[str] = ()) -> bytes:
    """The body with members, if any, in the place of its `model`, and without the top-level fields in `gone`."""
    if not members:
        return body.changed({name: GONE for name in ("model", *gone) if name in body.fields})
    return body.without_model(members, gone)
