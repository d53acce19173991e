"""Platforms that fail while hundreds of callers ask: storms, each with what must hold during and after it.

What it is not: the faults (`platforms_upstream`), the callers (`platforms_load`) or the judges (`platforms_judging`).
The short forms are `test_platforms_chaos.py`; the long ones `benchmarks/platforms_chaos.py`.
"""

import os
import random
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drive import Site, eventually, settled
from findings import Findings
from killing import left_nothing
from platforms_answers import Said
from platforms_drive import DEADLINES, POOL, THREE, Arrival, Entry, FailingSite, Platforms, details
from platforms_judging import Tally, judge_answers, judge_books
from platforms_load import Callers, Group, SdkCallers, p95
from platforms_upstream import Fault

WARM_S = 1.0
SETTLE_S = 2.0
"""Beyond a deadline, from the beginning of a fault: by then the first calls have passed it, and the breaker is open."""
MAY_ADD_S = 1.0


@dataclass(frozen=True)
class Storm:
    """Faults of some platforms, one after the other."""

    name: str
    phases: Sequence[Mapping[str, Fault]]
    entries: Mapping[str, Entry] = field(default_factory=lambda: THREE)
    opens: str = ""
    """The platform that calls keep away from once its breaker is open (or its limit is known); empty: it is not
    judged, because the fault hits too few calls."""
    options: str = ""
    """Further sections of the configuration."""
    hedged: bool = False
    """Whether they let a request ask two platforms at once."""


def every(**faults: Fault) -> Sequence[Mapping[str, Fault]]:
    return (faults,)


STORMS: tuple[Storm, ...] = (
    Storm("429 with retry-after", every(claude=Fault("limited", after_s=2)), opens="claude"),
    Storm("429 without retry-after", every(claude=Fault("limited")), opens="claude"),
    Storm("429, spend limit reached", every(claude=Fault("spent")), opens="claude"),
    Storm("429 of half of the calls of two platforms", every(claude=Fault("limited", every=2), aws=Fault("limited", every=2))),
    Storm("529", every(claude=Fault("overloaded")), opens="claude"),
    Storm("500", every(claude=Fault("failing")), opens="claude"),
    Storm("500 with x-should-retry: false", every(claude=Fault("final")), opens="claude"),
    Storm("two of three platforms overloaded", every(claude=Fault("overloaded"), aws=Fault("overloaded")), opens="claude"),
    Storm("silence before the head", every(claude=Fault("late", -1)), opens="claude"),
    Storm("silence after the head", every(claude=Fault("late", 0)), opens="claude"),
    Storm("silence after message_start", every(claude=Fault("late", 1)), opens="claude"),
    Storm("silence of each tenth call", every(claude=Fault("late", 1, every=10))),
    Storm("cut before the head", every(claude=Fault("cut", -1)), opens="claude"),
    Storm("cut before the first content", every(claude=Fault("cut", 3)), opens="claude"),
    Storm("cut before the first content, each third call", every(claude=Fault("cut", 2, every=3))),
    Storm("cut after content, each fifth call", every(claude=Fault("cut", 5, every=5), google=Fault("torn", 5, every=5))),
    Storm("overloaded in mid-stream, before content", every(claude=Fault("error", 2)), opens="claude"),
    Storm("TLS reset at its first byte", every(claude=Fault("hello")), opens="claude"),
    Storm("connections reset once TLS stands", every(claude=Fault("secured")), opens="claude"),
    Storm("requests reset over TLS", every(claude=Fault("reset", -1)), opens="claude"),
    Storm("a stranger's certificate", every(claude=Fault("stranger")), opens="claude"),
    Storm("credentials expired: 401", every(claude=Fault("denied")), opens="claude"),
    Storm("credentials expired: 403", every(claude=Fault("forbidden"), aws=Fault("denied"))),
    Storm("a black hole", every(claude=Fault("hole")), opens="claude"),
    Storm("a black hole that does not accept", every(claude=Fault("deaf")), opens="claude"),
    Storm(
        "keys of a pool that are limited, refused or out of money, in turn",
        (
            {"claude": Fault("limited", after_s=1, only_key="sk-1")},
            {"claude": Fault("denied", only_key="sk-2")},
            {"claude": Fault("spent", only_key="sk-3")},
        ),
        entries=POOL,
    ),
    Storm(
        "a slow platform, hedged",
        every(claude=Fault(took_ms=400)),
        options="[retries]\nhedge_after_s = 0.1\n",
        hedged=True,
    ),
    Storm(
        "silence of every call and every tenth is cut, hedged",
        every(claude=Fault("late", 1), aws=Fault("cut", 1, every=10)),
        options="[retries]\nhedge_after_s = 0.1\n",
        hedged=True,
    ),
    Storm(
        "each platform in turn",
        (
            {"claude": Fault("overloaded")},
            {"aws": Fault("cut", -1)},
            {"google": Fault("limited", after_s=1)},
            {"claude": Fault("hole"), "aws": Fault("failing", every=3)},
        ),
    ),
)  # fmt: skip


