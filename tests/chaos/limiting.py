"""Many callers who do not give up, against one limit: how many calls the platform sees at a time, and how soon."""

import time
from collections import Counter
from pathlib import Path

from drive import Event, Key, Platform, Site, books
from findings import Findings
from killing import most_in_a_minute
from load import Caller, Load

CALLERS = 200
LIMIT = 10


def against_concurrency(
    folder: Path, store_url: str, *, workers: int, hold_s: float, timed: bool = True
) -> Findings:
    """Never more than the limit, all of it within a second, and hardly less from then on.

    `timed=False`: times are told, and not judged, where the machine may be busy with other things.
    """
    site, events, load, _ = _run(folder, store_url, workers, hold_s, concurrency=LIMIT)
    findings = _findings(f"concurrency {LIMIT}", site, load)
    most = max(event.open for event in events)
    findings.check("open calls, at most", most == LIMIT, most)
    began = min(answer.began for answer in load.answers)
    full = next((event.at for event in events if event.open == LIMIT), None)
    within = 1e9 if full is None else full - began
    findings.check(f"seconds to {LIMIT} open calls", within <= 1 or not timed, within)
    mean = mean_open(events, began + within, began + hold_s)
    findings.check("open calls from then on, mean", mean >= LIMIT - 0.5 or not timed, mean)
    return findings


def against_rate(folder: Path, store_url: str, *, workers: int, hold_s: float) -> Findings:
    """Never more than the limit in any 60 seconds, and all of it when there is room again."""
    site, events, load, _ = _run(folder, store_url, workers, hold_s, rpm=LIMIT, took_ms=20)
    findings = _findings(f"{LIMIT} requests a minute", site, load)
    came = [event.at for event in events if event.came]
    most = most_in_a_minute(came)
    findings.check("calls in any 60 s", most == LIMIT, most)
    findings.note("calls in all", len(came))
    findings.note("seconds until the first ten had come", came[LIMIT - 1] - came[0])
    if hold_s > 65:
        findings.check("calls after the first minute", len(came) > LIMIT, len(came) - LIMIT)
    return findings


def against_money(folder: Path, store_url: str, *, workers: int, hold_s: float) -> Findings:
    """Room for ten worst cases, and calls that each cost that much: ten go out and no more."""
    platform = Platform(folder)
    try:
        probe = Site(folder, platform, store_url, 1).start()
        try:
            with Load(probe.port, [Caller("probe", cut=True)]) as load:
                while not load.answers:
                    time.sleep(0.01)
            probe.stop()
            worst = max(record.cost for record in books(probe).records)
        finally:
            probe.destroy()
    finally:
        platform.close()
    site, events, load, key = _run(
        folder, store_url, workers, hold_s, usd=LIMIT * worst / 1e9, took_ms=50, cut=True, name="poor"
    )
    findings = _findings(f"money for {LIMIT} calls", site, load)
    came = [event for event in events if event.came and event.key == "poor"]
    findings.check("calls that went out", len(came) == LIMIT, len(came))
    spent = books(site).spent.get(key.id, 0)
    findings.check("spent, share of the cap", spent <= LIMIT * worst, spent / (LIMIT * worst))
    return findings


def _run(
    folder: Path,
    store_url: str,
    workers: int,
    hold_s: float,
    *,
    took_ms: int = 1000,
    cut: bool = False,
    name: str = "ten",
    concurrency: int | None = None,
    rpm: int | None = None,
    usd: float | None = None,
) -> tuple[Site, list[Event], Load, Key]:
    platform = Platform(folder)
    site = Site(folder, platform, store_url, workers)
    try:
        key = site.key(name, concurrency=concurrency, rpm=rpm, usd=usd)
        site.start()
        with Load(site.port, [Caller(name, key, CALLERS, lambda: took_ms, cut=cut)]) as load:
            time.sleep(hold_s)
        assert site.stop() == 0
        return site, platform.events(), load, key
    finally:
        site.destroy()
        platform.close()


def _findings(what: str, site: Site, load: Load) -> Findings:
    store = site.store_url.partition(":")[0]
    findings = Findings(f"{CALLERS} callers against {what}, {site.workers} workers, {store}")
    findings.note(
        "answers by status", dict(sorted(Counter(answer.status for answer in load.answers).items()))
    )
    told = sum(answer.retry_after is not None for answer in load.answers if answer.status in (429, 503))
    asked = sum(answer.status in (429, 503) for answer in load.answers)
    findings.check("refusals that say when to try again", told == asked, f"{told:,} of {asked:,}")
    findings.check("tracebacks in the logs", not site.tracebacks(), len(site.tracebacks()))
    return findings


def mean_open(events: list[Event], start: float, end: float) -> float:
    """Open calls on average over a time."""
    area, now, at = 0.0, 0, start
    for event in events:
        if event.at > start:
            area += now * (min(event.at, end) - at)
            at = event.at
        if event.at >= end:
            break
        now = event.open
    else:
        area += now * max(0.0, end - at)
    return area / (end - start) if end > start else 0.0
