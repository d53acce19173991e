"""`trimtab content`: what is kept of prompts and answers; show it, delete it.

What it is not: rules; those are in `admin`, which HTTP goes through too. Works beside a running server and without one.
Invariant: what a stranger wrote reaches a terminal only as JSON without characters that a terminal obeys.
"""

import datetime
import json
import sys
from typing import Annotated, Any, Literal

import msgspec
import typer

from trimtab.admin import Actor, ContentDeleted
from trimtab.app import config_path
from trimtab.app.content import opened_content_door
from trimtab.cli.account import account
from trimtab.cli.keys_shown import shown as shown_moment
from trimtab.cli.options import Config, Json, command_group
from trimtab.cli.term import counted, say, say_lines
from trimtab.content import days_kept, shown
from trimtab.errors import ConfigError, NotFound, shortened

command = command_group(
    "What is kept of prompts and answers: show and delete it. Works beside a running server and without one."
)


@command.command()
def status(as_json: Json = False, config: Config = None) -> None:
    """Say which policy is in force and how much is kept."""
    with opened_content_door(config_path(config)) as door:
        kept, policy = door.store.summary(), door.settings
    days = days_kept(policy.days, door.keep_days)
    if as_json:
        _print_json({"policy": policy, "days": days, "kept": kept})
        return
    if policy.keep == "off":
        say("content.keep is off: nothing is kept of prompts and answers")
    else:
        say(
            f"content.keep is {policy.keep}: prompts and answers are kept for {counted(days, 'day')}, "
            f"{policy.max_bytes:,} bytes of each at the most"
            + ("" if policy.simulated else "; not those of simulated requests")
        )
    since = "" if kept.oldest_ms is None else f", the oldest of {shown_moment(kept.oldest_ms)} UTC"
    say(f"{door.store_url} holds {counted(kept.requests, 'request')}, {kept.stored_bytes:,} bytes{since}")


@command.command()
def show(
    request: Annotated[str, typer.Argument(metavar="REQUEST", help="The id of an x-trimtab-request header.")],
    part: Annotated[
        Literal["request", "answer"] | None,
        typer.Option("--part", help="The exact bytes of one side, for a file or a pipe."),
    ] = None,
    config: Config = None,
) -> None:
    """Show what is kept of one request, as JSON."""
    with opened_content_door(config_path(config)) as door:
        found = door.store.find(request)
        policy = door.settings.keep
    if found is None:
        raise NotFound(
            f"of request {shortened(request, 80)!r} no content is kept; content.keep is {policy!r} here"
        )
    if part is None:
        _print_json(shown(found))
        return
    side = found.request if part == "request" else found.answer
    if side is None:
        raise NotFound(f"of request {shortened(request, 80)!r} no {part} is kept")
    if sys.stdout.isatty():
        raise ConfigError(
            "--part", "prints bytes as they are, which a terminal may obey; write them to a file"
        )
    sys.stdout.buffer.write(side)
    sys.stdout.buffer.flush()


@command.command()
def delete(
    request: Annotated[str | None, typer.Option("--request", help="What is kept of this request.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Of all requests of this key, by its id or name.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="Of all requests of this user's keys.")] = None,
    before: Annotated[
        str | None,
        typer.Option("--before", help="Of requests before this day or moment (UTC), as 2027-01-31, or now."),
    ] = None,
    organisation: Annotated[
        str | None,
        typer.Option("--org", help="Whose user, where several organisations have one of this name."),
    ] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Delete what is kept of prompts and answers, for good. Records and sums stay."""
    named = [name for name, value in (("--request", request), ("--key", key), ("--user", user)) if value]
    if len(named) > 1 or (not named and before is None) or (request and before is not None):
        raise ConfigError(
            "trimtab content delete",
            "say whose content: --request, --key or --user (the latter two also with --before), or all --before a day",
        )
    if organisation is not None and user is None:
        raise ConfigError("--org", "goes with --user")
    before_ms = None if before is None else _moment(before)
    with opened_content_door(config_path(config)) as door:
        admin, who = door.admin, Actor(f"cli:{account()}")
        if request:
            done = admin.delete_request(who, request)
        elif key:
            done = admin.delete_key(who, key, before_ms=before_ms)
        elif user:
            done = admin.delete_user(who, user, organisation=organisation, before_ms=before_ms)
        else:
            assert before_ms is not None
            done = admin.delete_before(who, before_ms)
    if as_json:
        _print_json(done)
    else:
        say(_told(done))


def _told(done: ContentDeleted) -> str:
    kept = f" and {counted(done.answers, 'kept answer')} to idempotency keys" if done.answers else ""
    kept += f" and {counted(done.cached, 'answer')} kept to be given again" if done.cached else ""
    kept += f" and {counted(done.edited, 'edited answer')}" if done.edited else ""
    rest = "" if done.overwritten else "; the engine overwrites the bytes later, see docs/content.md"
    return f"deleted the content of {counted(done.requests, 'request')}{kept}{rest}"


def _moment(text: str) -> int:
    if text == "now":
        return int(datetime.datetime.now(datetime.UTC).timestamp() * 1000)
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            "--before",
            f"{shortened(text, 40)!r}: must be a day or moment such as 2027-01-31 or 2027-01-31T12:00, or now",
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return max(0, int(moment.timestamp() * 1000))


def _print_json(content: Any) -> None:
    say_lines(json.dumps(msgspec.to_builtins(content), indent=2).replace("\x7f", "\\u007f"))
