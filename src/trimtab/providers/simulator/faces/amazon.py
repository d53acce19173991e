"""What AWS's front door checks and says, whichever of its platforms stands behind it.

What it is not: our own signing (`providers.aws`), with which it shares no code. Invariant: a request without
credentials, or with credentials of the wrong form, place or time, is refused; nothing is let in silently.

Source: AWS IAM User Guide, "Create a signed AWS API request" and "Troubleshoot Signature Version 4" (2026).
"""

import calendar
import hashlib
import hmac
import time
from urllib.parse import quote, unquote_to_bytes
from uuid import UUID

import msgspec

from trimtab.providers.simulator.faces.face import Asked, FaceOptions, PlatformRefusal
from trimtab.providers.simulator.issued import KEY_PREFIX, Issued

MAX_AGE_S = 300
_ALGORITHM = "AWS4-HMAC-SHA256"
_HEX = frozenset("0123456789abcdef")
_REGION = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def aws_refusal(status: int, name: str, message: str, now_s: float = 0.0) -> PlatformRefusal:
    """An error answer in AWS's shape."""
    headers = [(b"x-amzn-errortype", name.encode()), (b"x-amzn-requestid", aws_id(f"{name}{now_s}"))]
    return PlatformRefusal(status, headers, msgspec.json.encode({"message": message}))


def aws_id(made_of: str) -> bytes:
    """A request id in AWS's form."""
    return str(UUID(bytes=hashlib.blake2b(made_of.encode(), digest_size=16).digest())).encode()


def is_signed(asked: Asked) -> bool:
    """Whether the request carries a signature of AWS."""
    return (asked.value(b"authorization") or "").startswith(_ALGORITHM)


def has_bearer(asked: Asked) -> bool:
    """Whether the request carries a bearer key."""
    return (asked.value(b"authorization") or "").startswith("Bearer ")


def check_credentials(asked: Asked, service: str, options: FaceOptions) -> None:
    """Raises `PlatformRefusal`, as AWS words it."""
    given = asked.value(b"authorization")
    if given is None:
        raise aws_refusal(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    if given.startswith("Bearer "):
        key = given.removeprefix("Bearer ")
        if not key.strip() or " " in key.strip():
            raise aws_refusal(
                403, "AccessDeniedException", "Invalid API Key format: Must start with pre-defined prefix"
            )
        return
    algorithm, _, rest = given.partition(" ")
    if algorithm != _ALGORITHM:
        raise _incomplete(f"Unsupported AWS 'algorithm': {algorithm[:40]!r}")
    parts = dict(_pair(part) for part in rest.split(","))
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not parts.get(name):
            raise _incomplete(f"Authorization header requires {name!r} parameter.")
    if len(parts["Signature"]) != 64 or not _HEX.issuperset(parts["Signature"]):
        raise _incomplete("Signature must be 64 hexadecimal digits.")
    _check_place(asked, parts["Credential"], service, options)
    names = parts["SignedHeaders"].split(";")
    _check_names(asked, names)
    known = _temporary(asked, parts["Credential"], options.issued) or options.aws_key
    if known is not None:
        _check_signature(asked, parts["Credential"], names, parts["Signature"], known)


def _temporary(asked: Asked, credential: str, issued: Issued) -> tuple[str, str] | None:
    """Key and secret of keys that the simulator gave out; `None` for other keys. Raises `PlatformRefusal`."""
    token = asked.value(b"x-amz-security-token") or ""
    keys = issued.keys_behind(token)
    name = credential.partition("/")[0]
    if keys is None and not name.startswith(KEY_PREFIX):
        return None
    if keys is None or keys.access_key != name:
        raise aws_refusal(
            403, "UnrecognizedClientException", "The security token included in the request is invalid."
        )
    if asked.now_s >= keys.ends_s:
        raise aws_refusal(
            403, "ExpiredTokenException", "The security token included in the request is expired"
        )
    return keys.access_key, keys.secret


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.strip().partition("=")
    return name, value


def _check_place(asked: Asked, credential: str, service: str, options: FaceOptions) -> None:
    scope = credential.split("/")
    if len(scope) != 5 or not all(scope) or scope[4] != "aws4_request":
        raise _incomplete(
            "Credential must have exactly 5 slash-delimited elements, as keyid/date/region/service/aws4_request."
        )
    _, day, region, named, _ = scope
    if named != service:
        raise _invalid(f"Credential should be scoped to correct service: '{service}'.")
    if not _REGION.issuperset(region) or (options.region is not None and region != options.region):
        raise _invalid(f"Credential should be scoped to a valid region, not {region[:40]!r}.")
    stamp = asked.value(b"x-amz-date")
    if stamp is None:
        raise _incomplete(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
        )
    try:
        signed_at = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise _incomplete(f"Date must be in ISO-8601 'basic format'. Got {stamp[:40]!r}.") from None
    if day != stamp[:8]:
        raise _invalid(
            f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: {day[:40]!r}"
        )
    if abs(asked.now_s - signed_at) > MAX_AGE_S:
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(asked.now_s))
        word = "expired" if signed_at < asked.now_s else "not yet current"
        raise _invalid(f"Signature {word}: {stamp} is more than 5 min. from {now}")


def _check_names(asked: Asked, names: list[str]) -> None:
    if names != sorted(names) or len(set(names)) != len(names):
        raise _invalid("SignedHeaders must be in order, each once.")
    for needed in ("host", "x-amz-date"):
        if needed not in names:
            raise _invalid(f"{needed!r} must be a signed header.")
    sent = {name.decode("latin-1") for name, _ in asked.headers}
    for name in names:
        if name not in sent:
            raise _invalid(f"{name[:40]!r} is signed, but not among the headers.")
    for name in sorted(sent):
        if name.startswith("x-amz-") and name not in names:
            raise _invalid(f"{name[:40]!r} must be a signed header.")


def _check_signature(
    asked: Asked, credential: str, names: list[str], signature: str, known: tuple[str, str]
) -> None:
    key_id, day, region, service, _ = credential.split("/")
    if key_id != known[0]:
        raise aws_refusal(
            403, "UnrecognizedClientException", "The security token included in the request is invalid."
        )
    place = f"{day}/{region}/{service}/aws4_request"
    request = hashlib.sha256(_canonical(asked, names).encode("latin-1")).hexdigest()
    to_sign = f"{_ALGORITHM}\n{asked.value(b'x-amz-date')}\n{place}\n{request}"
    key = b"AWS4" + known[1].encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    if not hmac.compare_digest(hmac.digest(key, to_sign.encode(), "sha256").hex(), signature):
        raise _invalid(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details."
        )


def _canonical(asked: Asked, names: list[str]) -> str:
    lines = [asked.method, quote(asked.target, safe="/-_.~"), _query(asked.query)]
    for name in names:
        values = [
            " ".join(value.decode("latin-1").split()) for key, value in asked.headers if key == name.encode()
        ]
        lines.append(f"{name}:{','.join(values)}")
    return "\n".join([*lines, "", ";".join(names), hashlib.sha256(asked.body).hexdigest()])


def _query(query: bytes) -> str:
    pairs = [_pair(pair) for pair in query.decode("latin-1").split("&") if pair]
    made = [
        (quote(unquote_to_bytes(name), safe="-_.~"), quote(unquote_to_bytes(value), safe="-_.~"))
        for name, value in pairs
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(made))


def _incomplete(message: str) -> PlatformRefusal:
    return aws_refusal(403, "IncompleteSignatureException", message)


def _invalid(message: str) -> PlatformRefusal:
    return aws_refusal(403, "InvalidSignatureException", message)
