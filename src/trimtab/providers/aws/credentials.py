"""Where AWS credentials are looked for, in the order of AWS's own tools, decided once when a platform is opened.

    configuration   api_key, or keys, or a profile of this platform: nothing else is looked at then
    environment     AWS_BEARER_TOKEN_BEDROCK (Bedrock) or ANTHROPIC_AWS_API_KEY, then AWS_ACCESS_KEY_ID ...
    web identity    AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN (Kubernetes on AWS)
    shared files    the profile that AWS_PROFILE names, else `default`
    container       AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI (ECS, EKS Pod Identity)
    instance        metadata of the EC2 instance

What it is not: an AWS library; single sign-on and roles by way of another profile are refused with what to do instead.
Invariant: what the configuration says is never overruled by what happens to be in the environment.

Source: AWS SDKs and Tools Reference Guide, "Credential provider chain" (2026-11).
"""

import os
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import msgspec

from trimtab.config import read_file
from trimtab.errors import ConfigError, UpstreamRefused
from trimtab.providers.aws.fetching import container, instance_metadata, process, web_identity
from trimtab.providers.aws.profiles import DEFAULT_PROFILE, SharedFiles
from trimtab.providers.aws.renewing import Fetch, Renewing, Steady
from trimtab.providers.aws.settings import REGION_VARIABLES, AwsSettings, check_credentials, check_region
from trimtab.providers.aws.signing import BearerKey, KeySource, Signatures
from trimtab.providers.aws.sigv4 import Keys, Scope
from trimtab.providers.http import Target
from trimtab.providers.platform import Credentials

SESSION_NAME = "trimtab"
"""Names our calls in CloudTrail where nothing else does."""

CONTAINER_HOSTS = ("169.254.170.2", "169.254.170.23", "fd00:ec2::23")
"""To which a token may go without TLS, beside loopback. Source: the guide's page on container credentials."""

METADATA_HOST = "http://169.254.169.254"


class Machine(msgspec.Struct, frozen=True):
    """What credentials are looked for in."""

    environment: Mapping[str, str]
    home: Path
    now: Callable[[], float] = time.time
    """Unix seconds."""

    @classmethod
    def here(cls) -> "Machine":
        """This process's."""
        return cls(os.environ, Path(os.environ.get("HOME", "/")))


def region_of(settings: AwsSettings, where: Callable[[str], str], machine: Machine) -> str:
    """The region: of the configuration, the environment, the profile. Raises `ConfigError`."""
    if settings.region is not None:
        return check_region(settings.region, where)
    for name in REGION_VARIABLES:
        if found := machine.environment.get(name):
            return check_region(found, lambda _, name=name: f"environment: {name}")  # type: ignore[misc]
    profile = settings.profile or machine.environment.get("AWS_PROFILE") or DEFAULT_PROFILE
    found = SharedFiles(machine.environment, machine.home).configured(profile).get("region")
    if found:
        return check_region(found, where)
    raise ConfigError(
        where("region"), f"missing; set it, as 'eu-west-1', or {REGION_VARIABLES[0]} in the environment"
    )


def open_credentials(
    settings: AwsSettings,
    where: Callable[[str], str],
    machine: Machine,
    scope: Scope,
    target: Target,
    *,
    bearer_variables: tuple[str, ...],
) -> Credentials:
    """What authenticates calls to the target; nothing is fetched yet. Raises `ConfigError`."""
    check_credentials(settings, where)
    if settings.api_key is not None:
        return BearerKey(settings.api_key.reveal())
    if settings.access_key_id is None and settings.profile is None:
        for name in bearer_variables:
            if key := machine.environment.get(name, "").strip():
                if not key.isascii() or not key.isprintable():
                    raise ConfigError(
                        f"environment: {name}", "holds characters that no HTTP header can carry"
                    )
                return BearerKey(key)
    source = _source(settings, where, machine, scope.region)
    return Signatures(source, scope, target, machine.now)


def _source(settings: AwsSettings, where: Callable[[str], str], machine: Machine, region: str) -> KeySource:
    if settings.access_key_id is not None and settings.secret_access_key is not None:
        token = settings.session_token.reveal() if settings.session_token is not None else None
        return Steady(Keys(settings.access_key_id.reveal(), settings.secret_access_key.reveal(), token))
    environment = machine.environment
    found: KeySource | Fetch | None = None
    if settings.profile is None:
        found = _from_environment(environment, region)
    if found is None:
        found = _from_profile(settings, where, machine, region)
    if found is None:
        found = _from_container(environment)
    if found is None:
        found = _from_instance(environment, where)
    return found if not callable(found) else Renewing(found, machine.now)


def _from_environment(environment: Mapping[str, str], region: str) -> KeySource | Fetch | None:
    access, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if access:
        if not secret:
            raise ConfigError(
                "environment: AWS_SECRET_ACCESS_KEY", "is not set, and AWS_ACCESS_KEY_ID is; set both"
            )
        return Steady(
            _checked(Keys(access, secret, environment.get("AWS_SESSION_TOKEN") or None), "environment")
        )
    token_file, role = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"), environment.get("AWS_ROLE_ARN")
    if token_file and role:
        session = environment.get("AWS_ROLE_SESSION_NAME") or SESSION_NAME
        return web_identity(role, token_file, session, _sts(environment, region))
    return None


