"""What an operator may set on verification as a whole; what single verifiers are told is theirs."""

from collections.abc import Callable
from typing import Literal

import msgspec

from trimtab.config import fail


class VerificationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[verification]`."""

    timeout_s: float = 60.0
    """For one check, where its own settings name nothing else."""
    hold_headers_s: float = 5.0
    """A stream that is held back gets its head no later than so long after its request: until then head and first event
    are those of the attempt that is released."""
    keep_alive_s: float = 5.0
    """Between two signs of life on a stream that is held back."""
    most_held_mib: int = 16
    """Of one answer that is held back; a longer one goes on unjudged, and its record says so."""
    per_request: tuple[str, ...] | None = None
    """Verifiers that a request may name in `x-trimtab-verify`; left out: all."""
    charge: Literal["caller", "operator"] = "operator"
    """Whose limits the calls of checks count on that a route asks for. What a request asks for itself counts on its
    caller's in any case."""


def check_verification(settings: VerificationSettings, where: Callable[[str], str]) -> None:
    """Raise `ConfigError` for a figure out of its bounds; `where` places a key."""
    for name, least, most in (
        ("timeout_s", 0.001, 3600.0),
        ("hold_headers_s", 0.0, 10.0),
        ("keep_alive_s", 0.1, 10.0),
        ("most_held_mib", 1, 64),
    ):
        value = getattr(settings, name)
        if not least <= value <= most:  # so written that nan is refused
            fail(where(name), value, f"must be from {least:g} to {most:g}")
