"""Where temporary keys come from: STS, the container endpoint, instance metadata, a program.

What it is not: which of them is used (`credentials`), or when (`renewing`). Invariant: each says in its
`UpstreamRefused` what failed and what to do, and never a token or a key.

Source: AWS SDKs and Tools Reference Guide, "Standardized credential providers" (2026-11).
"""

import asyncio
import datetime
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from trimtab.config import read_file
from trimtab.errors import ConfigError, UpstreamRefused, shortened
from trimtab.providers.asking import FETCH_S, FORM, HTTP_OK, METADATA_S, ask, json_object
from trimtab.providers.aws.signing import KeySource
from trimtab.providers.aws.sigv4 import Keys, Scope, sign
from trimtab.providers.http import Target
from trimtab.providers.seam import Headers

PROCESS_S = 60.0
"""For a program that gets credentials; some ask a person."""

Fetch = Callable[[], Awaitable[Keys]]
"""Gets new keys. Raises `UpstreamRefused` with what to do."""

SESSION_NAME = "trimtab"
"""Names our calls in CloudTrail where nothing else does."""


def web_identity(
    role: str,
    token_file: str,
    session: str,
    sts: Target,
    ca_file: str | None,
) -> Fetch:
    """Keys of a role for the token in a file, as Kubernetes on AWS mounts it. It is read each time: it changes."""

    async def fetch() -> Keys:
        what = f"AWS credentials for role {role!r} from STS at {sts.authority}"
        try:
            token = read_file(Path(token_file)).decode().strip()
        except (ConfigError, UnicodeDecodeError) as problem:
            raise UpstreamRefused(f"{what}: the web identity token: {problem}") from None
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": role,
            "RoleSessionName": session,
            "WebIdentityToken": token,
        }
        return await _from_sts(sts, form, what, ca_file)

    return fetch


def assumed_role(
    role: str,
    session: str,
    external_id: str | None,
    base: KeySource,
    sts: Target,
    region: str,
    now: Callable[[], float],
    ca_file: str | None,
) -> Fetch:
    """Keys of a role that other keys may assume."""

    async def fetch() -> Keys:
        what = f"AWS credentials for role {role!r} from STS at {sts.authority}"
        form = {
            "Action": "AssumeRole",
            "Version": "2011-06-15",
            "RoleArn": role,
            "RoleSessionName": session,
        }
        if external_id:
            form["ExternalId"] = external_id
        keys = base.ready() or await base.keys()
        authentication = sign(
            keys,
            Scope("sts", region),
            method="POST",
            host=sts.authority,
            path="/",
            headers=[("content-type", FORM)],
            body=urlencode(form).encode("ascii"),
            now_s=now(),
        )
        return await _from_sts(sts, form, what, ca_file, authentication)

    return fetch


async def _from_sts(
    sts: Target, form: Mapping[str, str], what: str, ca_file: str | None, authentication: bytes = b""
) -> Keys:
    headers = [(b"content-type", FORM.encode()), (b"accept", b"application/xml")]
    status, text = await ask(
        sts,
        "POST",
        "/",
        headers,
        urlencode(form).encode("ascii"),
        limit_s=FETCH_S,
        what=what,
        authentication=authentication,
        ca_file=ca_file,
    )
    if status != HTTP_OK:
        said = _inside(text, "Message") or "no reason given"
        raise UpstreamRefused(
            f"{what}: STS answered {status} {_inside(text, 'Code')}: {shortened(said)}; "
            "check the role, its trust policy and the token"
        )
    return _keys(
        {
            name: _inside(text, name)
            for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        },
        what,
    )


def _inside(text: str, tag: str) -> str:
    """The text of an element of STS's answer: its values hold no markup."""
    return text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0].strip()


def container(target: Target, path: str, authorization: Callable[[], str | None], where: str) -> Fetch:
    """Keys from the endpoint that ECS and EKS Pod Identity give their containers."""

    async def fetch() -> Keys:
        what = f"AWS credentials from the container endpoint {where}"
        headers: Headers = [(b"accept", b"application/json")]
        token = authorization()
        if token is not None:
            if not token.isascii() or not token.isprintable():
                raise UpstreamRefused(
                    f"{what}: the authorization token holds characters that no header can carry"
                )
            headers.append((b"authorization", token.encode("ascii")))
        status, text = await ask(target, "GET", path, headers, limit_s=FETCH_S, what=what)
        if status != HTTP_OK:
            raise UpstreamRefused(f"{what}: it answered {status}; check the task's or the pod's role")
        return _keys(json_object(text, what), what)

    return fetch


