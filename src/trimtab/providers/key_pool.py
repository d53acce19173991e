"""One key of an entry, or a pool of them: each key is a place of its own, with limits and health of its own.

What it is not: the choice among keys, which is routing's, or credentials that no key is a part of. Invariant: a key is
in one place only, and no message shows one.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from trimtab.config import Secret, fail
from trimtab.errors import ConfigError
from trimtab.providers.connecting import Connecting

MAX_KEYS = 64
"""Of one pool; each has connections of its own."""

_OTHER_WAYS = (
    "api_key",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "profile",
    "access_token",
    "tenant_id",
    "client_id",
    "client_secret",
    "federated_token_file",
)
"""Settings of some kinds beside which a pool would be a second way to authenticate."""


class Keyed(Connecting, frozen=True, kw_only=True):
    """Settings of `[platforms.NAME]` that every kind with API keys has."""

    api_key: Secret | None = None
    api_keys: tuple[Secret, ...] | None = None
    """A pool of keys in place of one: limits of one key do not stop calls with the others."""


K = TypeVar("K", bound=Keyed)


def check_keys(settings: Keyed, where: Callable[[str], str], *, required: bool) -> None:
    """Raises `ConfigError` for a pool that is none, or that stands beside another way to authenticate.

    `required`: this kind has no other way than a key.
    """
    keys = settings.api_keys
    if keys is None:
        if required and settings.api_key is None:
            raise ConfigError(where("api_key"), "missing; set it, or api_keys for a pool of keys")
        return
    for name in _OTHER_WAYS:
        if getattr(settings, name, None) is not None:
            raise ConfigError(where(name), "api_keys is set too; keep one of them")
    if not 1 <= len(keys) <= MAX_KEYS:
        fail(where("api_keys"), len(keys), f"holds so many keys; a pool has 1 to {MAX_KEYS}")
    first: dict[str, int] = {}
    for index, key in enumerate(keys):
        same = first.setdefault(key.reveal(), index)
        if same != index:
            raise ConfigError(
                where(f"api_keys[{index}]"),
                f"{key.source!r} holds the same key as {keys[same].source!r}; remove one of them",
            )


def accounts(settings: K) -> tuple[tuple[str, K], ...]:
    """(account, the entry with that key alone): "1", "2" ... of a pool, in its order; "" where there is none."""
    if settings.api_keys is None:
        return (("", settings),)
    return tuple(
        (str(number), msgspec.structs.replace(settings, api_key=key, api_keys=None))
        for number, key in enumerate(settings.api_keys, 1)
    )
