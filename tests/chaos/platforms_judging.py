"""What must be true after platforms have failed under load, by three witnesses: callers, platforms and the store.

What it is not: a definition of faults or a load. Invariant: what a caller got is taken from the caller, what went out
from the platforms, and what it cost from the store; none of them is asked about the others' matters.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from findings import Findings
from platforms_answers import Said
from platforms_drive import COST_NANOUSD, Arrival
from platforms_framing import BEFORE_CONTENT

BAR = 0.999
"""Of requests that any healthy platform could serve."""
Z = 1.96
LEASE = "the store did not give another in time"
"""A key's limits, not a platform: on a machine that is busy with other things a slice may take more than its 50 ms."""
MAY_OUTRUN = 0.002
"""Without hedging only a call that tries a platform again has another one beside it, if it takes over a second."""
MOST_CALLS = 3
"""`[retries] attempts` as it comes."""


def wilson(good: int, n: int, z: float = Z) -> tuple[float, float]:
    """Interval of a share, 95 %. Source: Wilson (1927)."""
    if not n:
        return 0.0, 1.0
    share = good / n
    middle = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)


@dataclass
class Tally:
    """Requests that a healthy platform could serve, and those that were served."""

    could: int = 0
    served: int = 0
    cut_after_content: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.served, self.could)

    def add(self, other: "Tally") -> None:
        self.could += other.could
        self.served += other.served
        self.cut_after_content += other.cut_after_content
        self.wrong += other.wrong

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.served:,} of {self.could:,} ({low:.2%} to {high:.2%})"


def judge_answers(
    findings: Findings,
    said: Sequence[Said],
    arrivals: Sequence[Arrival],
    *,
    killed: bool = False,
) -> Tally:
    """What callers got: one answer, of one attempt, whole, unless it was cut after its first content.

    `killed`: processes of the gateway were killed meanwhile, so that connections may end without a word.
    """
    by_name: dict[str, list[Arrival]] = defaultdict(list)
    for call in arrivals:
        by_name[call.name].append(call)
    tally = Tally()
    unserved, silent, late_slices = [], [], 0
    for one in said:
        if one.verdict == "left" or (killed and one.verdict in ("nothing", "cut")):
            continue
        if one.verdict in ("wrong", "cut"):
            tally.wrong.append(f"{one.name}: {one.why}")
        content_cut = [a for a in by_name[one.name] if one.stream and cut_after_content(a)]
        if content_cut:
            tally.cut_after_content += 1
            if one.verdict not in ("broken", "wrong", "cut"):
                silent.append(f"{one.name}: {one.verdict} {one.why}")
            elif len(by_name[one.name]) > 1 and content_cut[-1] is not by_name[one.name][-1]:
                silent.append(f"{one.name}: asked again after content")
            continue
        if one.status == 503 and not by_name[one.name] and LEASE in one.why:
            late_slices += 1
            continue
        tally.could += 1
        if one.verdict == "whole":
            tally.served += 1
        else:
            calls = [f"{a.platform} {a.how}:{a.events}" for a in by_name[one.name]]
            unserved.append(f"{one.name}: {one.verdict} {one.why[:120]} {calls}")
    findings.note("answers", dict(Counter(one.verdict for one in said)))
    findings.check(
        "requests that a healthy platform could serve, and were",
        tally.served >= BAR * tally.could,
        f"{tally} {unserved[:4]}",
    )
    if late_slices:
        findings.note("refused by a key's limits: the store was late", late_slices)
    findings.none("answers that must never be", set(tally.wrong))
    findings.note("cut after the first content, told as an error", tally.cut_after_content)
    findings.none("... of these not told", set(silent))
    asked_two = sum(len(calls) > 1 for calls in by_name.values())
    findings.note("requests that several platforms were asked", asked_two)
    most = max((len(calls) for calls in by_name.values()), default=0)
    findings.check("calls for one request, at most", most <= MOST_CALLS, most)
    return tally


def cut_after_content(arrival: Arrival) -> bool:
    """Whether the platform ended a stream after its first content."""
    return arrival.events > BEFORE_CONTENT and arrival.how != "answered"


