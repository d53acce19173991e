"""`kill -9` of random workers and of the supervisor under load, and what must then be in the books.

What it is not: a test of one cut place (those are in `tests/store`); it finds places that nobody thought of.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from drive import Books, Event, Key, Platform, Site, books, eventually, settled
from findings import Findings
from load import Caller, Load

CALL_NANOUSD = 180_000
"""20 tokens in at $3 and 8 out at $15 a million: what the platform's usage comes to."""

LOST_S = 0.1
"""How long a record that is not about money may wait in memory."""


BUDGETS = """
[budgets.everybody]
organisation = "default"
usd_total = 1000
[budgets.counted]
organisation = "default"
requests_total = 1
soft = true
"""
MONEY, REQUESTS = "organisation=default/usd/total", "organisation=default/requests/total"
"""Every key is counted on both, in slices on the first."""


def kill_under_load(
    folder: Path,
    store_url: str,
    *,
    kills: int,
    workers: int,
    cap_usd: float,
    seed: int,
    away: Callable[[], AbstractContextManager[None]] = nullcontext,
    store_options: str = "",
) -> Findings:
    """Serve, kill so many times, let it settle, and compare what the platform saw with the store.

    `away` is entered for the time of the kills: it may take the store away.
    """
    dice = random.Random(seed)
    platform = Platform(folder)
    site = Site(folder, platform, store_url, workers, store_options, options=BUDGETS)
    try:
        keys = {
            "plain": site.key("plain"),
            "five": site.key("five", concurrency=5),
            "minute": site.key("minute", rpm=600),
            "capped": site.key("capped", usd=cap_usd),
        }
        site.start()
        killed: list[tuple[float, str]] = []
        with Load(site.port, _callers(keys, dice)) as load:
            time.sleep(1)
            with away():
                for _ in range(kills):
                    time.sleep(dice.uniform(0.1, 1.5))
                    killed.append(kill_one(site, dice))
            eventually(lambda: serves(site), 60, lambda: f"the server to serve:\n{site.log.read_text()}")
            time.sleep(1)
        settled(site)
        status = site.stop()
        store = store_url.partition(":")[0] + ("" if away is nullcontext else " taken away meanwhile")
        findings = Findings(f"{kills} kills, {workers} workers, {store}, seed {seed}")
        kinds = Counter(kind for _, kind in killed)
        findings.note("killed", ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())))
        judge(findings, books(site), platform.events(), load, killed)
        limits_held(findings, books(site), platform.events(), keys, cap_nanousd=round(cap_usd * 1e9))
        left_nothing(findings, site)
        findings.check("exit status after the last stop", status == 0, status)
        findings.check("tracebacks in the logs", not site.tracebacks(), len(site.tracebacks()))
        return findings
    finally:
        site.destroy()
        platform.close()


def _callers(keys: dict[str, Key], dice: random.Random) -> list[Caller]:
    def took() -> int:
        return dice.randint(1, 150)

    def rest() -> float:
        return dice.uniform(0, 0.1)

    return [
        Caller("nobody", None, 6, took, rest),
        Caller("streams", None, 6, took, rest, stream=True),
        Caller("plain", keys["plain"], 6, took, rest),
        Caller("five", keys["five"], 15, took, rest),
        Caller("minute", keys["minute"], 4, took, rest),
        Caller("capped", keys["capped"], 3, took, rest),
        Caller("capped-streams", keys["capped"], 3, took, rest, stream=True),
    ]


def kill_one(site: Site, dice: random.Random) -> tuple[float, str]:
    """Kill one process of a site; the moment and which kind it was."""
    _revive(site)
    if site.workers == 1 or dice.random() < 0.25:
        victim, kind = site.process.pid, "supervisors" if site.workers > 1 else "servers"
    else:
        victim = dice.choice(site.strays() or [site.process.pid])
        kind = "workers" if victim in site.children() else "orphans"
    moment = time.monotonic()
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return moment, "gone already"
    if victim == site.process.pid:
        site.process.wait()
        _revive(site)
    return moment, kind


def _revive(site: Site) -> None:
    """What a service manager does."""
    if site.process.poll() is not None:
        site.launch()


def serves(site: Site) -> bool:
    """Whether it does again; who ended is started."""
    _revive(site)
    return "serves http" in site.log.read_text()


