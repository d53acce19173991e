"""How `trimtab keys` shows keys, their money and the audit trail.

What it is not: the layout (`tables`), or what may be shown (`admin`).
"""

import datetime
from collections.abc import Sequence

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from trimtab.admin import AuditEntry, KeyView, Money
from trimtab.catalogue.money import dollars
from trimtab.cli.tables import Rows, card, console
from trimtab.cli.term import counted
from trimtab.records import Limits

CONTENT_DELETE = "content.delete"


class _Gone(msgspec.Struct, frozen=True):
    """What the trail says of a deletion of content."""

    requests: int = 0
    answers: int = 0
    """Whole answers that were kept for idempotency keys."""
    cached: int = 0
    """Answers that were kept to be given again."""


def print_keys(keys: Sequence[KeyView]) -> None:
    """A row each."""
    table = Rows(
        ("id", "name"), ("of", "secret"), ("state", "made", "expires"), "may use", ("limits", "spent"),
        wraps={"of": 16, "may use": 20, "limits": 18, "spent": 18},
    )  # fmt: skip
    for key in keys:
        table.add(
            key.id, key.name, whose(key), _secret(key), _state(key), shown(key.created_ms), shown(key.expires_ms),
            _may_use(key), limits_words(key.limits), spent_words(key),
        )  # fmt: skip
    console().print(table)


def print_key(key: KeyView) -> None:
    """Everything about one."""
    console().print(_key_card(key))


def print_audit(entries: Sequence[AuditEntry]) -> None:
    """A row each."""
    table = Rows(("row", "at (UTC)"), ("who", "of"), ("did", "to"), "deleted", wraps={"who": 16, "to": 24})
    for entry in entries:
        table.add(
            str(entry.n), shown(entry.at_ms), entry.actor, entry.organisation, entry.action, entry.subject,
            _counts(entry),
        )  # fmt: skip
    console().print(table)


def _counts(entry: AuditEntry) -> str:
    """How much a deletion of content took away; other changes are of one thing."""
    if entry.action != CONTENT_DELETE or entry.after is None:
        return ""
    try:
        gone = msgspec.json.decode(entry.after, type=_Gone)
    except msgspec.DecodeError:
        return ""
    kept = gone.answers + gone.cached
    answers = f", {counted(kept, 'answer')}" if kept else ""
    return counted(gone.requests, "request") + answers


def _key_card(key: KeyView) -> RenderableType:
    rows = {
        "id": key.id,
        "name": key.name,
        "of": whose(key),
        "state": key.state,
        "made": shown(key.created_ms),
        "expires": shown(key.expires_ms) or "never",
        "revoked": shown(key.revoked_ms),
        "may use": _may_use(key) or "everything",
        "auto means": key.default_tier or "",
        "limits": limits_words(key.limits) or "none",
        "spent": _money_words(key.money),
        "simulated": _money_words(key.simulated_money),
        "admin": "may change keys of its organisation over HTTP" if key.admin else "",
        "labels": ", ".join(f"{name}={value}" for name, value in key.labels.items()),
    }
    secrets = Rows("secret", "made", "ends")
    for secret in key.secrets:
        secrets.add(f"{secret.prefix}...", shown(secret.created_ms), shown(secret.ends_ms))
    return Group(card(rows.items()), Text(), secrets)


def whose(key: KeyView) -> str:
    """Organisation, team and user."""
    return " / ".join(part for part in (key.organisation, key.team, key.user) if part)


def _may_use(key: KeyView) -> str:
    parts = [
        f"{what} {', '.join(names) or 'none'}"
        for what, names in (("models", key.models), ("tiers", key.tiers), ("platforms", key.platforms))
        if names is not None
    ]
    return "; ".join(parts)


def _state(key: KeyView) -> str:
    return f"{key.state}, admin" if key.admin else key.state


def _secret(key: KeyView) -> str:
    return f"{key.secrets[-1].prefix}..." if key.secrets else ""


def spent_words(key: KeyView) -> str:
    """What it spent, in a few words."""
    parts = []
    if isinstance(key.money, Money) and (key.money.spent_nanousd or key.limits.total_nanousd is not None):
        left = key.money.left_nanousd
        parts.append(f"{dollars(key.money.spent_nanousd)} spent")
        if left is not None:
            parts.append(f"{dollars(left)} left")
    if isinstance(key.simulated_money, Money):
        parts.append(f"{dollars(key.simulated_money.spent_nanousd)} simulated")
    return ", ".join(parts)


def _money_words(money: Money | msgspec.UnsetType) -> str:
    if not isinstance(money, Money):
        return ""
    words = dollars(money.spent_nanousd)
    if money.left_nanousd is not None:
        words += f", {dollars(money.left_nanousd)} left"
    if money.held_nanousd:
        words += f"; {dollars(money.held_nanousd)} held by processes, which may have spent a part of it"
    return words


def limits_words(limits: Limits) -> str:
    """Limits in a few words; empty for none."""
    parts = []
    if limits.concurrency is not None:
        parts.append(f"{limits.concurrency:,} at a time")
    if limits.requests_per_minute is not None:
        parts.append(f"{limits.requests_per_minute:,} a minute")
    if limits.total_nanousd is not None:
        parts.append(
            f"{dollars(limits.total_nanousd)} in all{', may overshoot' if limits.may_overshoot else ''}"
        )
    return ", ".join(parts)


def shown(at_ms: int | None) -> str:
    """A moment for people, UTC; empty for none."""
    if at_ms is None:
        return ""
    moment = datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M")
