"""A new configuration while serving: SIGHUP or a changed file, checked whole, applied or refused with one line.

What it is not: how it is applied; the single process and the supervisor each pass that in.
Invariants: one reload at a time; whatever is wrong with the new configuration, the old one stays in force and the
operator is told which version that is.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from trimtab.app.settings import DEFAULT_FILE, Settings, refuse_restart_needed, reload_settings
from trimtab.config import read_file
from trimtab.errors import TrimtabError
from trimtab.telemetry.processes import ReloadMetrics

POLL_S = 1.0
"""A file is looked at so often; two `stat` calls take a few microseconds."""

STILL_S = 0.3
"""A file is read once it has not changed for so long: an editor may write it in several steps."""

_STEP_S = 0.1

_log = logging.getLogger("trimtab.app")

Look = tuple[tuple[int, int, int, int] | None, ...]
"""What files look like: device, inode, size and time of change of each; `None` for one that is not there."""


def look(paths: Iterable[Path]) -> Look:
    """How the files look now. A rename over a file, a write into it and a changed link all look different."""
    return tuple(_one(path) for path in paths)


def _one(path: Path) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class Reloads:
    """Waits for reasons to reload and sees each through. Belongs to one event loop."""

    def __init__(
        self,
        settings: Settings,
        apply: Callable[[Settings], Awaitable[str]],
        *,
        report: Callable[[str], None],
        metrics: ReloadMetrics,
    ) -> None:
        self._settings = settings
        self._apply = apply
        """Puts settings in force and says how that went; raises `TrimtabError` when they cannot be, and then nothing
        has changed."""
        self._report = report
        self._metrics = metrics
        self._asked = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return self._settings

    def ask(self) -> None:
        """Reload also if no file has changed: secrets and scripts may have. For signal handlers, too."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._asked.set)

    async def run(self) -> None:
        """Serve reloads until cancelled."""
        self._loop = asyncio.get_running_loop()
        paths = self._paths()
        # Not `look`: a change between reading the files and now must not be missed.
        seen: Look | None = None
        while True:
            try:
                async with asyncio.timeout(POLL_S if seen is not None else 0):
                    await self._asked.wait()
            except TimeoutError:
                pass
            asked = self._asked.is_set()
            self._asked.clear()
            now = look(paths)
            if not asked and now == seen:
                continue
            if not asked and not self._unchanged(self._settings):  # whoever asks has finished writing
                now = await self._still(paths)
            await self._reload(asked=asked)
            changed = self._paths()
            seen, paths = (now if changed == paths else None), changed

    def _paths(self) -> list[Path]:
        origin, overlay = self._settings.origin.path, self._settings.overlay
        named = [
            Path(origin if origin is not None else DEFAULT_FILE)
        ]  # one may be made while it serves without
        return named if overlay is None else [*named, overlay]

    async def _still(self, paths: list[Path]) -> Look:
        """Wait until the files have not changed for `STILL_S`; how they look then."""
        seen, calm_s = look(paths), 0.0
        while calm_s < STILL_S:
            await asyncio.sleep(_STEP_S)
            now = look(paths)
            calm_s = calm_s + _STEP_S if now == seen else 0.0
            seen = now
        return seen

    async def _reload(self, *, asked: bool) -> None:
        old = self._settings
        version = old.document.version
        if not asked and self._unchanged(old):
            return
        try:
            new = await asyncio.to_thread(reload_settings, old)
            refuse_restart_needed(old, new)
            how = await self._apply(new)
        except TrimtabError as problem:
            self._metrics.refused()
            self._report(f"new configuration refused: {problem}; version {version} stays in force")
            return
        except Exception:
            _log.exception("reading a new configuration")
            self._metrics.refused()
            self._report(f"new configuration refused: internal error; version {version} stays in force")
            return
        self._settings = new
        self._metrics.applied()
        self._report(f"configuration version {new.document.version} is in force{how}")

    def _unchanged(self, old: Settings) -> bool:
        """Whether the files hold what is in force; two short reads."""
        if old.origin.path is None:
            return not Path(DEFAULT_FILE).exists()
        held = [old.held.document]
        if old.overlay is not None and old.held.overlay is not None:
            held.append(old.held.overlay)
        try:
            return [read_file(path) for path in self._paths()] == held
        except TrimtabError:
            return False  # reading them again says what is wrong
