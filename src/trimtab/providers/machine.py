"""What credentials are looked for in: environment, home, clock; and the addresses that these name.

What it is not: the places themselves, which each vendor has its own of. Invariant: no token goes out in the clear but
to loopback and the addresses that a vendor has for its own machines.
"""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import msgspec

from trimtab.errors import ConfigError
from trimtab.providers.http import Target


class Machine(msgspec.Struct, frozen=True):
    """What credentials are looked for in."""

    environment: Mapping[str, str]
    home: Path
    now: Callable[[], float] = time.time
    """Unix seconds."""

    @classmethod
    def here(cls) -> "Machine":
        """This process's."""
        return cls(os.environ, Path(os.environ.get("HOME", "/")))


def parsed_target(url: str, name: str, plain: tuple[str, ...] | None) -> Target:
    """The origin of a URL. Without TLS only loopback and the hosts `plain`; `None`: any. Raises `ConfigError`."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        _no_url(name)
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable():
        _no_url(name)
    if parts.scheme == "http" and plain is not None and host not in plain and not _is_loopback(host):
        raise ConfigError(
            name,
            f"{host!r}: must be https, or a loopback address{' or one of its vendor for machines' * bool(plain)}",
        )
    return Target(parts.scheme, host, port or (443 if parts.scheme == "https" else 80))


def _no_url(name: str) -> NoReturn:
    raise ConfigError(name, "must be a URL such as 'http://127.0.0.1:8080/path'")


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
