"""Where AWS's temporary keys come from: STS, the endpoint of a container, the metadata of an instance.

What it is not: IAM. Any role may be assumed with any token, which must not have ended where it says when it does.
Invariant: keys come with a session token and an end.

Source: AWS STS API reference, AssumeRole, AssumeRoleWithWebIdentity and common errors; Amazon EC2 user guide, instance
metadata version 2; Amazon ECS developer guide, task roles (2026-11).
"""

import time
from typing import Any
from xml.sax.saxutils import escape

import msgspec

from trimtab.catalogue.model import Platform
from trimtab.providers.simulator.faces.amazon import aws_id, check_credentials
from trimtab.providers.simulator.faces.face import Asked, FaceOptions, PlatformRefusal
from trimtab.providers.simulator.faces.issuers.issuer import (
    TEXT,
    XML,
    Given,
    Said,
    claims_of,
    form_of,
    is_over,
    refuse,
)
from trimtab.providers.simulator.issued import TemporaryKeys

AWS: tuple[Platform, ...] = ("bedrock", "bedrock_mantle", "bedrock_converse", "anthropic_on_aws")

_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_ACTIONS = ("AssumeRole", "AssumeRoleWithWebIdentity")
_CODES = {
    "AccessDeniedException": "AccessDenied",
    "ExpiredTokenException": "ExpiredToken",
    "IncompleteSignatureException": "IncompleteSignature",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "UnrecognizedClientException": "InvalidClientTokenId",
}
"""What STS calls what other services say of credentials."""
_LEAST_S, _MOST_S = 900, 43200
"""What `DurationSeconds` may be. Source: STS API reference."""


class Sts:
    """See `Issuer`: AssumeRole, signed, and AssumeRoleWithWebIdentity."""

    platforms = AWS

    def __init__(self, options: FaceOptions) -> None:
        self._options = options

    def takes(self, asked: Asked) -> bool:
        """See the seam. All its operations have one address."""
        return asked.method == "POST" and asked.path == "/"

    def give(self, asked: Asked) -> Given:
        """See the seam."""
        form = form_of(asked)
        action = form.get("Action", "")
        if action not in _ACTIONS or form.get("Version") != "2011-06-15":
            raise refuse(self, 400, "InvalidAction", f"Could not find operation {action:.40}")
        role, session = form.get("RoleArn", ""), form.get("RoleSessionName", "")
        if ":iam::" not in role or ":role/" not in role or not role.startswith("arn:aws"):
            raise refuse(self, 400, "ValidationError", f"{role:.100} is invalid")
        if not 2 <= len(session) <= 64:
            raise refuse(
                self, 400, "ValidationError", "Value at 'roleSessionName' failed to satisfy constraint"
            )
        if action == "AssumeRole":
            self._check_signature(asked)
        else:
            self._check_token(form.get("WebIdentityToken", ""), asked.now_s)
        keys = self._options.issued.keys(asked.now_s, self._life_s(form))
        body = (
            f'<{action}Response xmlns="{_NAMESPACE}"><{action}Result><Credentials>'
            f"<AccessKeyId>{keys.access_key}</AccessKeyId><SecretAccessKey>{keys.secret}</SecretAccessKey>"
            f"<SessionToken>{keys.token}</SessionToken><Expiration>{_moment(keys.ends_s)}</Expiration>"
            f"</Credentials><AssumedRoleUser><Arn>{escape(role)}/{escape(session)}</Arn></AssumedRoleUser>"
            f"</{action}Result></{action}Response>"
        )
        return Given(f"aws sts {action} {role}", body.encode(), XML)

    def said(self, status: int, code: str, message: str) -> Said:
        """See the seam."""
        sender = "Sender" if status < 500 else "Receiver"
        code = code or {400: "ValidationError", 403: "AccessDenied", 503: "ServiceUnavailable"}.get(
            status, "InternalFailure"
        )
        return Said(
            f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>{sender}</Type><Code>{escape(code)}</Code>'
            f"<Message>{escape(message)}</Message></Error><RequestId>{aws_id(message).decode()}</RequestId>"
            "</ErrorResponse>".encode(),
            XML,
        )

    def _check_signature(self, asked: Asked) -> None:
        try:
            check_credentials(asked, "sts", self._options)
        except PlatformRefusal as problem:
            [body] = problem.answer.events
            name = next(value for key, value in problem.answer.headers if key == b"x-amzn-errortype").decode()
            message = msgspec.json.decode(body)["message"] if isinstance(body, bytes) else ""
            raise refuse(self, problem.answer.status, _CODES.get(name, name), message) from None

    def _check_token(self, token: str, now_s: float) -> None:
        if len(token) < 4:
            raise refuse(self, 400, "InvalidIdentityToken", "No OpenIDConnect token was given")
        claims = claims_of(token)
        if claims is not None and is_over(claims, now_s):
            raise refuse(
                self, 400, "ExpiredTokenException", "Token expired: the web identity token has ended"
            )

    def _life_s(self, form: dict[str, str]) -> int | None:
        wanted = form.get("DurationSeconds")
        if wanted is None:
            return None
        if not wanted.isdecimal() or not _LEAST_S <= int(wanted[:9]) <= _MOST_S:
            raise refuse(self, 400, "ValidationError", f"DurationSeconds must be {_LEAST_S} to {_MOST_S}")
        return min(int(wanted[:9]), self._options.issued.life_s)


