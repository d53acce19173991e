"""Requests as the store gives them."""

from collections.abc import Callable

import pytest

from trimtab.store.figures.efforts import AskedOnce, ToldOf

Ask = Callable[..., AskedOnce]


@pytest.fixture
def ask() -> Ask:
    """A request of a class, its outcome told or not; each of a session of its own unless one is named."""
    count = iter(range(10**9))

    def make(
        model: str = "a", effort: str = "high", success: float | None = None, **changes: object
    ) -> AskedOnce:
        n = next(count)
        told = () if success is None else (ToldOf("user", "request", success, n),)
        fields: dict[str, object] = {
            "id": f"{n:032x}",
            "at_ms": n,
            "route": "",
            "task_class": "coding",
            "model": model,
            "effort": effort,
            "task": "",
            "phase": "",
            "session": f"s{n}",
            "ok": True,
            "cost_nanousd": 1_000_000,
            "input_tokens": 100,
            "output_tokens": 50,
            "thinking_tokens": 10,
            "total_ms": 100.0 + n % 7,
            "told": told,
            **changes,
        }
        return AskedOnce(**fields)  # type: ignore[arg-type]

    return make
