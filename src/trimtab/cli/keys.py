"""`trimtab keys`: make, list, show, revoke and rotate keys, set their limits, read the audit trail.

What it is not: rules; those are in `admin`, which HTTP goes through too. Works beside a running server and without one.
Invariant: a secret is printed once, by `add` and `rotate`, on standard output only.
"""

import datetime
from collections.abc import Sequence
from contextlib import AbstractContextManager
from decimal import Context, Decimal, DecimalException
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from trimtab.admin import Actor, KeyAdmin, KeyView, NewKey, SecretMade
from trimtab.admin.rules import LATEST_MS, MOST
from trimtab.app import KeyDoor, config_path, opened_key_door
from trimtab.cli.account import actor
from trimtab.cli.keys_shown import limits_words, print_audit, print_key, print_keys, shown, whose
from trimtab.cli.options import Config, Json, command_group
from trimtab.cli.term import print_json, say, tell, warn
from trimtab.errors import ConfigError, shortened
from trimtab.records import Limits

PAGE = 1000
_UNITS_S = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}

command = command_group(
    "Make and end the keys by which callers are known. Works beside a running server and without one."
)

Name = Annotated[str, typer.Argument(metavar="KEY", help="Its id, or its name where only one key has it.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the secret and nothing else.")]
Concurrency = Annotated[
    str | None, typer.Option("--concurrency", metavar="N", help="Requests in flight at a time, or none.")
]
Rpm = Annotated[str | None, typer.Option("--rpm", metavar="N", help="Requests in any 60 seconds, or none.")]
Usd = Annotated[
    str | None,
    typer.Option(
        "--usd", metavar="DOLLARS", help="What it may ever spend, in US dollars, as 25 or 0.50, or none."
    ),
]

Overshoot = Annotated[
    bool | None,
    typer.Option(
        "--overshoot/--no-overshoot",
        help="With --usd: may use web search, MCP servers and the like, whose cost has no bound. Default: no.",
    ),
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
    overshoot: Overshoot = None,
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
        limits=msgspec.convert(_limits(concurrency, rpm, usd, overshoot), Limits),
        labels=_labels(label or []),
    )
    with _door(config, create=True) as door:
        made = door.admin.add(actor(), wanted)
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
        found = [key for key in _all(door.admin, actor(organisation)) if everything or key.state == "active"]
    found.sort(key=lambda key: (key.created_ms, key.id))
    tell(
        found,
        print_keys,
        as_json=as_json,
        none=f"No keys in {door.store_url}. Make one: trimtab keys add NAME",
    )


@command.command()
def show(name: Name, as_json: Json = False, config: Config = None) -> None:
    """Show everything about a key but its secrets."""
    with _door(config) as door:
        found = door.admin.show(actor(), name)
    tell(found, print_key, as_json=as_json)


@command.command()
def revoke(name: Name, as_json: Json = False, config: Config = None) -> None:
    """End a key for ever: requests with it are refused within 2 seconds; answers in flight finish."""
    with _door(config) as door:
        found = door.admin.revoke(actor(), name)
    tell(
        found,
        lambda _: say(f"{found.id} ({found.name}) was revoked at {shown(found.revoked_ms)}"),
        as_json=as_json,
    )


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
        made = door.admin.rotate(actor(), name, grace_ms)
    _print_secret(made, door, quiet=quiet, as_json=as_json)