def instance_metadata(target: Target) -> Fetch:
    """Keys of the role of an EC2 instance, by version 2 of its metadata service."""

    async def fetch() -> Keys:
        what = "AWS credentials from instance metadata"
        advice = (
            "no AWS credentials were found: set access_key_id and secret_access_key, a profile or an api_key of this "
            "platform, AWS_ACCESS_KEY_ID in the environment, or give this machine a role"
        )
        try:
            status, token = await ask(
                target,
                "PUT",
                "/latest/api/token",
                [(b"x-aws-ec2-metadata-token-ttl-seconds", b"300")],
                limit_s=METADATA_S,
                what=what,
            )
        except UpstreamRefused as problem:
            raise UpstreamRefused(f"{advice} ({problem})") from None
        if status != HTTP_OK or not token.isascii() or not token.isprintable():
            raise UpstreamRefused(f"{advice} ({what}: it answered {status} to the question for a token)")
        headers = [(b"x-aws-ec2-metadata-token", token.encode("ascii"))]
        base = "/latest/meta-data/iam/security-credentials/"
        status, roles = await ask(target, "GET", base, headers, limit_s=METADATA_S, what=what)
        role = roles.strip().partition("\n")[0].strip()
        if status != HTTP_OK or not role:
            raise UpstreamRefused(f"{advice} ({what}: this instance has no role)")
        status, text = await ask(
            target, "GET", base + quote(role, safe=""), headers, limit_s=METADATA_S, what=what
        )
        if status != HTTP_OK:
            raise UpstreamRefused(f"{what}: it answered {status} for role {shortened(role)!r}")
        return _keys(json_object(text, what), what)

    return fetch


def process(command: list[str], where: str) -> Fetch:
    """Keys that a program writes to its standard output, as `credential_process` of the shared files names it."""

    async def fetch() -> Keys:
        what = f"AWS credentials from credential_process of {where}"
        try:
            running = await asyncio.create_subprocess_exec(
                *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as problem:
            raise UpstreamRefused(f"{what}: cannot start {command[0]!r}: {problem.strerror}") from None
        try:
            async with asyncio.timeout(PROCESS_S):
                output, complaint = await running.communicate()
        except BaseException as problem:
            running.kill()
            await running.wait()
            if isinstance(problem, TimeoutError):
                raise UpstreamRefused(f"{what}: {command[0]!r} did not end within {PROCESS_S:g} s") from None
            raise
        if running.returncode != 0:
            said = shortened(complaint.decode("utf-8", "replace").strip())
            raise UpstreamRefused(f"{what}: {command[0]!r} ended with {running.returncode}: {said}")
        answer = json_object(output.decode("utf-8", "replace"), what)
        if answer.get("Version") != 1:
            raise UpstreamRefused(
                f"{what}: version {answer.get('Version')!r} of its output is not known; it must be 1"
            )
        return _keys(answer, what)

    return fetch


def _keys(answer: Mapping[str, Any], what: str) -> Keys:
    access, secret = answer.get("AccessKeyId"), answer.get("SecretAccessKey")
    session, expiration = answer.get("SessionToken") or answer.get("Token"), answer.get("Expiration")
    if not isinstance(access, str) or not isinstance(secret, str) or not access or not secret:
        reason = (
            answer.get("Message") or answer.get("message") or answer.get("Code") or "no keys in its answer"
        )
        raise UpstreamRefused(f"{what}: {shortened(str(reason))}")
    for value in (access, session or ""):
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise UpstreamRefused(f"{what}: a key holds characters that no header can carry")
    return Keys(access, secret, session or None, _seconds(expiration, what) if expiration else None)


def _seconds(text: object, what: str) -> float:
    try:
        moment = datetime.datetime.fromisoformat(str(text))
    except ValueError:
        raise UpstreamRefused(f"{what}: the expiration {shortened(str(text), 40)!r} is not a time") from None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)).timestamp()
