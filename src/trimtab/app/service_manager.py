"""Tells systemd, or whatever started this server with NOTIFY_SOCKET, that it serves or stops.

What it is not: needed; without that variable nothing happens. It fails open: a manager that does not listen costs
nothing but its own patience.

Source: sd_notify(3): a datagram of `NAME=value` lines to the socket that the variable names.
"""

import socket
from collections.abc import Mapping

READY = "READY=1"
STOPPING = "STOPPING=1"


def notify(state: str, environment: Mapping[str, str]) -> bool:
    """Send a state; whether somebody took it. Never blocks for long, never raises."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.settimeout(1)
            # An abstract address begins with a NUL byte, which the variable shows as @.
            out.connect("\0" + address[1:] if address.startswith("@") else address)
            out.sendall(state.encode())
    except (OSError, ValueError):
        return False
    return True
