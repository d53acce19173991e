"""Checks a signature as AWS would, with AWS's own library: what was received is signed again and compared.

What it is not: a copy of our signing (`providers.aws.sigv4`), which it never imports.
"""

import hmac
from typing import Protocol

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


class Seen(Protocol):
    """A request as it came over the wire."""

    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


def signed_by(
    request: Seen,
    secret_key: str,
    service: str,
    region: str,
    *,
    method: str = "POST",
    token: str | None = None,
) -> list[str]:
    """The names of the headers that the signature covers. Raises `AssertionError` where it does not hold."""
    named: dict[str, list[str]] = {}
    for name, value in request.headers:
        named.setdefault(name.decode().lower(), []).append(value.decode("latin-1"))
    [authorization] = named["authorization"]
    algorithm, _, rest = authorization.partition(" ")
    assert algorithm == "AWS4-HMAC-SHA256"
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    access_key, *scope = parts["Credential"].split("/")
    [stamp] = named["x-amz-date"]
    assert scope == [stamp[:8], region, service, "aws4_request"]
    names = parts["SignedHeaders"].split(";")
    assert "host" in names
    unsigned = [name for name in named if name.startswith("x-amz-") and name not in names]
    assert not unsigned, f"AWS refuses {unsigned}"
    assert named.get("x-amz-security-token", [None]) == [token]
    again = AWSRequest(method=method, url=f"http://host{request.target.decode()}", data=request.body)
    for name in names:
        for value in named[name]:
            again.headers.add_header(name, value)
    again.context["timestamp"] = stamp
    signer = SigV4Auth(Credentials(access_key, secret_key, token), service, region)
    expected = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
    assert hmac.compare_digest(expected, parts["Signature"]), signer.canonical_request(again)
    return names
