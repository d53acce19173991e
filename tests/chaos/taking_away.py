"""The store goes away under load and comes back: who notices, who is told what, and whether the books are whole after.

Five ways: PostgreSQL stopped in order, as by a crash, or frozen; a SQLite file that another process holds; its disk
full.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
from drive import Key, Platform, Sampler, Site, books, children_of, eventually, rss_mib
from findings import Findings
from killing import CALL_NANOUSD, left_nothing, most_in_a_minute
from load import Answer, Caller, Load
from postgres_server import PostgresServer

DISK_MIB = 64
"""Room of the small disk: enough for a journal of each process and some thousand records."""

Away = Callable[[], contextlib.AbstractContextManager[None]]


def postgres_stopped(folder: Path, server: PostgresServer, *, mode: str, away_s: float) -> Findings:
    """`mode` is that of `pg_ctl stop` (fast, or immediate, which is a crash), or frozen. The server must be a durable
    one."""

    def away() -> contextlib.AbstractContextManager[None]:
        return frozen(server) if mode == "frozen" else stopped(server, mode)

    return _take_away(folder, server.new_database(), f"PostgreSQL {mode}", away, away_s)


def sqlite_locked(folder: Path, *, away_s: float) -> Findings:
    """This process holds the file."""
    path = folder / "t.db"
    return _take_away(folder, f"sqlite:///{path}", "SQLite locked", lambda: locked(path), away_s)


@contextlib.contextmanager
def stopped(server: PostgresServer, mode: str) -> Iterator[None]:
    """The server is down; its sockets refuse."""
    server.stop(mode)
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def frozen(server: PostgresServer) -> Iterator[None]:
    """The server takes connections and answers nothing, as a machine does whose disk hangs."""
    first = int((server.data / "postmaster.pid").read_text().split()[0])
    held = [first, *children_of(first)]
    for pid in held:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(held):
            os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """This process holds the file."""
    holder = apsw.Connection(str(path))
    holder.set_busy_timeout(30_000)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


def sqlite_disk_full(folder: Path, *, away_s: float) -> Findings:
    """File and journal are on a small disk of their own, which is filled to the last byte."""
    with small_disk(folder / "disk") as disk:

        @contextlib.contextmanager
        def away() -> Iterator[None]:
            filler = disk / "filler"
            fill(filler)
            try:
                yield
            finally:
                filler.unlink()

        url = f"sqlite:///{disk}/t.db"
        return _take_away(folder, url, "SQLite's disk full", away, away_s, journals=disk / "journal")


def may_mount() -> bool:
    """Whether a small disk can be had here."""
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], check=False).returncode == 0


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(path: Path) -> None:
    """Take all the room that is left."""
    size = 1 << 20
    with path.open("wb", buffering=0) as file:
        while size:
            try:
                written = file.write(bytes(size))
            except OSError:
                written = 0
            if written < size:
                size //= 2


def _take_away(
    folder: Path, url: str, what: str, away: Away, away_s: float, *, journals: Path = Path("journal")
) -> Findings:
    platform = Platform(folder)
    site = Site(folder, platform, url, 2, journals=journals)
    try:
        keys = {
            "plain": site.key("plain"),
            "money": site.key("money", usd=0.5),
            "five": site.key("five", concurrency=5),
            "minute": site.key("minute", rpm=600),
            "long": site.key("long", concurrency=5),
            "fresh": site.key("fresh", usd=0.5),
            "unlimited": site.key("unlimited"),
        }
        site.start()
        findings = Findings(f"{what} for {away_s:g} s, {site.workers} workers")
        with Sampler(lambda: rss_mib([site.process.pid, *site.children()]), 0.5) as memory:
            with Load(site.port, _callers(keys, away_s)) as load:
                time.sleep(3)
                keys["late"] = site.key("late")
                gone = time.monotonic()
                with away():
                    time.sleep(0.2)
                    first_used = [
                        Caller(name, keys[name], 2, lambda: 30) for name in ("fresh", "unlimited", "late")
                    ]
                    with Load(site.port, first_used) as newcomers:
                        time.sleep(away_s - 0.2)
                    back = time.monotonic()
                returned = time.monotonic()
                eventually(lambda: _goes(load, returned), 30, lambda: "keys with limits to go on")
                time.sleep(2)
            eventually(lambda: _recorded(site, platform), 60, lambda: "all records to be written")
        status = site.stop()
        answers = [*load.answers, *newcomers.answers]
        _judge_answers(findings, answers, gone, back)
        _judge_memory(findings, memory, gone, back)
        _judge_books(findings, site, platform, keys)
        findings.check("exit status after the last stop", status == 0, status)
        findings.check("tracebacks in the logs", not site.tracebacks(), len(site.tracebacks()))
        return findings
    finally:
        site.destroy()
        platform.close()


def _callers(keys: dict[str, Key], away_s: float) -> list[Caller]:
    def rest() -> float:
        return 0.03

    return [
        Caller("nobody", None, 4, pause_s=rest),
        Caller("streams", None, 4, pause_s=rest, stream=True),
        Caller("plain", keys["plain"], 4, pause_s=rest),
        Caller("money", keys["money"], 4, pause_s=rest),
        Caller("five", keys["five"], 10, pause_s=rest),
        Caller("minute", keys["minute"], 2, pause_s=rest),
        # Calls that outlast the time after which permits of a silent process are given to others.
        Caller("long", keys["long"], 10, lambda: int(away_s * 1000) + 8000 if away_s > 30 else 500),
    ]


UNLIMITED = ("nobody", "streams", "plain", "unlimited")
LIMITED = ("money", "five", "minute", "long", "fresh")


def _goes(load: Load, since: float) -> bool:
    """Whether keys with limits are served again. The one with a rate may have used up its minute."""
    return all(
        any(a.status == 200 and a.began > since for a in load.of(kind)) for kind in ("money", "five")
    ) and any(a.status in (200, 429) and a.began > since for a in load.of("minute"))


def _recorded(site: Site, platform: Platform) -> bool:
    return len(platform.events()) // 2 <= sum(record.attempts > 0 for record in books(site).records)


def _judge_answers(findings: Findings, answers: list[Answer], gone: float, back: float) -> None:
    during = [answer for answer in answers if gone <= answer.began < back]
    for kind in (*UNLIMITED, "late", *LIMITED):
        counted = Counter(answer.status for answer in during if answer.caller == kind)
        findings.note(f"while it was away, {kind}", dict(sorted(counted.items())))
    failed = {f"{a.name} {a.status} {a.text}" for a in answers if a.caller in UNLIMITED and a.status != 200}
    findings.none("failed requests without limits", failed)
    findings.none("valid keys refused (401)", {a.name for a in answers if a.status == 401})
    odd = {
        f"{a.name} {a.status} {a.text}"
        for a in answers
        if a.caller in (*LIMITED, "late") and a.status not in (200, 429, 503)
    }
    findings.none("other answers to keys with limits", odd)
    told = {a.name for a in answers if a.status == 503 and a.retry_after is None}
    findings.none("503 without retry-after", told)
    for kind in ("money", "minute"):
        ended = [a.began for a in during if a.caller == kind and a.status == 503]
        findings.check(
            f"seconds until the slice of {kind} was used up", bool(ended), min(ended, default=gone) - gone
        )
    slowest = max((a.ended - a.began for a in during if a.caller in UNLIMITED), default=0.0)
    findings.note("slowest request without limits, s (the platform takes 0.03)", slowest)


def _judge_memory(findings: Findings, memory: Sampler, gone: float, back: float) -> None:
    before = [mib for at, mib in memory.seen if at < gone]
    while_away = [mib for at, mib in memory.seen if gone <= at < back]
    after = [mib for at, mib in memory.seen if at >= back]
    shown = f"{before[-1]:.0f} / {max(while_away):.0f} / {max(after):.0f}"
    findings.note("memory of all processes before / most while away / most after, MiB", shown)
    findings.check(
        "growth while away, MiB", max(while_away) - before[-1] < 2 * 177, max(while_away) - before[-1]
    )


def _judge_books(findings: Findings, site: Site, platform: Platform, keys: dict[str, Key]) -> None:
    found, events = books(site), platform.events()
    came = Counter(event.name for event in events if event.came)
    by_name = Counter(record.name for record in found.records if record.attempts)
    findings.note("calls that the platform saw", sum(came.values()))
    findings.none("calls without a record", set(came) - set(by_name))
    findings.none("calls with two records", {name for name, n in by_name.items() if n > 1})
    findings.check("records of which only totals are kept", not found.dropped, found.dropped)
    for key in keys.values():
        billed = sum(event.came and event.key == key.name for event in events) * CALL_NANOUSD
        recorded = sum(record.cost for record in found.records if record.key == key.id)
        spent = found.spent.get(key.id, 0)
        findings.check(
            f"{key.name}: platform = records = spend, USD",
            billed == recorded == spent,
            f"{billed / 1e9} = {recorded / 1e9} = {spent / 1e9}",
        )
    nobody = sum(event.came and event.key == "nobody" for event in events) * CALL_NANOUSD
    recorded = sum(record.cost for record in found.records if not record.key)
    findings.check(
        "without a key: platform = records, USD", nobody == recorded, f"{nobody / 1e9} = {recorded / 1e9}"
    )
    for name in ("five", "long"):
        most = max(event.open for event in events if event.key == name)
        findings.check(f"open calls of {name}, which may have 5, at most", most <= 5, most)
    most = most_in_a_minute([event.at for event in events if event.came and event.key == "minute"])
    findings.check("calls in any 60 s of the key that may make 600", most <= 600, most)
    left_nothing(findings, site)
