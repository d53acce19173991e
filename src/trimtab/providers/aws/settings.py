"""What every platform of Amazon has in its settings: region, credentials and address.

What it is not: where credentials come from (`credentials`). Invariant: two ways to authenticate are never both written.
"""

from collections.abc import Callable, Mapping

from trimtab.catalogue import Catalogue
from trimtab.config import Secret, fail
from trimtab.errors import ConfigError
from trimtab.providers.connecting import ids_of
from trimtab.providers.key_pool import Keyed

REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
"""In the order of AWS's own tools."""

_REGION = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_MODEL_ID = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/")

MAX_MODEL_ID = 2048
"""Source: Amazon Bedrock API reference, InvokeModel, `modelId`."""


class AwsSettings(Keyed, frozen=True, kw_only=True):
    """Settings of `[platforms.NAME]` that every kind on AWS has. A key is a bearer key, in place of signatures."""

    region: str | None = None
    """`None`: `AWS_REGION`, `AWS_DEFAULT_REGION`, else that of the profile."""
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    """Of temporary keys."""
    profile: str | None = None
    """A profile of the shared files; `None`: `AWS_PROFILE`, where nothing else is given."""
    base_url: str | None = None
    """A private endpoint, in place of the region's public one."""


def check_credentials(settings: AwsSettings, where: Callable[[str], str]) -> None:
    """Raises `ConfigError` where keys are half there, or two ways to authenticate are written."""
    pair = (settings.access_key_id, settings.secret_access_key)
    if (pair[0] is None) != (pair[1] is None):
        there, missing = (
            ("access_key_id", "secret_access_key") if pair[0] else ("secret_access_key", "access_key_id")
        )
        raise ConfigError(where(missing), f"missing; {there} is set, and one is nothing without the other")
    if settings.session_token is not None and pair[0] is None:
        raise ConfigError(where("session_token"), "belongs to keys; set access_key_id and secret_access_key")
    ways = [
        name
        for name, value in (
            ("api_key", settings.api_key),
            ("access_key_id", pair[0]),
            ("profile", settings.profile),
        )
        if value is not None
    ]
    if len(ways) > 1:
        raise ConfigError(where(ways[1]), f"{ways[0]} is set too; keep one of them")


def check_region(region: str, where: Callable[[str], str]) -> str:
    """The region. Raises `ConfigError` for what can be no part of a host name."""
    if not region or len(region) > 40 or not _REGION.issuperset(region):
        fail(where("region"), region, "must be the name of an AWS region, as 'eu-west-1'")
    return region


def own_ids(models: Mapping[str, str], catalogue: Catalogue, where: Callable[[str], str]) -> dict[str, str]:
    """The operator's ids or ARNs by catalogue id. Raises `ConfigError`."""

    def fits(name: str) -> bool:
        parts = name.split("/")
        return (
            len(name) <= MAX_MODEL_ID
            and _MODEL_ID.issuperset(name)
            and all(part not in ("", ".", "..") for part in parts)
        )

    return ids_of(models, catalogue, where, fits, "the id or the ARN of a model or inference profile")
