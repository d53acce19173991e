"""`[server]` of the configuration."""

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

_MAX_PORT_DIGITS = 5


class Listen(msgspec.Struct, frozen=True):
    """A checked listening address."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """For people and SDKs."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str, where: str) -> "Listen":
        """From `host:port`. Raises `ConfigError`, also for addresses that other machines can reach."""
        host, colon, port_text = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not host or not port_text.isascii() or not port_text.isdigit():
            fail(where, text, "must be host:port, such as '127.0.0.1:8787'")
        if len(port_text) > _MAX_PORT_DIGITS or int(port_text) > 65535:
            fail(where, text, "the port must be 0 to 65535")
        if host == "localhost":
            host = "127.0.0.1"
        if host not in _LOOPBACK:
            fail(
                where,
                text,
                "the host must be 127.0.0.1, ::1 or localhost: other machines could reach other addresses, and this "
                "version has no keys to tell callers apart",
            )
        return cls(host, int(port_text))


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
    return Listen.parse(settings.listen, where("listen"))
