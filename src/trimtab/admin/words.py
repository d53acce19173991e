"""What goes in and out of the door for keys. Data only; the same for the terminal and for HTTP."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from trimtab.config import Secret
from trimtab.records import Limits
from trimtab.store.keys import Key, KeySecret
from trimtab.store.keys.spend import Spent

DEFAULT_ORGANISATION = "default"


class Actor(msgspec.Struct, frozen=True):
    """Who makes a change, and whose things it may touch."""

    name: str
    """For the audit trail: `cli:<account>` or `key:<id>`."""
    organisation: str | None = None
    """Its own organisation; `None` for somebody with access to the machine, who may touch all."""
    key: str = ""
    """The id of the key that it showed. Whether that key still may is read in the transaction of the change, because
    who let it in may know of the key's end a moment later only."""


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key as it is asked for. `None` means without that restriction, an empty list that nothing is permitted."""

    name: str
    organisation: str | None = None
    """The actor's own where it has one, else `default`."""
    team: str | None = None
    user: str | None = None
    expires_ms: int | None = None
    models: tuple[str, ...] | None = None
    tiers: tuple[str, ...] | None = None
    platforms: tuple[str, ...] | None = None
    default_tier: str | None = None
    admin: bool = False
    limits: Limits = Limits()
    labels: Mapping[str, str] = {}


class SecretView(msgspec.Struct, frozen=True, kw_only=True):
    """A secret as people may see it."""

    prefix: str
    created_ms: int
    ends_ms: int | None


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """What a key spent, in nano-dollars."""

    spent_nanousd: int
    held_nanousd: int
    """What processes hold for its calls. A part may be spent already and not yet recorded."""
    left_nanousd: int | None
    """Its limit less what it spent; what is held is a part of it. `None` without a limit."""


class KeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key as people may see it. Times in Unix milliseconds."""

    id: str
    name: str
    state: Literal["active", "expired", "revoked"]
    organisation: str
    team: str
    user: str
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    models: tuple[str, ...] | None
    tiers: tuple[str, ...] | None
    platforms: tuple[str, ...] | None
    default_tier: str | None
    admin: bool
    limits: Limits
    labels: Mapping[str, str]
    secrets: tuple[SecretView, ...]
    """Those that open it or did, the newest last."""
    money: Money | msgspec.UnsetType = msgspec.UNSET
    """Real money. Unset in the audit trail, which tells of changes that people make."""
    simulated_money: Money | msgspec.UnsetType = msgspec.UNSET
    """Unset where the key never spent any."""


class LimitsChanged(msgspec.Struct, frozen=True):
    """A key with new limits, and those it had before."""

    key: KeyView
    was: Limits


class SecretMade(msgspec.Struct, frozen=True):
    """A key and its new secret, which is not to be had again."""

    key: KeyView
    secret: Secret


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the audit trail."""

    n: int
    at_ms: int
    actor: str
    action: str
    organisation: str
    subject: str
    before: msgspec.Raw | None
    """JSON as it was written, which the hash covers."""
    after: msgspec.Raw | None
    hash: str


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What reading the whole chain found."""

    rows: int
    """Rows that follow one another without a break, from the first."""
    hash: str
    """The hash of the last of them."""
    problem: str | None
    """Where the chain breaks; `None` for a whole one."""


def with_money(shown: KeyView, spent: Mapping[tuple[str, bool], Spent]) -> KeyView:
    """The same key with what it spent."""
    most = shown.limits.total_nanousd

    def money(one: Spent) -> Money:
        left = None if most is None else max(0, most - one.spent)
        return Money(spent_nanousd=one.spent, held_nanousd=one.held, left_nanousd=left)

    simulated = spent.get((shown.id, True), Spent())
    return msgspec.structs.replace(
        shown,
        money=money(spent.get((shown.id, False), Spent())),
        simulated_money=money(simulated) if simulated.spent or simulated.held else msgspec.UNSET,
    )


def view(key: Key, secrets: list[KeySecret], now_ms: int) -> KeyView:
    """A key with what people may see of its secrets."""
    if key.revoked_ms is not None:
        state: Literal["active", "expired", "revoked"] = "revoked"
    else:
        state = "expired" if key.expires_ms is not None and key.expires_ms <= now_ms else "active"
    return KeyView(
        id=key.id,
        name=key.name,
        state=state,
        organisation=key.organisation,
        team=key.team,
        user=key.user,
        created_ms=key.created_ms,
        expires_ms=key.expires_ms,
        revoked_ms=key.revoked_ms,
        models=key.models,
        tiers=key.tiers,
        platforms=key.platforms,
        default_tier=key.default_tier,
        admin=key.admin,
        limits=key.limits,
        labels=key.labels,
        secrets=tuple(
            SecretView(prefix=secret.prefix, created_ms=secret.created_ms, ends_ms=secret.ends_ms)
            for secret in secrets
        ),
    )
