"""`[server]` of the configuration."""

import ipaddress
import string
from collections.abc import Callable

import msgspec

from trimtab.config import fail

MAX_WORKERS = 256
"""Each takes about 60 MB; a machine with more cores than that runs several servers."""


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the gateway listens and what it bears with. Times in seconds, sizes in bytes."""

    listen: str = "127.0.0.1:8787"
    workers: int = 1
    """Processes that share the address; see docs/workers.md. All other limits here are for each of them."""
    require_keys: bool = False
    """Whether every request must show a key; always so on an address that other machines can reach."""
    allowed_origins: tuple[str, ...] = ()
    """Web pages of these origins may call, as 'https://app.example.com'; those of this machine always may on a
    loopback address."""
    max_body_bytes: int = 32_000_000
    """Source: the vendor's limit for Messages is 32 MB."""
    max_header_bytes: int = 64 * 1024
    """Request line and headers together."""
    header_timeout_s: float = 10.0
    """From the first byte of a request (or the connection) to the end of its headers."""
    body_timeout_s: float = 30.0
    """A body may take this long, and one second more for each KiB that has arrived."""
    write_timeout_s: float = 120.0
    """A client that takes no bytes for so long is cut off."""
    max_connections: int = 4096
    """Client connections at a time; one more is told to come back later."""
    drain_s: float = 600.0
    """After SIGTERM, answers in flight may take this long to finish."""
    keep_answers: bool = False
    """Keep whole answers to requests with an Idempotency-Key for 24 hours in the store, so that the same request gets
    the same answer again. They are content: off, no answer is ever kept."""
    validate_streams: bool = False
    """Debug: hold upstream event streams against the event rules and log what breaks them."""


_LONGEST_S = 30 * 86400.0
_MOST: dict[str, int] = {
    "workers": MAX_WORKERS,
    "max_body_bytes": 1024**3,
    "max_header_bytes": 1024**2,
    "max_connections": 1_000_000,
}
"""More than that is a slip, and could take the memory of the machine."""

_LOOPBACK = ("127.0.0.1", "::1")
"""The `Host` check knows no other address as this machine's."""

_NAME_CHARS = frozenset(string.ascii_letters + string.digits + ".-_")
_ORIGIN_CHARS = frozenset(string.ascii_lowercase + string.digits + ".-_:[]")

_MAX_PORT_DIGITS = 5


class Listen(msgspec.Struct, frozen=True):
    """A checked listening address."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """For people and SDKs."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    @property
    def advice(self) -> str:
        """The same for a program that is to call it: no program can call "all addresses" or port 0."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.host in ("0.0.0.0", "::"):  # noqa: S104 - compared
            host = "HOST"
        return f"http://{host}:{self.port or 'PORT'}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it. Everywhere else callers must show keys."""
        return self.host in _LOOPBACK

    @classmethod
    def parse(cls, text: str, where: str) -> "Listen":
        """From `host:port`; the host is a name or an address, `0.0.0.0` and `::` being all there are.

        Raises `ConfigError`.
        """
        host, colon, port_text = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not host or not port_text.isascii() or not port_text.isdigit():
            fail(where, text, "must be host:port, such as '127.0.0.1:8787'")
        if len(port_text) > _MAX_PORT_DIGITS or int(port_text) > 65535:
            fail(where, text, "the port must be 0 to 65535")
        if not _is_host(host):
            fail(
                where, text, "the host must be a name or an address, such as '127.0.0.1', '0.0.0.0' or '[::]'"
            )
        if host == "localhost":
            host = "127.0.0.1"
        return cls(host, int(port_text))


def _is_host(host: str) -> bool:
    if ":" not in host:
        return _NAME_CHARS.issuperset(host)
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def check_server(settings: ServerSettings, where: Callable[[str], str]) -> Listen:
    """Check all values and give the address. Raises `ConfigError`."""
    for name in ServerSettings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            most = _MOST.get(name, _LONGEST_S)
            # Written so that it does not hold for a value that is no number.
            if not 0 < value <= most:
                days = " (30 days in seconds)" if name not in _MOST else ""
                fail(where(name), value, f"must be greater than 0 and at most {most:.0f}{days}")
    for origin in settings.allowed_origins:
        scheme, separator, rest = origin.partition("://")
        if scheme not in ("http", "https") or not separator or not rest or not _ORIGIN_CHARS.issuperset(rest):
            fail(
                where("allowed_origins"),
                origin,
                "must be an origin as browsers send it, such as 'https://app.example.com' (no path, lower case)",
            )
    return Listen.parse(settings.listen, where("listen"))