def judge_books(
    findings: Findings,
    said: Sequence[Said],
    arrivals: Sequence[Arrival],
    records: Sequence[dict[str, Any]],
    spent: dict[str, int],
    *,
    hedged: bool = False,
) -> None:
    """Every request that reached a platform is an attempt of one record, at its price; sums are sums."""
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        by_name[record["session"].rpartition(":")[2]].append(record)
    left = {one.name for one in said if one.verdict in ("left", "nothing")}
    names = {one.name for one in said if LEASE not in one.why} - left | {one.name for one in arrivals}
    findings.none("requests without a record", {name for name in names if not by_name[name]})
    findings.none("requests with two records", {name for name in names if len(by_name[name]) > 1})
    came: dict[str, list[Arrival]] = defaultdict(list)
    for one in arrivals:
        came[one.name].append(one)
    missing, free, under, odd, unsaid = [], [], [], [], []
    kinds: Counter[str] = Counter()
    outrun = 0
    for name, calls in came.items():
        attempts = [attempt for record in by_name[name] for attempt in record.get("attempts", ())]
        for call, attempt in _matched(calls, attempts):
            if attempt is None:
                missing.append(f"{name}: {call.attempt} {call.how}")
                continue
            cost, source = attempt.get("cost_nanousd", 0), attempt.get("cost_source", "unbilled")
            if call.how == "answered" or attempt.get("error") or name in left:
                pass
            elif call.how == "left" and attempt["result"] == "cancelled":
                outrun += 1
            else:
                unsaid.append(f"{call.attempt}: {call.how}:{call.events} {attempt['result']}")
            kinds[f"{call.how.partition(':')[0]}: {source}"] += 1
            if call.how == "answered":
                if cost != COST_NANOUSD[call.platform] and attempt["result"] == "ok":
                    odd.append(f"{call.attempt}: {cost} {source}")
                elif cost < COST_NANOUSD[call.platform] and name not in left:
                    under.append(f"{call.attempt}: {cost} {source}")
            elif call.how.startswith("status:"):
                if cost and name not in left:
                    odd.append(f"{call.attempt}: {call.how} costs {cost}")
            elif not cost:
                # It reached the platform and got no answer to the end: it may be billed.
                free.append(f"{call.attempt}: {call.how}:{call.events} {attempt.get('error')}")
    findings.note("attempts by how they ended and where their price is from", dict(sorted(kinds.items())))
    findings.none("requests at a platform that are no attempt of a record", set(missing))
    findings.none("possibly billed attempts that cost nothing", set(free))
    findings.none("whole answers that cost less than their price", set(under))
    findings.none("attempts with another price than theirs", set(odd))
    findings.none("failed attempts that do not say how", set(unsaid))
    findings.check(
        "attempts cut because another one, asked beside them, answered",
        hedged or outrun <= MAY_OUTRUN * len(came) + 3,
        outrun,
    )
    _judge_sums(findings, records, spent)
    never = sum(len(record.get("attempts", ())) for record in records) - len(arrivals)
    findings.note("attempts that reached no platform", never)


def _judge_sums(findings: Findings, records: Sequence[dict[str, Any]], spent: dict[str, int]) -> None:
    """One answer each, and every sum that there is."""
    given = {
        record["id"]
        for record in records
        if sum(attempt["result"] == "ok" for attempt in record.get("attempts", ())) > 1
    }
    findings.none("records with two attempts that were the answer", given)
    sums = {
        record["id"]
        for record in records
        if sum(one.get("cost_nanousd", 0) for one in record.get("attempts", ()))
        != record.get("cost_nanousd", 0)
    }
    findings.none("records whose cost is not the sum of their attempts", sums)
    costs: Counter[str] = Counter()
    for record in records:
        if record.get("key"):
            costs[record["key"]] += record.get("cost_nanousd", 0)
    differ = {key for key in {*costs, *spent} if costs[key] != spent.get(key, 0)}
    findings.none("keys whose spend is not the sum of their records", differ)


def _matched(
    calls: Sequence[Arrival], attempts: Sequence[dict[str, Any]]
) -> Iterable[tuple[Arrival, dict[str, Any] | None]]:
    """Each call with its attempt: by the id that the platform gave it, else the next without one at that platform."""
    left = list(attempts)
    rest = []
    for call in calls:
        found = next((one for one in left if one.get("provider_request_id") == call.attempt), None)
        if found is None:
            rest.append(call)
        else:
            left.remove(found)
            yield call, found
    for call in rest:
        found = next(
            (
                one
                for one in left
                if one["platform"] == call.platform
                and not one.get("provider_request_id")
                # What never left cannot be the one that arrived.
                and not (one.get("error") or "").startswith("UpstreamRefused")
            ),
            None,
        )
        if found is not None:
            left.remove(found)
        yield call, found
