"""`trimtab users`: make, list, change and remove the people who use the console.

What it is not: rules; those are in `admin`. Works beside a running server and without one.
Invariant: a password is read from the terminal or from standard input, never from the command line, and never printed.
"""

import getpass
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from trimtab.admin import UserView
from trimtab.admin.users import check_role
from trimtab.app import config_path
from trimtab.app.doorkeeping import UserDoor, opened_user_door
from trimtab.cli.account import actor
from trimtab.cli.keys_shown import shown
from trimtab.cli.options import Config, Json, command_group
from trimtab.cli.tables import Rows, console
from trimtab.cli.term import counted, print_json, say, tell, warn
from trimtab.errors import ConfigError, printable
from trimtab.identity.passwords import MAX_CHARS, check_password

command = command_group(
    "Make, change and remove the people who may use the console. Works beside a running server and without one."
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.")]
Role = Annotated[
    str,
    typer.Option(
        "--role",
        help="viewer (looks), operator (also reads kept prompts and configurations), admin (as operator, today).",
    ),
]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, its first line.")
]


@command.command()
def add(
    name: Name,
    role: Role = "viewer",
    password_stdin: PasswordStdin = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Make a user. From the first one on, nobody uses the console without logging in."""
    check_role(role)  # before anybody types a password
    with _door(config, create=True) as door:
        made = door.admin.add(actor(), name, role, _password(name, password_stdin))
    if as_json:
        print_json(made)
        return
    say(f"{made.name} is {_a(made.role)} now, kept in {door.store_url}")
    say(f"Log in: {door.base_url}/console")


@command.command("list")
def list_users(as_json: Json = False, config: Config = None) -> None:
    """List users by name."""
    with _door(config) as door:
        found = door.admin.users()
    tell(
        found,
        _print_users,
        as_json=as_json,
        none=f"No users in {door.store_url}. Make one: trimtab users add NAME --role admin",
    )


@command.command()
def show(name: Name, as_json: Json = False, config: Config = None) -> None:
    """Show one user: role, state, when it was made, and where it is logged in."""
    with _door(config) as door:
        found = door.admin.show(name)
    if as_json:
        print_json(found)
        return
    say(f"{printable(found.name)}, {found.role}")
    for what, value in (
        ("state", found.state),
        ("disabled", shown(found.disabled_ms)),
        ("logged in", _logged_in(found) or "nowhere"),
        ("made", f"{shown(found.created_ms)} UTC"),
        ("password", f"set {shown(found.password_ms)} UTC"),
    ):
        if value:
            say(f"  {what:<10} {value}")


@command.command()
def passwd(
    name: Name, password_stdin: PasswordStdin = False, as_json: Json = False, config: Config = None
) -> None:
    """Give a user another password; it is logged out everywhere."""
    with _door(config) as door:
        changed = door.admin.set_password(actor(), name, _password(name, password_stdin))
    _told(changed, as_json, f"{changed.name} has another password now, and is logged out everywhere")


@command.command()
def role(
    name: Name,
    wanted: Annotated[str, typer.Argument(metavar="ROLE", help="viewer, operator or admin.")],
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Give a user another role; within 2 seconds it holds where it is logged in too."""
    with _door(config) as door:
        changed = door.admin.set_role(actor(), name, wanted)
    _told(changed, as_json, f"{changed.name} is {_a(changed.role)} now")


@command.command()
def disable(name: Name, as_json: Json = False, config: Config = None) -> None:
    """Log a user out everywhere within 2 seconds, and let it in no more."""
    with _door(config) as door:
        changed = door.admin.disable(actor(), name)
    _told(changed, as_json, f"{changed.name} is disabled and logged out; `trimtab users enable` undoes it")


@command.command()
def enable(name: Name, as_json: Json = False, config: Config = None) -> None:
    """Let a disabled user in again."""
    with _door(config) as door:
        changed = door.admin.enable(actor(), name)
    _told(changed, as_json, f"{changed.name} may log in again, as {changed.role}")


@command.command()
def remove(name: Name, as_json: Json = False, config: Config = None) -> None:
    """Remove a user; the audit trail still tells of it. `disable` can be undone, this cannot."""
    with _door(config) as door:
        gone = door.admin.remove(actor(), name)
        left = door.admin.users()
    _told(gone, as_json, f"{gone.name} is removed and logged out")
    if not left:
        warn(
            "no user is left: on a loopback address, where callers need no key, the console can be looked at without "
            "logging in again; elsewhere nobody can"
        )


@command.command("log-out")
def log_out(name: Name, as_json: Json = False, config: Config = None) -> None:
    """End all sessions of a user within 2 seconds; it may log in again."""
    with _door(config) as door:
        ended = door.admin.log_out(actor(), name)
    if as_json:
        print_json({"name": name, "ended": ended})
    else:
        say(f"{name} is logged out: {counted(ended, 'session')} ended")


def _door(config: Path | None, *, create: bool = False) -> AbstractContextManager[UserDoor]:
    return opened_user_door(config_path(config), create=create)


def _password(name: str, from_stdin: bool) -> str:
    """Asked for twice, or the first line of standard input; good enough to be one. Raises `ConfigError`."""
    if from_stdin:
        # One character more than is permitted, so that too long a one is told as that and never cut.
        password = sys.stdin.readline(MAX_CHARS + 2).rstrip("\r\n")
        if not password:
            raise ConfigError("--password-stdin", "standard input is empty; write the password to it")
        return password
    if not sys.stdin.isatty():
        raise ConfigError("password", "there is no terminal to ask for it; give --password-stdin")
    password = getpass.getpass(f"Password for {name}: ")
    check_password(password, name)
    if getpass.getpass("The same again: ") != password:
        raise ConfigError("password", "the two differ; nothing was changed")
    return password


def _a(role: str) -> str:
    return f"{'a' if role == 'viewer' else 'an'} {role}"


def _told(user: UserView, as_json: bool, text: str) -> None:
    tell(user, lambda _: say(text), as_json=as_json)


def _logged_in(user: UserView) -> str:
    return counted(user.sessions, "session") if isinstance(user.sessions, int) and user.sessions else ""


def _print_users(users: list[UserView]) -> None:
    table = Rows("name", ("role", "state"), "logged in", ("made (UTC)", "password set"))
    for user in users:
        table.add(
            user.name,
            user.role,
            user.state,
            _logged_in(user),
            shown(user.created_ms),
            shown(user.password_ms),
        )
    console().print(table)
