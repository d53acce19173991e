"""Keys from around this process: its environment, the endpoint of its container, the metadata of its instance.

What it is not: the shared files (`profile_keys`), or the order of all these (`credentials`). Invariant: nothing is
fetched before the first call needs it.
"""

from pathlib import Path
from urllib.parse import urlsplit

from trimtab.config import read_file
from trimtab.errors import ConfigError, UpstreamRefused
from trimtab.providers.aws.fetching import SESSION_NAME, container, instance_metadata, web_identity
from trimtab.providers.aws.machine import ca_bundle, checked, sts_target
from trimtab.providers.aws.signing import KeySource
from trimtab.providers.aws.sigv4 import Keys
from trimtab.providers.machine import Machine, parsed_target
from trimtab.providers.renewing import Renewing, Steady

CONTAINER_HOSTS = ("169.254.170.2", "169.254.170.23", "fd00:ec2::23")
"""To which a token may go without TLS, beside loopback. Source: the guide's page on container credentials."""

METADATA_HOST = "http://169.254.169.254"


def from_environment(machine: Machine, region: str) -> KeySource | None:
    """Keys in variables, else a web identity that variables name. Raises `ConfigError` for half a pair."""
    environment = machine.environment
    access, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if access:
        if not secret:
            raise ConfigError(
                "environment: AWS_SECRET_ACCESS_KEY", "is not set, and AWS_ACCESS_KEY_ID is; set both"
            )
        return Steady(
            checked(Keys(access, secret, environment.get("AWS_SESSION_TOKEN") or None), "environment")
        )
    token_file, role = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"), environment.get("AWS_ROLE_ARN")
    if token_file and role:
        session = environment.get("AWS_ROLE_SESSION_NAME") or SESSION_NAME
        fetch = web_identity(role, token_file, session, sts_target(machine, region), ca_bundle(machine))
        return Renewing(fetch, machine.now, of="AWS")
    return None


def from_container(machine: Machine) -> KeySource | None:
    """The endpoint that variables of ECS and EKS name. Raises `ConfigError` for an address that it cannot be."""
    environment = machine.environment
    relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    url = (
        f"http://{CONTAINER_HOSTS[0]}{relative}"
        if relative
        else environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    )
    if not url:
        return None
    name = f"environment: AWS_CONTAINER_CREDENTIALS_{'RELATIVE' if relative else 'FULL'}_URI"
    target = parsed_target(url, name, CONTAINER_HOSTS)
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

    return Renewing(container(target, path, authorization, target.authority), machine.now, of="AWS")


def from_instance(machine: Machine) -> KeySource | None:
    """Metadata of the instance that this may be; `None` where the environment forbids to ask."""
    environment = machine.environment
    if environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    name = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
    target = parsed_target(environment.get(name) or METADATA_HOST, f"environment: {name}", None)
    return Renewing(instance_metadata(target), machine.now, of="AWS")
