"""A new configuration while serving: what counts as a change, and what is said and kept when it is no good."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from trimtab.app import Settings, load_settings
from trimtab.app.reloading import Reloads, look
from trimtab.app.settings import refuse_restart_needed, reload_settings
from trimtab.errors import ConfigError
from trimtab.telemetry.processes import ReloadMetrics

OVERLAY = "models: []\n"


class Serving:
    """Something that reloads, and what it was told."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "trimtab.toml"
        self.overlay = folder / "models.yaml"
        self.overlay.write_text(OVERLAY)
        self.replace("one")
        self.applied: list[Settings] = []
        self.lines: asyncio.Queue[str] = asyncio.Queue()
        self.registry = CollectorRegistry()
        self.problem: Exception | None = None
        self.reloads = Reloads(
            load_settings(self.file),
            self.apply,
            report=self.lines.put_nowait,
            metrics=ReloadMetrics(self.registry),
        )

    async def apply(self, settings: Settings) -> str:
        if self.problem is not None:
            raise self.problem
        self.applied.append(settings)
        return ""

    def text(self, mark: str) -> str:
        return f"version = 1  # {mark}\n[catalogue]\noverlay = 'models.yaml'\n"

    def replace(self, mark: str) -> None:
        beside = self.file.with_suffix(".new")
        beside.write_text(self.text(mark))
        os.replace(beside, self.file)

    async def line(self) -> str:
        async with asyncio.timeout(60):
            return await self.lines.get()

    def count(self, result: str) -> float | None:
        return self.registry.get_sample_value("trimtab_config_reloads_total", {"result": result})


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Serving]:
    it = Serving(folder)
    running = asyncio.create_task(it.reloads.run())
    await asyncio.sleep(0)
    try:
        yield it
    finally:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


def run(folder: Path, work: Callable[[Serving], Awaitable[None]]) -> None:
    async def within() -> None:
        async with serving(folder) as it:
            await work(it)

    asyncio.run(within())


def test_a_replaced_file_a_write_into_it_and_a_changed_overlay_are_noticed(tmp_path: Path) -> None:
    async def work(it: Serving) -> None:
        it.replace("two")
        assert "is in force" in await it.line()
        it.file.write_text(it.text("thr"))  # the same length, the same inode
        assert "is in force" in await it.line()
        assert [b"# two" in each.held.document for each in it.applied] == [True, False]
        it.overlay.write_text(OVERLAY + "# more\n")
        assert "is in force" in await it.line()
        before, after = it.applied[1:]
        assert before.document.version == after.document.version
        assert before.catalogue.version != after.catalogue.version
        assert it.reloads.settings is after

    run(tmp_path, work)


def test_a_file_that_is_touched_but_says_the_same_changes_nothing_unless_asked(tmp_path: Path) -> None:
    async def work(it: Serving) -> None:
        it.replace("one")
        it.overlay.touch()
        for _ in range(3):
            it.reloads.ask()  # what it refers to, such as a file with a key, may have changed
            assert "is in force" in await it.line()
        assert it.lines.empty()
        assert len(it.applied) == 3

    run(tmp_path, work)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("version = [", "is not valid TOML"),
        ("[tiers]\ndefault = 'nothing'\n", "tiers.default"),
        ("[catalogue]\noverlay = 'gone.yaml'\n", "gone.yaml"),
        ("[server]\nlisten = '127.0.0.1:1'\n", "server.listen"),
        ("[server]\nworkers = 2\n", "server.workers"),
        ("[store]\nurl = 'sqlite:///other.db'\n", "store.url"),
        ("[store]\nbatch_ms = 7\n", "store.batch_ms"),
        (None, "cannot read the file"),
    ],
)
def test_a_bad_configuration_keeps_the_old_one_and_says_which(
    tmp_path: Path, content: str | None, says: str
) -> None:
    async def work(it: Serving) -> None:
        if content is None:
            it.file.unlink()
        else:
            it.file.write_text(content)
        it.reloads.ask()
        line = await it.line()
        assert says in line
        assert f"version {it.reloads.settings.document.version} stays in force" in line
        assert "\n" not in line
        assert it.applied == []
        assert (it.count("applied"), it.count("refused")) == (0, 1)
        it.replace("good again")
        assert "is in force" in await it.line()
        assert (it.count("applied"), it.count("refused")) == (1, 1)

    run(tmp_path, work)


