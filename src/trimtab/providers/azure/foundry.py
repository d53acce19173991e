"""Claude in Microsoft Foundry: the vendor's API behind Azure's authentication; bodies go through untouched.

What it is not: what Foundry takes of a request (`catalogue/platforms.yaml`). Invariant: a caller's keys for Azure never
go out beside the operator's.

Source: vendor page on Microsoft Foundry (2026-11); wire output of the vendor's SDK 2.11, which tests compare with.
"""

from collections.abc import Callable, Mapping

import msgspec

from trimtab.catalogue import Catalogue
from trimtab.config import fail
from trimtab.errors import ConfigError, NotFound, shortened
from trimtab.providers.azure.credentials import EntraSettings, open_credentials
from trimtab.providers.azure.failures import foundry_reply
from trimtab.providers.connecting import ids_of, open_client, parse_target
from trimtab.providers.machine import Machine
from trimtab.providers.platform import HttpPlatform
from trimtab.providers.seam import Call, Reply

RESOURCE_VARIABLE = "ANTHROPIC_FOUNDRY_RESOURCE"
"""As the vendor's SDK 2.11 has it."""

MAX_NAME = 255

_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_RESOURCE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")

_AZURES = (b"api-key", b"x-ms-", b"ocp-apim-")
"""Beginnings of headers that Azure acts on."""

_NOT_THERE = ("/v1/messages/batches", "/v1/models")
"""Source: the vendor's SDK 2.11 has neither for Foundry."""


class FoundrySettings(EntraSettings, frozen=True, kw_only=True):
    """`[platforms.NAME]` with `kind = "foundry"`."""

    resource: str | None = None
    """The resource's name; `None`: `ANTHROPIC_FOUNDRY_RESOURCE`."""
    base_url: str | None = None
    """In place of the resource's own address; ends with `/anthropic`."""
    models: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Names of deployments, by catalogue id, where they are not the defaults."""


class Foundry:
    """See `providers.platform.Dialect`."""

    def request(self, call: Call) -> Call:
        """See the seam. Raises `NotFound` for batches and lists of models."""
        for beginning in _NOT_THERE:
            if call.path == beginning or call.path.startswith(f"{beginning}/"):
                raise NotFound(
                    f"{call.method} {shortened(call.path)}: Microsoft Foundry has no such operation; send it to "
                    "another platform"
                )
        if not any(name.startswith(_AZURES) for name, _ in call.headers):
            return call
        kept = [(name, value) for name, value in call.headers if not name.startswith(_AZURES)]
        return msgspec.structs.replace(call, headers=kept)

    def reply(self, call: Call, reply: Reply) -> Reply:
        """See the seam."""
        return foundry_reply(reply)


def open_foundry(
    name: str,
    settings: FoundrySettings,
    where: Callable[[str], str],
    catalogue: Catalogue,
    machine: Machine | None = None,
) -> HttpPlatform:
    """Build the provider; opens no connection yet. Raises `ConfigError` named by `where(key)`."""
    around = machine or Machine.here()
    own = ids_of(
        settings.models, catalogue, where, _is_deployment, "the name of a deployment, as 'claude-opus-4-7'"
    )
    target = parse_target(_address(settings, where, around), where)
    return HttpPlatform(
        name,
        "foundry",
        client=open_client(target, settings, where),
        dialect=Foundry(),
        credentials=open_credentials(settings, where, around),
        api_versions=("2023-06-01", "2026-10-21"),
        ids=own,
        discount=settings.discount,
    )


def _address(settings: FoundrySettings, where: Callable[[str], str], machine: Machine) -> str:
    if settings.base_url is not None:
        if settings.resource is not None:
            raise ConfigError(where("base_url"), "resource is set too; keep one of them")
        return settings.base_url
    resource, place = settings.resource, where("resource")
    if resource is None:
        resource = machine.environment.get(RESOURCE_VARIABLE)
        if not resource:
            raise ConfigError(
                place, f"missing; set it to the resource's name, or {RESOURCE_VARIABLE} in the environment"
            )
        place = f"environment: {RESOURCE_VARIABLE}"
    if not 0 < len(resource) <= 63 or not _RESOURCE.issuperset(resource):
        fail(place, resource, "must be the name of a resource, as 'my-resource', without its host")
    return f"https://{resource}.services.ai.azure.com/anthropic"


def _is_deployment(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME and _NAME.issuperset(name)