def _from_profile(
    settings: AwsSettings, where: Callable[[str], str], machine: Machine, region: str
) -> KeySource | Fetch | None:
    files = SharedFiles(machine.environment, machine.home)
    named = settings.profile or machine.environment.get("AWS_PROFILE")
    profile = named or DEFAULT_PROFILE
    place = where("profile") if settings.profile else "environment: AWS_PROFILE"
    if not files.has(profile):
        if named:
            raise ConfigError(
                place,
                f"{profile!r}: no such profile in {files.credentials_path} or {files.config_path}; add it, or "
                "correct the name",
            )
        return None
    stored, configured = files.stored(profile), files.configured(profile)
    everything = {**stored, **configured}
    role = everything.get("role_arn")
    if role and (token_file := everything.get("web_identity_token_file")):
        session = everything.get("role_session_name") or SESSION_NAME
        return web_identity(role, token_file, session, _sts(machine.environment, region))
    instead = (
        f"get its keys with credential_process = aws configure export-credentials --profile {profile}, in another "
        "profile, or set keys"
    )
    if role:
        raise ConfigError(
            place,
            f"{profile!r}: takes a role by way of source_profile or credential_source, which "
            f"Trimtab does not do; {instead}",
        )
    if any(name.startswith("sso_") for name in everything):
        raise ConfigError(
            place, f"{profile!r}: signs in through IAM Identity Center, which Trimtab does not do; {instead}"
        )
    for path, section in ((files.credentials_path, stored), (files.config_path, configured)):
        if access := section.get("aws_access_key_id"):
            secret = section.get("aws_secret_access_key")
            if not secret:
                raise ConfigError(
                    str(path), f"profile {profile!r} has aws_access_key_id and no aws_secret_access_key"
                )
            return Steady(_checked(Keys(access, secret, section.get("aws_session_token") or None), str(path)))
        if command := section.get("credential_process"):
            try:
                words = shlex.split(command)
            except ValueError as problem:
                raise ConfigError(
                    str(path), f"credential_process of profile {profile!r}: {problem}"
                ) from None
            if words:
                return process(words, f"profile {profile!r}")
    if named:
        raise ConfigError(
            place, f"{profile!r}: this profile holds no credentials; add keys or credential_process to it"
        )
    return None


def _from_container(environment: Mapping[str, str]) -> Fetch | None:
    relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    url = (
        f"http://{CONTAINER_HOSTS[0]}{relative}"
        if relative
        else environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    )
    if not url:
        return None
    name = f"environment: AWS_CONTAINER_CREDENTIALS_{'RELATIVE' if relative else 'FULL'}_URI"
    target = _parsed(url, name, CONTAINER_HOSTS)
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    token_file = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    token = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")

    def authorization() -> str | None:
        if not token_file:
            return token or None
        try:
            return read_file(Path(token_file)).decode().strip()
        except (ConfigError, UnicodeDecodeError) as problem:
            raise UpstreamRefused(
                f"AWS credentials: the container's authorization token: {problem}"
            ) from None

    return container(target, path, authorization, target.authority)


def _from_instance(environment: Mapping[str, str], where: Callable[[str], str]) -> Fetch:
    if environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise ConfigError(
            where("access_key_id"),
            "no AWS credentials were found, and AWS_EC2_METADATA_DISABLED keeps instance metadata out; set "
            "access_key_id and secret_access_key, profile or api_key, or AWS_ACCESS_KEY_ID in the environment",
        )
    name = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
    return instance_metadata(_parsed(environment.get(name) or METADATA_HOST, f"environment: {name}", None))


def _sts(environment: Mapping[str, str], region: str) -> Target:
    name = "AWS_ENDPOINT_URL_STS"
    suffix = ".cn" if region.startswith("cn-") else ""
    return _parsed(
        environment.get(name) or f"https://sts.{region}.amazonaws.com{suffix}", f"environment: {name}", ()
    )


def _parsed(url: str, name: str, plain: tuple[str, ...] | None) -> Target:
    """The origin of a URL. Without TLS only loopback and the hosts `plain`; `None`: any. Raises `ConfigError`."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        _no_url(name)
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable():
        _no_url(name)
    if parts.scheme == "http" and plain is not None and host not in plain and not _is_loopback(host):
        raise ConfigError(
            name,
            f"{host!r}: must be https, or a loopback address{' or one of AWS for containers' * bool(plain)}",
        )
    return Target(parts.scheme, host, port or (443 if parts.scheme == "https" else 80))


def _no_url(name: str) -> NoReturn:
    raise ConfigError(name, "must be a URL such as 'http://127.0.0.1:8080/path'")


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _checked(keys: Keys, place: str) -> Keys:
    for value in (keys.access_key, keys.token or ""):
        if not value.isascii() or not value.isprintable():
            raise ConfigError(place, "an AWS key or token holds characters that no HTTP header can carry")
    return keys
