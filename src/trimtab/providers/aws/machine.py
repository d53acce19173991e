"""What AWS's own tools take from the machine: authorities to trust, the address of STS, keys that headers can carry.

What it is not: the places of credentials (`sources`, `profiles`), or the machine itself (`providers.machine`).
"""

from trimtab.errors import ConfigError
from trimtab.providers.aws.sigv4 import Keys
from trimtab.providers.http import Target
from trimtab.providers.machine import Machine, parsed_target


def ca_bundle(machine: Machine) -> str | None:
    """The authorities that AWS's tools trust here, where they are not the system's."""
    return machine.environment.get("AWS_CA_BUNDLE") or None


def sts_target(machine: Machine, region: str) -> Target:
    """Where roles are assumed. Raises `ConfigError`."""
    name = "AWS_ENDPOINT_URL_STS"
    suffix = ".cn" if region.startswith("cn-") else ""
    url = machine.environment.get(name) or f"https://sts.{region}.amazonaws.com{suffix}"
    return parsed_target(url, f"environment: {name}", ())


def checked(keys: Keys, place: str) -> Keys:
    """The keys. Raises `ConfigError` where a header cannot carry them."""
    for value in (keys.access_key, keys.token or ""):
        if not value.isascii() or not value.isprintable():
            raise ConfigError(place, "an AWS key or token holds characters that no HTTP header can carry")
    return keys
