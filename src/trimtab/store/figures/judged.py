"""What came of judged attempts, by route, class of work and arm: how many answers were not accepted, what they and
their checks cost, and how long they took.

What it is not: what follows from it (`routing.cascade`), or the keeping of these figures (`verification.measured`).
Invariants: real and simulated attempts are never in one figure, and neither are first and later steps. A first step
sees all requests of its class. A later one was made because the answer before it was not accepted, so it sees the
harder ones: its share of failures is one given that a lower rung failed, never the arm's own. A first step may be
harder than the rest, too, where a rule or a conversation made a request begin there.
"""

from collections.abc import Iterator, Sequence

import msgspec

from trimtab.records.verdict import UNJUDGED
from trimtab.store.database import Transaction
from trimtab.store.figures.usual import EVERY_CLASS, OLD_MS, QUANTILE_PERCENT
from trimtab.store.records.rows import BILLED

ATTEMPTS_MOST = 20_000
"""The newest so many are looked at, whatever they are of: 0.3 s of CPU for SQLite, on a view of its own."""

FIGURES_MOST = 2_000
"""Of each side, those with the most attempts: 0.5 MB of JSON. Callers may name classes."""


class JudgedArm(msgspec.Struct, frozen=True, kw_only=True):
    """One route, class, arm and kind of step."""

    route: str
    task_class: str
    """Empty: of no class; `EVERY_CLASS`: of all."""
    model: str
    effort: str
    thinking: str
    """Both empty where the arm names none."""
    later: bool
    """Of steps that were made because the answer before was not accepted; else of first steps."""
    judged: int
    escalated: int
    """The verifiers were against so many of these answers,"""
    unsure: int
    """and unsure of so many more."""
    cost_nanousd: int
    """Of one attempt, without its checks; the mean, as all that follow."""
    checks_nanousd: int
    """What the calls of its verifiers cost."""
    checks_ms: int
    ms: int
    """Until the end of the answer, without its checks."""
    most_ms: int
    """Nine of ten took no longer."""
    at_ms: int
    """When it was worked out."""


def judged_arms(view: Transaction) -> dict[bool, list[JudgedArm]]:
    """Of the newest judged attempts of live requests and tasks, real (`False`) and simulated, by class and of all
    classes together."""
    found: dict[bool, list[JudgedArm]] = {False: [], True: []}
    for task_class in ("task_class", f"'{EVERY_CLASS}'"):
        for simulated, one in _grouped(view, task_class):
            found[simulated].append(one)
    return {side: sorted(arms, key=lambda one: -one.judged)[:FIGURES_MOST] for side, arms in found.items()}


_BY_VERIFIERS = "".join(f" AND verdicts NOT LIKE '[[\"{name}\",%'" for name in UNJUDGED)
"""An answer that nothing judged has one verdict, of a name that no verifier has."""


def _grouped(view: Transaction, task_class: str) -> Iterator[tuple[bool, JudgedArm]]:
    now_ms = view.now_ms()
    purposes = ", ".join(f"'{purpose}'" for purpose in BILLED)
    group = "simulated, route, class, model, effort, thinking, later"
    # Ids begin with the moment of their request (`records.ids`).
    rows = view.rows(
        "WITH newest AS (SELECT * FROM judged_attempts WHERE request_id >= ? "  # noqa: S608 (our own names)
        f"ORDER BY request_id DESC, n DESC LIMIT {ATTEMPTS_MOST}), "
        f"judged AS (SELECT simulated, route, {task_class} AS class, model, effort, thinking, "
        "CASE WHEN step > 0 THEN 1 ELSE 0 END AS later, says, cost_nanousd, checks_nanousd, checks_ms, total_ms "
        f"FROM newest WHERE says <> '' AND purpose IN ({purposes}){_BY_VERIFIERS}), "
        f"ranked AS (SELECT *, row_number() OVER (PARTITION BY {group} ORDER BY total_ms) AS place, "
        f"count(*) OVER (PARTITION BY {group}) AS among FROM judged) "
        f"SELECT {group}, count(*), sum(CASE WHEN says = 'escalate' THEN 1 ELSE 0 END), "
        "sum(CASE WHEN says = 'unsure' THEN 1 ELSE 0 END), CAST(sum(cost_nanousd) AS BIGINT) / count(*), "
        "CAST(sum(checks_nanousd) AS BIGINT) / count(*), avg(checks_ms), avg(total_ms), "
        f"max(CASE WHEN 100 * (place - 1) < {QUANTILE_PERCENT} * among THEN total_ms END) "
        f"FROM ranked GROUP BY {group}",
        (f"{max(now_ms - OLD_MS, 0):012x}",),
    )
    for simulated, route, name, model, effort, thinking, later, judged, *figures in rows:
        escalated, unsure, cost, checks, checks_ms, ms, most_ms = figures
        yield (
            bool(simulated),
            JudgedArm(
                route=route,
                task_class=name,
                model=model,
                effort=effort,
                thinking=thinking,
                later=bool(later),
                judged=judged,
                escalated=escalated,
                unsure=unsure,
                cost_nanousd=cost,
                checks_nanousd=checks,
                checks_ms=round(checks_ms),
                ms=round(ms),
                most_ms=round(most_ms),
                at_ms=now_ms,
            ),
        )


Place = tuple[str, str, str, str, str, bool]
"""Route, class, model, effort, thinking, later."""


def place_of(one: JudgedArm) -> Place:
    """What tells figures apart."""
    return one.route, one.task_class, one.model, one.effort, one.thinking, one.later


def joined(newest: Sequence[JudgedArm], earlier: Sequence[JudgedArm], now_ms: int) -> list[JudgedArm]:
    """The newest figures; and earlier ones, until they are old, that rest on more than twice as many answers: what is
    seldom asked is not forgotten because something else is asked often."""
    kept = {place_of(one): one for one in earlier if one.at_ms >= now_ms - OLD_MS}
    for one in newest:
        before = kept.get(place_of(one))
        if before is None or before.judged <= 2 * one.judged:
            kept[place_of(one)] = one
    found = sorted(kept.values(), key=lambda one: (-one.judged, place_of(one)))
    return found[:FIGURES_MOST]
