"""Waiting without a fixed time."""

from collections.abc import Callable

import pytest
from waiting import until


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], bool]:
    """Wait until something is so."""

    return until
