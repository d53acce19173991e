"""`trimtab keys`: make, list, show, revoke and rotate keys, set their limits, read the audit trail.

What it is not: rules; those are in `admin`, which HTTP goes through too. Works beside a running server and without one.
Invariant: a secret is printed once, by `add` and `rotate`, on standard output only.
"""

import datetime
import os
import pwd
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.admin import Actor, AuditEntry, KeyAdmin, KeyView, NewKey, SecretMade
from trimtab.app import KeyDoor, config_path, opened_key_door
from trimtab.cli.term import say, warn
from trimtab.errors import ConfigError
from trimtab.records import Limits

PAGE = 1000
WIDE = 160
"""Piped output has no width of its own."""

_UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}

command = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Make and end the keys by which callers are known. Works beside a running server and without one.",
)

Config = Annotated[Path | None, typer.Option("--config", "-c", help="Configuration file, as for serve.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Name = Annotated[str, typer.Argument(metavar="KEY", help="Its id, or its name where only one key has it.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the secret and nothing else.")]
Concurrency = Annotated[int | None, typer.Option("--concurrency", help="Requests in flight at a time.")]
Rpm = Annotated[int | None, typer.Option("--rpm", help="Requests in any 60 seconds.")]
Usd = Annotated[
    str | None, typer.Option("--usd", help="What it may ever spend, in US dollars, as 25 or 0.50.")
]


@command.command()
def add(
    name: Annotated[str, typer.Argument(help="What people call it; free again once the key is revoked.")],
    organisation: Annotated[str | None, typer.Option("--org", help="Organisation. Default: default.")] = None,
    team: Annotated[str | None, typer.Option("--team", help="Team in the organisation.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="User in the organisation.")] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", help="30d, 12h, 4w, or the last day (UTC) on which it works, as 2027-01-31."
        ),
    ] = None,
    models: Annotated[
        str | None, typer.Option("--models", help="Models that it may use, with commas; '' for none.")
    ] = None,
    tiers: Annotated[str | None, typer.Option("--tiers", help="Tiers that it may name, with commas.")] = None,
    platforms: Annotated[
        str | None, typer.Option("--platforms", help="Platform entries that it may use, with commas.")
    ] = None,
    default_tier: Annotated[
        str | None, typer.Option("--default-tier", help="What trimtab/auto means for it.")
    ] = None,
    label: Annotated[list[str] | None, typer.Option("--label", help="key=value; may be repeated.")] = None,
    concurrency: Concurrency = None,
    rpm: Rpm = None,
    usd: Usd = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="It may change keys of its organisation over HTTP.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Make a key and print its secret, which is shown this once."""
    wanted = NewKey(
        name=name,
        organisation=organisation,
        team=team,
        user=user,
        expires_ms=None if expires is None else _moment(expires, "--expires"),
        models=_list(models),
        tiers=_list(tiers),
        platforms=_list(platforms),
        default_tier=default_tier,
        admin=admin,
        limits=_limits(concurrency, rpm, usd),
        labels=_labels(label or []),
    )
    with _door(config) as door:
        made = door.admin.add(_actor(), wanted)
    _print_secret(made, door, quiet=quiet, as_json=as_json)
    if wanted.tiers is not None and wanted.models is None:
        warn("without --models this key may also name any model directly; --tiers only limits tiers")


@command.command("list")
def list_keys(
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Also those that were revoked or have expired.")
    ] = False,
    organisation: Annotated[str | None, typer.Option("--org", help="Of one organisation.")] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """List keys, the newest last."""
    with _door(config) as door:
        found = [key for key in _all(door.admin, _actor(organisation)) if everything or key.state == "active"]
    found.sort(key=lambda key: (key.created_ms, key.id))
    if as_json:
        _print_json(found)
    elif not found:
        say(f"No keys in {door.store_url}. Make one: trimtab keys add NAME")
    else:
        _console().print(_keys_table(found))


@command.command()
def show(name: Name, as_json: Json = False, config: Config = None) -> None:
    """Show everything about a key but its secrets."""
    with _door(config) as door:
        found = door.admin.show(_actor(), name)
    if as_json:
        _print_json(found)
    else:
        _console().print(_key_card(found))


@command.command()
def revoke(name: Name, as_json: Json = False, config: Config = None) -> None:
    """End a key for ever: requests with it are refused within 2 seconds; answers in flight finish."""
    with _door(config) as door:
        found = door.admin.revoke(_actor(), name)
    if as_json:
        _print_json(found)
    else:
        say(f"{found.id} ({found.name}) was revoked at {_shown(found.revoked_ms)}")


@command.command()
def rotate(
    name: Name,
    grace: Annotated[
        str, typer.Option("--grace", help="How long the old secret still works, as 24h; 0 for not at all.")
    ] = "24h",
    quiet: Quiet = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Give a key a new secret, and let the old one end after a time of grace."""
    grace_ms = 0 if grace == "0" else _duration_ms(grace, "--grace")
    with _door(config) as door:
        made = door.admin.rotate(_actor(), name, grace_ms)
    _print_secret(made, door, quiet=quiet, as_json=as_json)


@command.command()
def limits(
    name: Name,
    concurrency: Concurrency = None,
    rpm: Rpm = None,
    usd: Usd = None,
    none: Annotated[bool, typer.Option("--none", help="Take all limits away.")] = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Put these limits in place of those that a key has, all of them."""
    wanted = _limits(concurrency, rpm, usd)
    if wanted.any == none:
        raise ConfigError("trimtab keys limits", "name the limits that shall hold from now on, or --none")
    with _door(config) as door:
        found = door.admin.set_limits(_actor(), name, wanted)
    if as_json:
        _print_json(found)
    else:
        say(f"{found.id} ({found.name}): {_limits_words(found.limits) or 'no limits'}")


@command.command()
def audit(
    key: Annotated[
        str | None, typer.Option("--key", help="Changes of one key only, by its id or name.")
    ] = None,
    most: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="The latest so many.")] = 50,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the whole trail; exit status 1 if it is broken.")
    ] = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show who changed what, the newest first."""
    with _door(config) as door:
        if verify:
            found = door.admin.verify()
        else:
            subject = None if key is None else door.admin.show(_actor(), key).id
            entries = door.admin.audit(_actor(), key=subject, most=most)
    if verify:
        if as_json:
            _print_json(found)
        elif found.problem is None:
            say(f"the audit trail is whole: {found.rows} rows, the last hash is {found.hash or 'none'}")
        else:
            warn(f"THE AUDIT TRAIL IS BROKEN: {found.problem}; rows 1 to {found.rows} are whole")
        if found.problem is not None:
            raise typer.Exit(1)
    elif as_json:
        _print_json(entries)
    else:
        _console().print(_audit_table(entries))


def _door(config: Path | None) -> AbstractContextManager[KeyDoor]:
    return opened_key_door(config_path(config))


def _actor(organisation: str | None = None) -> Actor:
    return Actor(f"cli:{_account()}", organisation)


def _account() -> str:
    """The account that runs this, by the system's word, not by a variable that anybody may set."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"


def _all(door: KeyAdmin, actor: Actor) -> list[KeyView]:
    found: list[KeyView] = []
    while True:
        page = door.keys(actor, after=found[-1].id if found else "", most=PAGE)
        found += page
        if len(page) < PAGE:
            return found


# Words of the command line


def _list(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(part for piece in text.split(",") if (part := piece.strip()))


def _labels(given: Sequence[str]) -> dict[str, str]:
    labels = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError("--label", f"{text!r}: must be key=value")
        labels[name] = value
    return labels


def _limits(concurrency: int | None, rpm: int | None, usd: str | None) -> Limits:
    return Limits(
        concurrency=concurrency,
        requests_per_minute=rpm,
        total_nanousd=None if usd is None else _nanousd(usd),
    )


def _nanousd(text: str) -> int:
    try:
        amount = Decimal(text.removeprefix("$"))
        exact = amount.scaleb(9)
        if not exact.is_finite() or exact != exact.to_integral_value() or not 0 < exact <= 10**18:
            raise InvalidOperation
    except InvalidOperation:
        raise ConfigError(
            "--usd", f"{text!r}: must be an amount of dollars above 0, such as 25 or 0.50"
        ) from None
    return int(exact)


def _duration_ms(text: str, where: str) -> int:
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and len(number) <= 6 and unit in _UNITS_S):
        raise ConfigError(where, f"{text!r}: must be a number and a unit: 90m, 12h, 30d or 4w")
    return int(number) * _UNITS_S[unit] * 1000


def _moment(text: str, where: str) -> int:
    """The first millisecond at which a key has expired."""
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        if len(text) > 8:
            raise ConfigError(
                where, f"{text!r}: must be a date such as 2027-01-31, or 30d, 12h, 4w"
            ) from None
        now_ms = int(datetime.datetime.now(datetime.UTC).timestamp() * 1000)
        return now_ms + _duration_ms(text, where)
    midnight = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
    return int(midnight.timestamp() * 1000) + 86_400_000


# What people see


def _print_secret(made: SecretMade, door: KeyDoor, *, quiet: bool, as_json: bool) -> None:
    secret, key = made.secret.reveal(), made.key
    if quiet:
        say(secret)
        return
    if as_json:
        _print_json({**msgspec.structs.asdict(key), "secret": secret})
        return
    say(f"{key.id} ({key.name}) of {_whose(key)}, kept in {door.store_url}")
    say()
    say(f"  {secret}")
    say()
    say("This is shown once; only its SHA-256 is kept. A program with an Anthropic SDK uses it so:")
    say(f"  ANTHROPIC_BASE_URL={door.base_url} ANTHROPIC_API_KEY={secret}")


def _print_json(content: Any) -> None:
    say(msgspec.json.format(msgspec.json.encode(content)).decode())


def _console() -> Console:
    return Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=WIDE)


def _keys_table(keys: Sequence[KeyView]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in ("id", "name", "of", "secret", "state", "made", "expires", "may use", "limits"):
        table.add_column(column, no_wrap=column in ("id", "secret", "state"), overflow="fold")
    for key in keys:
        table.add_row(
            key.id,
            Text(key.name),
            Text(_whose(key)),
            Text(f"{key.secrets[-1].prefix}..." if key.secrets else ""),
            f"{key.state}, admin" if key.admin else key.state,
            _shown(key.created_ms),
            _shown(key.expires_ms),
            Text(_may_use(key)),
            _limits_words(key.limits),
        )
    return table


def _key_card(key: KeyView) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    rows = {
        "id": key.id,
        "name": key.name,
        "of": _whose(key),
        "state": key.state,
        "made": _shown(key.created_ms),
        "expires": _shown(key.expires_ms) or "never",
        "revoked": _shown(key.revoked_ms),
        "may use": _may_use(key) or "everything",
        "auto means": key.default_tier or "",
        "limits": _limits_words(key.limits) or "none",
        "admin": "may change keys of its organisation over HTTP" if key.admin else "",
        "labels": ", ".join(f"{name}={value}" for name, value in key.labels.items()),
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, Text(value))
    secrets = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in ("secret", "made", "ends"):
        secrets.add_column(column, no_wrap=True)
    for secret in key.secrets:
        secrets.add_row(Text(f"{secret.prefix}..."), _shown(secret.created_ms), _shown(secret.ends_ms))
    return Group(table, secrets)


def _audit_table(entries: Sequence[AuditEntry]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in ("row", "at (UTC)", "who", "did", "to", "of"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        table.add_row(
            str(entry.n),
            _shown(entry.at_ms),
            Text(entry.actor),
            entry.action,
            Text(entry.subject),
            Text(entry.organisation),
        )
    return table


def _whose(key: KeyView) -> str:
    return " / ".join(part for part in (key.organisation, key.team, key.user) if part)


def _may_use(key: KeyView) -> str:
    parts = [
        f"{what} {', '.join(names) or 'none'}"
        for what, names in (("models", key.models), ("tiers", key.tiers), ("platforms", key.platforms))
        if names is not None
    ]
    return "; ".join(parts)


def _limits_words(limits: Limits) -> str:
    parts = []
    if limits.concurrency is not None:
        parts.append(f"{limits.concurrency:,} at a time")
    if limits.requests_per_minute is not None:
        parts.append(f"{limits.requests_per_minute:,} a minute")
    if limits.total_nanousd is not None:
        dollars = Decimal(limits.total_nanousd).scaleb(-9).normalize()
        parts.append(f"${dollars:,f} in all")
    return ", ".join(parts)


def _shown(at_ms: int | None) -> str:
    if at_ms is None:
        return ""
    moment = datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M")
