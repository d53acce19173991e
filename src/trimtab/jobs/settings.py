"""How a worker process works."""

from collections.abc import Callable
from typing import Annotated

import msgspec

from trimtab.config import fail
from trimtab.jobs.board import NAME_MAX


class JobSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `[jobs]` section."""

    concurrency: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 16
    """Jobs that one worker process runs at a time."""
    queues: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=100)] = ("default",)
    """Queues that it takes jobs from."""
    lease_s: Annotated[float, msgspec.Meta(ge=1, le=300)] = 6
    """A worker that says nothing for so long has lost its jobs to others. It says something three times as often."""
    grace_s: Annotated[float, msgspec.Meta(ge=0, le=3_600)] = 30
    """On SIGTERM: how long running jobs may go on before they are handed back."""
    keep_days: Annotated[float, msgspec.Meta(ge=0, le=3_650)] = 30
    """Finished jobs and their journals are deleted after so many days."""


def check_jobs(settings: JobSettings, where: Callable[[str], str]) -> None:
    """What a type cannot say. Raises `ConfigError`."""
    for queue in settings.queues:
        if not 0 < len(queue) <= NAME_MAX or not queue.isprintable():
            fail(where("queues"), queue, f"a name has 1 to {NAME_MAX} printable characters")
    if len(set(settings.queues)) < len(settings.queues):
        fail(where("queues"), ", ".join(settings.queues), "names a queue twice; leave one out")
