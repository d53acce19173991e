"""What each platform takes of a Messages request, as data: betas, fields, tools, sources of images, sizes, operations.

What it is not: addresses or credentials (`providers`), or what a model takes (`model`). Invariant: a platform that is
not listed takes everything, as the vendor's own API does.
"""

from decimal import Decimal
from importlib import resources
from typing import Literal

import msgspec

from trimtab.catalogue.arm import Effort
from trimtab.catalogue.model import PLATFORMS, Platform
from trimtab.catalogue.reading import read_yaml, to_struct
from trimtab.errors import ConfigError

Endpoint = Literal["messages", "count_tokens", "chat"]


class PlatformProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One platform. What is not said is taken."""

    name: str
    """For people."""
    applied: bool = True
    """Whether requests are held against this before they go out; else the platform says itself what it refuses."""
    endpoints: tuple[Endpoint, ...] = ("messages", "count_tokens")
    """What it has an operation for."""
    betas: tuple[str, ...] | None = None
    """Values of `anthropic-beta` that it knows; another one is a 400 for the whole request. `None`: any."""
    no_fields: tuple[str, ...] = ()
    """Key paths of the body that it refuses or ignores (`output_config.task_budget`)."""
    no_tools: tuple[str, ...] = ()
    """Beginnings of the `type` of tools that it does not have."""
    sources: tuple[Literal["base64", "url", "file", "text", "content"], ...] | None = None
    """Kinds of `source` of images and documents; `None`: any."""
    structured_outputs: tuple[str, ...] | None = None
    """Catalogue ids of the models that have them there; `None`: those that have them at all."""
    efforts: dict[str, tuple[Effort, ...]] = {}
    """Effort levels by catalogue id, where they are not the model's own; none at all refuses the field."""
    max_request_bytes: int | None = None
    max_image_bytes: int | None = None
    """Of one image, base64 as it is sent."""
    rate_limit_headers: bool = True
    """Whether its answers say what is left of its limits."""
    regional_premium: Decimal = Decimal(0)
    """What a regional endpoint costs beyond the global one, as a part of the price."""
    unverified: tuple[str, ...] = ()
    """Keys with one source, or sources in conflict."""
    source: str


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    platforms: dict[str, PlatformProfile]


def load_platforms(content: bytes | None = None) -> dict[Platform, PlatformProfile]:
    """The shipped profiles, by platform. Raises `ConfigError`; `content` is another file's, in its place."""
    name = "platforms.yaml"
    if content is None:
        content = (resources.files("trimtab.catalogue") / name).read_bytes()
    found = to_struct(read_yaml(content, name), _Document, name).platforms
    for platform in found:
        if platform not in PLATFORMS:
            raise ConfigError(f"{name}: {platform}", f"must be one of {', '.join(PLATFORMS)}")
    return {platform: found[platform] for platform in PLATFORMS if platform in found}