@pytest.mark.parametrize("problem", [ConfigError("here", "no"), RuntimeError("a fault of ours")])
def test_what_cannot_be_built_is_refused_and_the_next_reload_works(
    tmp_path: Path, problem: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(it: Serving) -> None:
        it.problem = problem
        old = it.reloads.settings
        it.replace("two")
        it.reloads.ask()
        assert f"version {old.document.version} stays in force" in await it.line()
        assert it.reloads.settings is old
        it.problem = None
        it.reloads.ask()
        assert "is in force" in await it.line()

    run(tmp_path, work)
    assert ("a fault of ours" in caplog.text) == isinstance(problem, RuntimeError)


def test_a_file_is_read_once_it_is_still(tmp_path: Path) -> None:
    async def work(it: Serving) -> None:
        # Written in steps, each of them a configuration that would be refused, until the last.
        text = it.text("two")
        for end in range(0, len(text), 5):
            it.file.write_text(text[:end])
            await asyncio.sleep(0.1)
        it.file.write_text(text)
        assert "is in force" in await it.line()
        assert it.count("refused") == 0

    run(tmp_path, work)


def test_a_file_that_is_made_while_none_was_there_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As everybody does who starts without one, and then follows a page that says what to write into it."""
    monkeypatch.chdir(tmp_path)
    applied: list[Settings] = []

    async def work() -> None:
        lines: asyncio.Queue[str] = asyncio.Queue()

        async def apply(settings: Settings) -> str:
            applied.append(settings)
            return ""

        reloads = Reloads(
            load_settings(None), apply, report=lines.put_nowait, metrics=ReloadMetrics(CollectorRegistry())
        )
        running = asyncio.create_task(reloads.run())
        await asyncio.sleep(0.05)
        assert lines.empty()
        reloads.ask()
        async with asyncio.timeout(60):
            assert "is in force" in await lines.get()
            (tmp_path / "trimtab.toml").write_text("[server]\nmax_body_bytes = 1234\n")
            assert "is in force" in await lines.get()
            (tmp_path / "trimtab.toml").write_text("[server]\nmax_body_bytes = 4321\n")
            assert "is in force" in await lines.get()
        assert [each.server.max_body_bytes for each in applied[1:]] == [1234, 4321]
        running.cancel()

    asyncio.run(work())


def test_settings_built_from_held_bytes_are_those_of_the_file_whatever_it_says_by_now(tmp_path: Path) -> None:
    it = Serving(tmp_path)
    first = it.reloads.settings
    it.replace("two")
    it.overlay.unlink()
    again = load_settings(it.file, held=first.held)
    assert again.document.version == first.document.version
    assert again.catalogue.version == first.catalogue.version
    with pytest.raises(ConfigError, match=r"models\.yaml"):
        reload_settings(first)


def test_the_command_line_wins_at_a_reload_too(tmp_path: Path) -> None:
    file = tmp_path / "trimtab.toml"
    file.write_text("[server]\nworkers = 3\n")
    first = load_settings(file, listen="127.0.0.1:0", workers=2)
    file.write_text("[server]\nworkers = 5\nlisten = '127.0.0.1:7'\ndrain_s = 3\n")
    second = reload_settings(first)
    refuse_restart_needed(first, second)
    assert (second.server.workers, second.listen.port, second.server.drain_s) == (2, 0, 3)


def test_a_link_that_points_elsewhere_looks_different(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("same")
        os.utime(tmp_path / name, ns=(1, 1))
    link = tmp_path / "link"
    link.symlink_to("a")
    before = look([link])
    (tmp_path / "new").symlink_to("b")
    os.replace(tmp_path / "new", link)
    assert look([link]) != before
    link.unlink()
    assert look([link]) == (None,)