def judge(
    findings: Findings, found: Books, events: list[Event], load: Load, killed: list[tuple[float, str]]
) -> None:
    """Compare what went out and what came back with the records."""
    came = Counter(event.name for event in events if event.came)
    by_name = Counter(record.name for record in found.records if record.attempts)
    ids = {record.id for record in found.records}
    statuses = Counter(answer.status for answer in load.answers)
    findings.note("answers by status (0: none)", dict(sorted(statuses.items())))
    findings.check("calls that the platform saw", len(came) > 0, len(came))
    results = Counter(record.result for record in found.records if record.attempts)
    findings.note("records of calls", dict(sorted(results.items())))
    findings.none("calls seen twice", {name for name, n in came.items() if n > 1})
    findings.none("calls without a record", set(came) - set(by_name))
    findings.none("calls with two records", {name for name, n in by_name.items() if n > 1})
    never = [record for record in found.records if record.attempts and record.name not in came]
    findings.note("records of calls that never arrived", dict(Counter(record.result for record in never)))
    findings.none("of these with a known cost", {r.name for r in never if r.cost and r.result != "unknown"})
    whole = [answer for answer in load.answers if answer.status == 200]
    findings.none("whole answers without a record", {a.name for a in whole if a.request not in ids})
    findings.none("valid keys refused (401)", {a.name for a in load.answers if a.status == 401})
    refused = [answer for answer in load.answers if answer.status in (429, 503) and answer.request]
    lost = [answer for answer in refused if answer.request not in ids]
    ages = [
        min((moment - answer.ended for moment, _ in killed if moment > answer.ended - 0.05), default=1e9)
        for answer in lost
    ]
    findings.note("refusals answered / not recorded", f"{len(refused):,} / {len(lost):,}")
    if lost:
        late = sum(age > LOST_S for age in ages)
        findings.note("oldest unrecorded refusal, s before a kill", max(ages))
        findings.note(f"unrecorded refusals older than {LOST_S:g} s", late)
    costs: Counter[str] = Counter()
    for record in found.records:
        if record.key:
            costs[record.key] += record.cost
    costs[MONEY] = sum(costs.values())
    costs[REQUESTS] = sum(record.key != "" and record.attempts > 0 for record in found.records)
    differ = {key for key in {*costs, *found.spent} if costs[key] != found.spent.get(key, 0)}
    findings.none("keys and budgets whose spend is not the sum of their records", differ)
    findings.check("records of which only totals are kept", not found.dropped, found.dropped)
    billed = sum(came.values()) * CALL_NANOUSD
    recorded = sum(record.cost for record in found.records)
    findings.check("recorded cost at least the platform's", recorded >= billed, recorded / max(1, billed))


def limits_held(
    findings: Findings, found: Books, events: list[Event], keys: dict[str, Key], *, cap_nanousd: int
) -> None:
    """No limit was passed, as seen by the platform."""
    most = max((event.open for event in events if event.key == "five"), default=0)
    findings.check("open calls of the key that may have 5, at most", most <= 5, most)
    most = most_in_a_minute([event.at for event in events if event.came and event.key == "minute"])
    findings.check("calls in any 60 s of the key that may make 600", most <= 600, most)
    billed = sum(event.came and event.key == "capped" for event in events) * CALL_NANOUSD
    findings.check("share of the cap, by the platform's count", billed <= cap_nanousd, billed / cap_nanousd)
    spent = found.spent.get(keys["capped"].id, 0)
    findings.check("share of the cap, by the store", spent <= cap_nanousd, spent / cap_nanousd)


def most_in_a_minute(times: list[float]) -> int:
    """The most of these moments in any 60 s."""
    times, most, first = sorted(times), 0, 0
    for n, at in enumerate(times):
        while times[first] <= at - 60:
            first += 1
        most = max(most, n - first + 1)
    return most


def left_nothing(findings: Findings, site: Site) -> None:
    """After an orderly stop nothing is held by anybody."""
    found = books(site)
    held = {
        *found.workers,
        *(f"{k}/{w}" for k, w, _ in found.leases),
        *(f"{k}/{w}" for k, w, _ in found.permits),
    }
    findings.none("rows of processes, leases and permits left", held)
    findings.none("journals left", site.live_journals())
