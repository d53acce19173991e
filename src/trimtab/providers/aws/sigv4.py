"""AWS Signature Version 4 in header form, for one request. Pure: the time is an argument.

What it is not: for S3, which has rules of its own, or for signed queries and chunks. Invariant: what is signed is
what is sent, so paths and queries are taken as they stand on the wire, percent-encoded once already.

Source: AWS IAM User Guide, "Create a signed AWS API request" (2026); tests compare with botocore.
"""

import functools
import hashlib
import hmac
import time
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

import msgspec

_ALGORITHM = "AWS4-HMAC-SHA256"
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


class Keys(msgspec.Struct, frozen=True):
    """What AWS knows a caller by."""

    access_key: str
    secret_key: str
    token: str | None = None
    """Of temporary credentials."""
    expires: float | None = None
    """Unix seconds; `None`: they do not end by themselves."""

    def __repr__(self) -> str:
        return f"Keys({self.access_key!r}, ***)"


class Scope(msgspec.Struct, frozen=True):
    """Where a signature holds."""

    service: str
    """The signing name, such as `bedrock`."""
    region: str


def sign(
    keys: Keys,
    scope: Scope,
    *,
    method: str,
    host: str,
    path: str,
    body: bytes,
    now_s: float,
    query: bytes = b"",
    headers: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Header lines, each ended by CR LF, that authenticate a request made now (Unix seconds).

    `host` is the Host header's value. `headers` are signed beside those made here; names in lower case, repeated
    ones allowed. Cost: 6 us, and the hash of the body (0.8 ms a megabyte).
    """
    stamp, day = _stamp(int(now_s))
    named: dict[str, str] = {}
    for name, value in headers:
        value = " ".join(value.split())
        named[name] = f"{named[name]},{value}" if name in named else value
    named["host"] = host
    named["x-amz-date"] = stamp
    if keys.token is not None:
        named["x-amz-security-token"] = keys.token
    names = sorted(named)
    signed = ";".join(names)
    payload = hashlib.sha256(body).hexdigest() if body else _EMPTY_SHA256
    lines = [method, canonical_path(path), canonical_query(query) if query else ""]
    lines += [f"{name}:{named[name]}" for name in names]
    lines += ["", signed, payload]
    request = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    place = f"{day}/{scope.region}/{scope.service}/aws4_request"
    to_sign = f"{_ALGORITHM}\n{stamp}\n{place}\n{request}"
    key = _signing_key(keys.secret_key, day, scope.region, scope.service)
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    token = "" if keys.token is None else f"x-amz-security-token: {keys.token}\r\n"
    return (
        f"x-amz-date: {stamp}\r\n{token}authorization: {_ALGORITHM} Credential={keys.access_key}/{place}, "
        f"SignedHeaders={signed}, Signature={signature}\r\n"
    ).encode("ascii")


@functools.lru_cache(maxsize=8)
def _stamp(second: int) -> tuple[str, str]:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
    return stamp, stamp[:8]


@functools.lru_cache(maxsize=64)
def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """The key of a day, for each set of credentials: four hashes that no request pays for again."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


@functools.lru_cache(maxsize=256)
def canonical_path(path: str) -> str:
    """A path as it is signed: without dot segments and empty ones, and percent-encoded a second time."""
    if "//" in path or "/." in path:
        kept: list[str] = []
        for part in path.split("/"):
            if part == "..":
                if kept:
                    kept.pop()
            elif part and part != ".":
                kept.append(part)
        end = "/" if kept and path[-1] == "/" else ""
        path = "/" + "/".join(kept) + end
    return quote(path, safe="/~") or "/"


def canonical_query(query: bytes) -> str:
    """A query as it is signed: its pairs encoded the one way that AWS knows, and sorted."""
    pairs = [pair.partition("=")[::2] for pair in query.decode("ascii").split("&") if pair]
    encoded = sorted((_encoded(name), _encoded(value)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(text), safe="-_.~")
