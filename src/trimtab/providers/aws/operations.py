"""Calls of Bedrock's runtime: the model and the operation are in the address.

What it is not: their bodies, which each way into Bedrock has its own of.
"""

from urllib.parse import quote

import msgspec

from trimtab.providers.replies import JSON
from trimtab.providers.seam import Call

_IN_THE_BODY = (b"accept", b"anthropic-beta", b"anthropic-version")
"""Headers that Bedrock takes in the body, or by its own value."""


def runtime_call(call: Call, model: str, operation: str, content: bytes) -> Call:
    """The call of an operation on a model, with this body and what of the headers Bedrock is to see. Headers in AWS's
    name are ours to set: they would be signed."""
    return msgspec.structs.replace(
        call,
        path=f"/model/{quote(model, safe=':')}/{operation}",
        query=b"",
        headers=[
            *(
                (name, value)
                for name, value in call.headers
                if name not in _IN_THE_BODY and not name.startswith(b"x-amz-")
            ),
            (b"accept", JSON),
        ],
        body=content,
    )