@command.command()
def limits(
    name: Name,
    concurrency: Concurrency = None,
    rpm: Rpm = None,
    usd: Usd = None,
    overshoot: Overshoot = None,
    none: Annotated[bool, typer.Option("--none", help="Take all limits away.")] = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Change the limits that are named; the others stay. `none` removes one, as in --rpm none."""
    wanted = _limits(concurrency, rpm, usd, overshoot)
    if none and wanted:
        raise ConfigError(
            "--none", "takes all limits away, so no other goes with it; write --rpm none to take one away"
        )
    if not none and not wanted:
        raise ConfigError(
            "trimtab keys limits",
            "name the limits to change, as --rpm 60 or --rpm none, or give --none for all",
        )
    with _door(config) as door:
        changed = door.admin.change_limits(
            actor(), name, {**dict.fromkeys(MOST), "may_overshoot": False} if none else wanted
        )
    key = changed.key
    if as_json:
        print_json(key)
    else:
        was, now = limits_words(changed.was), limits_words(key.limits)
        say(f"{key.id} ({key.name}): was {was or 'no limits'}; now {now or 'no limits'}")


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
            subject = None if key is None else door.admin.show(actor(), key).id
            entries = door.admin.audit(actor(), key=subject, most=most)
    if verify:
        if as_json:
            print_json(found)
        elif found.problem is None:
            say(f"the audit trail is whole: {found.rows} rows, the last hash is {found.hash or 'none'}")
        else:
            warn(f"THE AUDIT TRAIL IS BROKEN: {found.problem}; rows 1 to {found.rows} are whole")
        if found.problem is not None:
            raise typer.Exit(1)
    elif as_json:
        print_json(entries)
    elif not entries:
        say("no changes of this key" if key is not None else "no changes yet")
    else:
        print_audit(entries)


def _door(config: Path | None, *, create: bool = False) -> AbstractContextManager[KeyDoor]:
    return opened_key_door(config_path(config), create=create)


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


def _limits(
    concurrency: str | None, rpm: str | None, usd: str | None, overshoot: bool | None
) -> dict[str, int | None]:
    """Those that are named, by the fields of `Limits`."""
    found: dict[str, int | None] = {}
    for field, option, text in (
        ("concurrency", "--concurrency", concurrency),
        ("requests_per_minute", "--rpm", rpm),
    ):
        if text is not None:
            found[field] = None if text == "none" else _whole(option, text, MOST[field])
    if usd is not None:
        found["total_nanousd"] = None if usd == "none" else _nanousd(usd)
    if overshoot is not None:
        found["may_overshoot"] = overshoot
    return found


def _whole(option: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and 1 <= int(text) <= most):
        raise ConfigError(
            option, f"{shortened(text, 40)!r}: must be a whole number from 1 to {most}, or none for no limit"
        )
    return int(text)


def _nanousd(text: str) -> int:
    most = MOST["total_nanousd"]
    try:
        exact = Decimal(text.removeprefix("$")).scaleb(9, Context(prec=60)) if len(text) <= 40 else None
        fits = exact is not None and exact.is_finite() and 0 < exact <= most and exact == int(exact)
    except DecimalException:
        exact, fits = None, False
    if exact is None or not fits:
        raise ConfigError(
            "--usd",
            f"{shortened(text, 40)!r}: must be an amount of dollars above 0 and at most {most // 10**9}, such as 25 "
            "or 0.50, to the ninth place; none for no limit",
        )
    return int(exact)


def _duration_ms(text: str, where: str) -> int:
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and len(number) <= 6 and unit in _UNITS_S):
        raise ConfigError(where, f"{text!r}: must be a number and a unit: 90m, 12h, 30d or 4w")
    return int(number) * _UNITS_S[unit] * 1000


def _moment(text: str, where: str) -> int:
    """The first millisecond at which a key has expired."""
    now_ms = int(datetime.datetime.now(datetime.UTC).timestamp() * 1000)
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        if len(text) > 8:
            raise ConfigError(
                where, f"{shortened(text, 40)!r}: must be a date such as 2027-01-31, or 30d, 12h, 4w"
            ) from None
        at_ms = now_ms + _duration_ms(text, where)
    else:
        midnight = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
        at_ms = int(midnight.timestamp() * 1000) + 86_400_000
    if at_ms <= now_ms:
        raise ConfigError(
            where, f"{text!r}: is past (today is {shown(now_ms)[:10]}); give a day to come, or 30d, 12h, 4w"
        )
    if at_ms > LATEST_MS:
        raise ConfigError(where, f"{text!r}: is too far away; leave it out for a key that never expires")
    return at_ms


# What people see


def _print_secret(made: SecretMade, door: KeyDoor, *, quiet: bool, as_json: bool) -> None:
    secret, key = made.secret.reveal(), made.key
    if quiet:
        say(secret)
        return
    if as_json:
        print_json({**msgspec.to_builtins(key), "secret": secret})
        return
    say(f"{key.id} ({key.name}) of {whose(key)}, kept in {door.store_url}")
    say()
    say(f"  {secret}")
    say()
    say("This is shown once; only its SHA-256 is kept. A program with an Anthropic SDK uses it so:")
    say(f"  ANTHROPIC_BASE_URL={door.base_url} ANTHROPIC_API_KEY={secret}")