class Container:
    """See `Issuer`: the endpoint of a task (ECS), or of a pod (EKS), which wants the pod's token."""

    platforms = AWS

    def __init__(self, options: FaceOptions) -> None:
        self._options = options

    def takes(self, asked: Asked) -> bool:
        """See the seam."""
        return asked.method == "GET" and asked.path.startswith(("/v1/credentials", "/v2/credentials"))

    def give(self, asked: Asked) -> Given:
        """See the seam."""
        if asked.path.startswith("/v1/") and not asked.value(b"authorization"):
            raise refuse(self, 401, "UnauthorizedException", "the authorization token of the pod is missing")
        keys = self._options.issued.keys(asked.now_s)
        return Given(f"aws container {asked.path}", msgspec.json.encode(_document(keys)))

    def said(self, status: int, code: str, message: str) -> Said:
        """See the seam."""
        return Said(msgspec.json.encode({"code": code or "InternalServerException", "message": message}))


class Instance:
    """See `Issuer`: an instance's metadata, version 2."""

    platforms = AWS
    ROLE = "simulated-role"
    _AT = "/latest/meta-data/iam/security-credentials/"
    _TOKEN = b"x-aws-ec2-metadata-token"

    def __init__(self, options: FaceOptions) -> None:
        self._options = options

    def takes(self, asked: Asked) -> bool:
        """See the seam."""
        return asked.path.startswith("/latest/")

    def give(self, asked: Asked) -> Given:
        """See the seam."""
        issued = self._options.issued
        if (asked.method, asked.path) == ("PUT", "/latest/api/token"):
            life = asked.value(self._TOKEN + b"-ttl-seconds") or ""
            if not life.isdecimal() or not 1 <= int(life[:9]) <= 21_600:
                raise refuse(self, 400, "", "400 - Bad Request")
            token = issued.token("imds", asked.now_s, int(life))
            return Given("aws instance token", token.encode(), TEXT)
        given = asked.value(self._TOKEN) or ""
        if asked.method != "GET" or not asked.path.startswith(self._AT):
            raise refuse(self, 404, "", "404 - Not Found")
        if issued.verdict("imds", given, asked.now_s) != "good":
            raise refuse(self, 401, "", "401 - Unauthorized")
        role = asked.path.removeprefix(self._AT)
        if not role:
            return Given("aws instance role", self.ROLE.encode(), TEXT)
        if role != self.ROLE:
            raise refuse(self, 404, "", "404 - Not Found")
        said = {
            "Code": "Success",
            "LastUpdated": _moment(int(asked.now_s)),
            "Type": "AWS-HMAC",
            **_document(issued.keys(asked.now_s)),
        }
        return Given("aws instance keys", msgspec.json.encode(said))

    def said(self, status: int, code: str, message: str) -> Said:
        """See the seam."""
        return Said(message.encode(), TEXT)


def _document(keys: TemporaryKeys) -> dict[str, Any]:
    return {
        "AccessKeyId": keys.access_key,
        "SecretAccessKey": keys.secret,
        "Token": keys.token,
        "Expiration": _moment(keys.ends_s),
    }


def _moment(unix_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_s))