@dataclass
class Result:
    """What came of a storm."""

    storm: str
    opens: bool
    """Whether calls keep away from the failing platform after a while."""
    findings: Findings
    tally: Tally
    requests: int
    p95_added_s: float
    """Of callers who may use all platforms, to those who may use the healthy ones only, once a breaker is open."""
    arrived_after_s: int
    """Requests at the failing platform from then on."""

    def row(self) -> dict[str, Any]:
        low, high = self.tally.interval
        return {
            "storm": self.storm,
            "requests": self.requests,
            "could_be_served": self.tally.could,
            "served": self.tally.served,
            "wilson_95": [round(low, 5), round(high, 5)],
            "cut_after_content": self.tally.cut_after_content,
            "p95_added_s": round(self.p95_added_s, 4),
            "arrived_at_the_failing_one": self.arrived_after_s,
            "missed": self.findings.missed,
        }


def storm_over(
    folder: Path,
    store_url: str,
    storm: Storm,
    *,
    workers: int,
    for_s: float,
    callers: int = 200,
    sdk: Path | None = None,
    deadline_s: float = 1.0,
    timed: bool = False,
    kills: int = 0,
    seed: int = 0,
) -> Result:
    """Serve, let the storm pass under load, heal, and judge. `for_s`: each of its phases; `kills`: so many workers of the
    gateway are killed in each of them; `deadline_s`: for everything that a platform may be late with.

    `timed=False`: times are told, and not judged, where the machine may be busy with other things.
    """
    platforms = Platforms(folder, storm.entries)
    deadlines = dict.fromkeys(DEADLINES, deadline_s)
    site = FailingSite(folder, platforms, store_url, workers, deadlines=deadlines, options=storm.options)
    try:
        ill = {name for phase in storm.phases for name in phase}
        well = [name for name in storm.entries if name not in ill]
        everywhere, capped = site.key_for("any"), site.key_for("money", usd=1000.0)
        healthy = site.key_for("healthy", *(well or storm.entries))
        site.start()
        each = max(1, callers // 5)
        groups = [
            Group("stream", everywhere, each, stream=True),
            Group("whole", everywhere, each, stream=False),
            Group("money", capped, each, stream=False),
            Group("mstream", capped, each, stream=True),
            Group("control", healthy, each, stream=True),
            Group("hasty", everywhere, max(1, each // 4), stream=True, leaves_s=0.05),
        ]
        dice = random.Random(seed)
        sdk_said: list[Said] = []
        with Callers(site.port, groups, seed=seed) as load:
            if sdk is None:
                moments = _pass(platforms, storm, for_s, site, kills, dice)
            else:
                with SdkCallers(sdk, site.url, everywhere, folder, 8) as program:
                    moments = _pass(platforms, storm, for_s, site, kills, dice)
                sdk_said = program.said
        said = [*load.said, *sdk_said]
        name = storm.name + (f", {kills} workers killed" if kills else "")
        findings = Findings(f"{name}, {workers} worker{'s' if workers > 1 else ''}")
        if kills:
            settled(site)
        status = site.stop()
        arrivals = platforms.arrivals()
        tally = judge_answers(findings, said, arrivals, killed=bool(kills))
        if sdk is not None:
            findings.check("requests by the SDK", len(sdk_said) > 0, len(sdk_said))
        added, after = _judge_times(
            findings,
            storm,
            said,
            arrivals,
            (moments[0], moments[0] + SETTLE_S + deadline_s, moments[1]),
            timed=timed,
        )
        records, spent = details(site)
        judge_books(findings, said, arrivals, records, spent, hedged=storm.hedged)
        left_nothing(findings, site)
        findings.check("exit status after the stop", status == 0, status)
        findings.check("tracebacks in the logs", not site.tracebacks(), len(site.tracebacks()))
        return Result(name, bool(storm.opens), findings, tally, len(said), added, after)
    finally:
        site.destroy()
        platforms.close()


def _pass(
    platforms: Platforms, storm: Storm, for_s: float, site: Site, kills: int, dice: random.Random
) -> tuple[float, float]:
    """Let it come and go; when it began and ended."""
    time.sleep(WARM_S)
    began = time.monotonic()
    for n, phase in enumerate(storm.phases, 1):
        platforms.heal()
        platforms.set(**phase)
        for _ in range(kills):
            time.sleep(dice.uniform(0.5, 1.0) * for_s / (kills + 1))
            if running := site.children():
                os.kill(dice.choice(running), signal.SIGKILL)
        time.sleep(max(0.0, began + for_s * n - time.monotonic()))
    ended = time.monotonic()
    platforms.heal()
    time.sleep(WARM_S)
    return began, ended


def _judge_times(
    findings: Findings,
    storm: Storm,
    said: Sequence[Said],
    arrivals: Sequence[Arrival],
    moments: tuple[float, float, float],
    *,
    timed: bool,
) -> tuple[float, int]:
    began, calm, ended = moments

    def then(one: Said) -> bool:
        return one.stream and calm <= one.began < ended and one.caller not in ("sdk", "hasty")

    findings.note("requests a second", len(said) / (ended - began + 2 * WARM_S))
    p = {
        "before": p95(said, lambda one: one.ended < began and one.caller not in ("sdk", "hasty")),
        "at first": p95(
            said, lambda one: began <= one.began < calm and one.caller not in ("control", "hasty")
        ),
        "then": p95(said, lambda one: then(one) and one.caller != "control"),
        "healthy alone": p95(said, lambda one: then(one) and one.caller == "control"),
    }
    findings.note("p95, s", ", ".join(f"{what} {value:.3f}" for what, value in p.items()))
    added = p["then"] - p["healthy alone"]
    after = 0
    if storm.opens:
        after = sum(one.platform == storm.opens and calm <= one.at < ended for one in arrivals)
        asked = sum(calm <= one.began < ended for one in said)
        findings.check(
            f"calls at {storm.opens} once its breaker is open, share of requests",
            after <= max(8, 0.1 * asked),
            f"{after} of {asked}",
        )
        findings.check(
            "p95 added once the breaker is open, s", added <= MAY_ADD_S or not timed or not asked, added
        )
    return added, after


def recovers(folder: Path, store_url: str, fault: Fault, *, workers: int, within_s: float) -> Findings:
    """A platform that is well again is used again, and nobody is harmed by finding out."""
    platforms = Platforms(folder, THREE)
    site = FailingSite(folder, platforms, store_url, workers)
    try:
        key = site.key_for("any", "claude", "aws")
        site.start()
        with Callers(site.port, [Group("stream", key, 30, stream=True, pause_s=0.2)]) as load:
            time.sleep(WARM_S)
            platforms.set(claude=fault)
            time.sleep(SETTLE_S + DEADLINES["header_s"])
            platforms.heal()
            well = time.monotonic()
            eventually(
                lambda: any(
                    one.platform == "claude" and one.how == "answered" and one.at > well
                    for one in platforms.arrivals()
                ),
                within_s,
                lambda: "the platform to be used again",
            )
            back = time.monotonic() - well
        assert site.stop() == 0
        findings = Findings(f"back after {fault.do}, {workers} workers")
        findings.note("seconds until it was used again", back)
        arrivals = platforms.arrivals()
        judge_answers(findings, load.said, arrivals)
        judge_books(findings, load.said, arrivals, *details(site))
        return findings
    finally:
        site.destroy()
        platforms.close()
