"""Runs in the sandbox for tests, or the one line that says why there are none on this machine."""

import asyncio
import functools

import pytest

from trimtab.errors import SandboxUnavailable
from trimtab.sandbox import Limits, Ran, Run, Sandbox, SandboxSettings

LIMITS = Limits(wall_s=60.0, cpu_s=30.0)
"""Roomy, for a busy machine: a test that is about a limit sets that one."""


@functools.cache
def missing() -> str:
    """Why nothing can be run in a sandbox here; empty when it can."""
    try:
        asyncio.run(Sandbox().check())
    except SandboxUnavailable as error:
        return str(error)
    return ""


def need_sandbox() -> None:
    """Skip the test that calls this where there is no sandbox."""
    if reason := missing():
        pytest.skip(reason)


def ran(run: Run, settings: SandboxSettings | None = None) -> Ran:
    """Run one command to its end."""

    async def one() -> Ran:
        return await Sandbox(settings).run(run)

    return asyncio.run(one())


def python(program: str, *arguments: str, limits: Limits = LIMITS, **more: object) -> Run:
    """A Python program as a run."""
    return Run(argv=("python3", "-c", program, *arguments), limits=limits, **more)  # type: ignore[arg-type]
