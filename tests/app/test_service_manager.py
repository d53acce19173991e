"""What a service manager is told, and that one that is not there costs nothing."""

import socket
from pathlib import Path

import pytest

from trimtab.app.service_manager import READY, notify


@pytest.mark.parametrize("abstract", [False, True])
def test_a_manager_hears_that_the_server_is_ready(tmp_path: Path, abstract: bool) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        if abstract:
            manager.bind("")  # the system chooses a free abstract address
            address = "@" + manager.getsockname()[1:].decode()
        else:
            address = str(tmp_path / "n")
            manager.bind(address)
        assert notify(READY, {"NOTIFY_SOCKET": address})
        manager.settimeout(10)
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    "address", [None, "", "relative", "/no/such/socket", "/" + "x" * 200, "/a\0b", "@" + "x" * 200]
)
def test_without_a_manager_nothing_happens(address: str | None) -> None:
    assert not notify(READY, {} if address is None else {"NOTIFY_SOCKET": address})
