"""Waiting without a fixed time."""

import time
from collections.abc import Callable

import pytest


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait until something is so."""

    def wait(so: Callable[[], bool], within_s: float = 15) -> None:
        deadline = time.monotonic() + within_s
        while not so():
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.005)

    return wait
