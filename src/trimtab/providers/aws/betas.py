"""The values of `anthropic-beta`, which Bedrock wants in a body.

What it is not: which of them a platform knows (`catalogue/platforms.yaml`). Invariant: each once, in order.
"""

import msgspec

from trimtab.messages import MessagesBody
from trimtab.providers.seam import Headers


def betas_of(headers: Headers) -> list[str]:
    """The values of `anthropic-beta`, each once, in order."""
    values = [value for name, value in headers if name == b"anthropic-beta"]
    return list(
        dict.fromkeys(
            beta for part in b",".join(values).decode("latin-1").split(",") if (beta := part.strip())
        )
    )


def joined_betas(body: MessagesBody, headers: Headers) -> list[object] | None:
    """What the body's `anthropic_beta` comes to with those of the headers. `None`: the body stays as it is."""
    betas = betas_of(headers)
    if not betas:
        return None
    if "anthropic_beta" not in body.fields:
        return [*betas]
    written = msgspec.json.decode(body.fields["anthropic_beta"])
    if not isinstance(written, list):
        return None  # the platform judges it
    return [*written, *(beta for beta in betas if beta not in written)]
