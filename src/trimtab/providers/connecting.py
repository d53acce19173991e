"""What every platform behind HTTP has in its settings: deadlines, trust and connections, checked once for all.

What it is not: addresses or credentials, which each kind of platform has its own of. Invariant: a client that is opened
here never sends a key in the clear, and each mistake is one `ConfigError` that shows no secret.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from trimtab.catalogue import Catalogue
from trimtab.config import fail
from trimtab.errors import ConfigError
from trimtab.providers.http import (
    Deadlines,
    HttpClient,
    Target,
    proxy_from_environment,
    shown_origin,
    tls_context,
)
from trimtab.providers.terms import Terms

MAX_DEADLINE_S = 86_400
"""A day. The event loop's timers cannot take infinity."""

MAX_CONNECTIONS = 1_000_000
"""More than one process can have sockets."""


class Connecting(Terms, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of `[platforms.NAME]` that every kind behind HTTP has."""

    ca_file: str | None = None
    """Trust this PEM file instead of the system's authorities."""
    connect_s: float = 10.0
    header_s: float = 600.0
    first_event_s: float = 120.0
    idle_s: float = 120.0
    max_connections: int = 4096


def parse_target(url: str, where: Callable[[str], str], key: str = "base_url") -> Target:
    """The origin that a URL of the configuration names. Raises `ConfigError` named by `where(key)`."""
    try:
        return Target.parse(url)
    except ValueError as problem:
        _refuse(where(key), shown_origin(url), str(problem))


def open_client(
    target: Target, settings: Connecting, where: Callable[[str], str], key: str = "base_url"
) -> HttpClient:
    """A pool of connections to the target; opens none yet. Raises `ConfigError` named by `where(key)`."""
    for name in ("connect_s", "header_s", "first_event_s", "idle_s"):
        value = getattr(settings, name)
        if (
            not 0 < value <= MAX_DEADLINE_S
        ):  # so written that nan, for which every comparison is false, is refused
            fail(where(name), value, f"must be greater than 0 and at most {MAX_DEADLINE_S}")
    if not 1 <= settings.max_connections <= MAX_CONNECTIONS:
        fail(where("max_connections"), settings.max_connections, f"must be from 1 to {MAX_CONNECTIONS}")
    try:
        proxy = proxy_from_environment(target)
    except ValueError as problem:
        _refuse(where(key), f"{target.scheme}://{target.host}", str(problem))
    try:
        tls = tls_context(settings.ca_file) if target.scheme == "https" else None
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the path
        # `ssl.SSLError` is an OSError too.
        reason = getattr(problem, "strerror", None) or str(problem)
        shown = None if _like_a_key(settings.ca_file or "") else settings.ca_file
        _refuse(where("ca_file"), shown, f"cannot be read as PEM certificates: {reason}")
    deadlines = Deadlines(settings.connect_s, settings.header_s, settings.first_event_s, settings.idle_s)
    return HttpClient(target, deadlines, tls=tls, proxy=proxy, max_connections=settings.max_connections)


def ids_of(
    models: Mapping[str, str],
    catalogue: Catalogue,
    where: Callable[[str], str],
    fits: Callable[[str], bool],
    what: str,
) -> dict[str, str]:
    """The operator's own names of models by catalogue id. Raises `ConfigError` for a model that nobody knows, and for a
    name that does not fit: it must be `what`."""
    found: dict[str, str] = {}
    for name, model_id in models.items():
        model = catalogue.find(name)
        if model is None:
            fail(where("models"), name, "is no model of the catalogue; 'trimtab models' lists them")
        if not fits(model_id):
            fail(where(f"models.{name}"), model_id, f"must be {what}")
        found[model.id] = model_id
    return found


def _like_a_key(path: str) -> bool:
    """Whether a key was put where a path belongs; a relative path has been joined to a folder by now."""
    return any(part.startswith("sk-") for part in Path(path).parts)


def _refuse(where: str, shown: str | None, problem: str) -> NoReturn:
    """Raise a `ConfigError`, without the value where it may hold a secret."""
    if shown is None:
        raise ConfigError(where, problem)
    fail(where, shown, problem)
