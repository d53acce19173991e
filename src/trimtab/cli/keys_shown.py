"""How `trimtab keys` shows keys, their money and the audit trail.

Invariant: an id is never cut or wrapped, however narrow the terminal: where a table does not fit, each thing gets
lines of its own instead.
"""

import datetime
from collections.abc import Sequence

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.admin import AuditEntry, KeyView, Money
from trimtab.catalogue.money import dollars
from trimtab.cli.tables import console, headed, print_fitting
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
    """One line each, or two where that is too wide."""
    print_fitting(_keys_table(keys), (_key_lines(key) for key in keys))


def print_key(key: KeyView) -> None:
    """Everything about one."""
    console().print(_key_card(key))


def print_audit(entries: Sequence[AuditEntry]) -> None:
    """One line each, or two where that is too wide."""
    print_fitting(_audit_table(entries), (_audit_lines(entry) for entry in entries))


def _key_lines(key: KeyView) -> tuple[str, str]:
    parts = (
        f"of {whose(key)}",
        _may_use(key),
        limits_words(key.limits),
        spent_words(key),
        f"made {shown(key.created_ms)}",
        f"expires {shown(key.expires_ms)}" if key.expires_ms is not None else "",
        _secret(key),
    )
    return f"{key.id}  {key.name}  {_state(key)}", "; ".join(part for part in parts if part)


def _audit_lines(entry: AuditEntry) -> tuple[str, str]:
    first = f"{entry.n}  {shown(entry.at_ms)}  {entry.action}  {entry.subject}"
    parts = (f"by {entry.actor}", f"of {entry.organisation}" if entry.organisation else "", _counts(entry))
    return first, ", ".join(part for part in parts if part)


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


def _keys_table(keys: Sequence[KeyView]) -> Table:
    table = headed("id", "name", "of", "secret", "state", "made", "expires", "may use", "limits", "spent")
    for key in keys:
        table.add_row(
            key.id,
            Text(key.name),
            Text(whose(key)),
            Text(_secret(key)),
            _state(key),
            shown(key.created_ms),
            shown(key.expires_ms),
            Text(_may_use(key)),
            limits_words(key.limits),
            spent_words(key),
        )
    return table


def _key_card(key: KeyView) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
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
    for name, value in rows.items():
        if value:
            table.add_row(name, Text(value))
    secrets = headed("secret", "made", "ends")
    for secret in key.secrets:
        secrets.add_row(Text(f"{secret.prefix}..."), shown(secret.created_ms), shown(secret.ends_ms))
    return Group(table, secrets)


def _audit_table(entries: Sequence[AuditEntry]) -> Table:
    counts = [_counts(entry) for entry in entries]
    more = ("deleted",) if any(counts) else ()
    table = headed("row", "at (UTC)", "who", "did", "to", "of", *more)
    for entry, count in zip(entries, counts, strict=True):
        table.add_row(
            str(entry.n),
            shown(entry.at_ms),
            Text(entry.actor),
            entry.action,
            Text(entry.subject),
            Text(entry.organisation),
            *((count,) if more else ()),
        )
    return table


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
