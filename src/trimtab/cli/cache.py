"""`trimtab cache`: what is kept of answers to be given again, how often they were, and clearing them.

What it is not: rules; those are in `admin`. Works beside a running server and without one.
"""

import datetime
from typing import Annotated

import msgspec
import typer

from trimtab.admin import Actor
from trimtab.app import config_path
from trimtab.app.repeating import opened_cache_door
from trimtab.cache import CacheSettings
from trimtab.catalogue.money import about_dollars
from trimtab.cli.account import account
from trimtab.cli.keys_shown import shown as shown_moment
from trimtab.cli.options import Config, Json, command_group
from trimtab.cli.term import counted, print_json, say
from trimtab.stats import Interval, wilson
from trimtab.store.answers import Asked, KeptSummary

command = command_group(
    "Answers that are kept to be given again: show and clear them. Works beside a running server and without one."
)

SHARED = {
    "key": "to its key only",
    "team": "to its key's team",
    "organisation": "to its organisation",
    "all": "to all",
}

HOUR_MS = 3_600_000

Key = Annotated[str | None, typer.Option("--key", help="Of what this key asked for, by its id or name.")]


class Side(msgspec.Struct, frozen=True):
    """Real or simulated requests, counted."""

    hits: int
    misses: int
    share: Interval | None
    """Of hits, with 95 % confidence; `None`: nothing was asked for."""
    saved_nanousd: int


class Shown(msgspec.Struct, frozen=True):
    """What `show` says."""

    settings: CacheSettings
    kept: KeptSummary
    hours: int
    real: Side
    simulated: Side


@command.command()
def show(
    key: Key = None,
    hours: Annotated[
        int, typer.Option("--hours", min=1, max=87_600, help="Count hits of so many hours.")
    ] = 24,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Show how much is kept, how often answers were given again, and what that saved."""
    with opened_cache_door(config_path(config)) as door:
        key_id = None if key is None else door.admin.key_id(Actor(f"cli:{account()}"), key)
        now_ms = int(datetime.datetime.now(datetime.UTC).timestamp() * 1000)
        since_ms = now_ms - hours * HOUR_MS
        told = Shown(
            settings=door.settings,
            kept=door.store.summary(key_id),
            hours=hours,
            real=_side(door.store.asked(since_ms, simulated=False, key=key_id)),
            simulated=_side(door.store.asked(since_ms, simulated=True, key=key_id)),
        )
        url = door.store_url
    if as_json:
        print_json(told)
        return
    settings, kept = told.settings, told.kept
    if settings.mode == "off":
        say("cache.mode is off: no answer is given again")
    else:
        say(
            f"cache.mode is {settings.mode}: an answer is given again for {_duration(settings.ttl_s)}, "
            f"{SHARED[settings.share]}; {settings.max_mb:,} MiB at the most"
        )
    since = "" if kept.oldest_ms is None else f", the oldest of {shown_moment(kept.oldest_ms)} UTC"
    say(f"{url} holds {counted(kept.answers, 'answer')}, {kept.stored_bytes:,} bytes{since}")
    say(f"last {counted(hours, 'hour')}: {_told(told.real)}")
    if told.simulated.hits or told.simulated.misses:
        say(f"simulated: {_told(told.simulated)}")


@command.command()
def clear(key: Key = None, as_json: Json = False, config: Config = None) -> None:
    """Remove all kept answers, or those that a key asked for. Requests go on; what they ask is answered anew."""
    with opened_cache_door(config_path(config)) as door:
        answers = door.admin.clear(Actor(f"cli:{account()}"), key)
    if as_json:
        print_json({"answers": answers})
    else:
        say(f"cleared {counted(answers, 'answer')}")


def _side(asked: Asked) -> Side:
    both = asked.hits + asked.misses
    return Side(asked.hits, asked.misses, wilson(asked.hits, both) if both else None, asked.saved_nanousd)


def _told(side: Side) -> str:
    if side.share is None:
        return "nobody asked for an earlier answer"
    both = side.hits + side.misses
    return (
        f"{side.hits:,} of {both:,} given again ({100 * side.hits / both:.0f} %, 95 % interval "
        f"{100 * side.share.low:.0f} to {100 * side.share.high:.0f} %), saved {about_dollars(side.saved_nanousd)}"
    )


def _duration(seconds: int) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % length == 0:
            return counted(seconds // length, unit)
    return counted(seconds, "second")
