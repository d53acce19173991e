"""Where AWS credentials are looked for, in the order of AWS's own tools, decided once when a platform is opened.

    configuration   api_key, or keys, or a profile of this platform: nothing else is looked at then
    environment     AWS_BEARER_TOKEN_BEDROCK (Bedrock) or ANTHROPIC_AWS_API_KEY, then AWS_ACCESS_KEY_ID ...
    web identity    AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN (Kubernetes on AWS)
    shared files    the profile that AWS_PROFILE names, else `default`
    container       AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI (ECS, EKS Pod Identity)
    instance        metadata of the EC2 instance

What it is not: an AWS library; single sign-on is refused with what to do instead.
Invariant: what the configuration says is never overruled by what happens to be in the environment.

Source: AWS SDKs and Tools Reference Guide, "Credential provider chain" (2026-11).
"""

from collections.abc import Callable

from trimtab.errors import ConfigError
from trimtab.providers.aws.profile_keys import ProfileKeys
from trimtab.providers.aws.profiles import DEFAULT_PROFILE, SharedFiles
from trimtab.providers.aws.settings import REGION_VARIABLES, AwsSettings, check_credentials, check_region
from trimtab.providers.aws.signing import KeySource, Signatures
from trimtab.providers.aws.sigv4 import Keys, Scope
from trimtab.providers.aws.sources import from_container, from_environment, from_instance
from trimtab.providers.bearer import BearerKey
from trimtab.providers.http import Target
from trimtab.providers.machine import Machine
from trimtab.providers.platform import Credentials
from trimtab.providers.renewing import Steady


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
    if settings.profile is None and (found := from_environment(machine, region)) is not None:
        return found
    if (found := _from_profile(settings, where, machine, region)) is not None:
        return found
    if (found := from_container(machine) or from_instance(machine)) is not None:
        return found
    raise ConfigError(
        where("access_key_id"),
        "no AWS credentials were found, and AWS_EC2_METADATA_DISABLED keeps instance metadata out; set access_key_id "
        "and secret_access_key, profile or api_key, or AWS_ACCESS_KEY_ID in the environment",
    )


def _from_profile(
    settings: AwsSettings, where: Callable[[str], str], machine: Machine, region: str
) -> KeySource | None:
    files = SharedFiles(machine.environment, machine.home)
    named = settings.profile or machine.environment.get("AWS_PROFILE")
    if named is None and not files.has(DEFAULT_PROFILE):
        return None
    place = where("profile") if settings.profile else "environment: AWS_PROFILE"
    profile = named or DEFAULT_PROFILE
    found = ProfileKeys(files, machine, region, place).source(profile)
    if found is None and named:
        raise ConfigError(
            place, f"{profile!r}: this profile holds no credentials; add keys or credential_process to it"
        )
    return found
