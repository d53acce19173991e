"""What a console shows of usage and times is what the records say, or as near as it claims."""

import math
import random
from collections.abc import Callable

import pytest

from trimtab.catalogue import Arm
from trimtab.records import Outcome, Plan
from trimtab.store import Database, Store
from trimtab.store.records.rows import HOUR_MS
from trimtab.store.records.usage import Span, times, usage

START = 1000 * HOUR_MS
ALL = Span(START, START + 24 * HOUR_MS)

MakeOutcome = Callable[..., Outcome]
OpenStore = Callable[..., Store]
OpenDatabase = Callable[[str], Database]


@pytest.fixture
def fill(url: str, open_at: OpenStore, database_at: OpenDatabase) -> Callable[[list[Outcome]], Database]:
    """Write records, and open the database that they are in."""

    def write(made: list[Outcome]) -> Database:
        store = open_at(url)
        for record in made:
            store.put(record)
        assert store.close(30) == 0
        return database_at(url)

    return write


def test_usage_is_told_apart_by_what_was_asked_for(
    fill: Callable[[list[Outcome]], Database], make_outcome: MakeOutcome
) -> None:
    made = [
        make_outcome(
            n,
            at_ms=START + n * HOUR_MS // 2,
            plan=Plan(Arm(f"m{n % 2}"), "p", tier="default" if n % 3 else None),
            key=f"k{n % 4}",
            team=f"t{n % 2}",
            organisation="o",
            purpose="eval" if n == 7 else "live",
            simulated=n == 6,
            cost_nanousd=2**n,
        )
        for n in range(8)
    ]
    database = fill(made)

    def costs(*by: str, span: Span = ALL) -> dict[object, int]:
        return {row.names: row.totals.cost_nanousd for row in usage(database, span, by)}  # type: ignore[arg-type]

    assert costs() == {(): 63}
    assert costs("model") == {("m0",): 1 + 4 + 16, ("m1",): 2 + 8 + 32}
    assert costs("hour", "model") == {(START + n // 2 * HOUR_MS, f"m{n % 2}"): 2**n for n in range(6)}
    assert costs("tier", "platform") == {("", "claude"): 1 + 8, ("default", "claude"): 2 + 4 + 16 + 32}
    assert costs("organisation", "team") == {("o", "t0"): 1 + 4 + 16, ("o", "t1"): 2 + 8 + 32}
    assert costs("key") == {("k0",): 1 + 16, ("k1",): 2 + 32, ("k2",): 4, ("k3",): 8}
    assert costs("key", "model", "hour", span=Span(START, START + 1)) == {
        ("k0", "m0", START): 1,
        ("k1", "m1", START): 2,
    }
    assert costs(span=Span(START + 1, START + HOUR_MS)) == {(): 3}  # its hour counts whole
    assert costs(span=Span(START, START + HOUR_MS + 1)) == {(): 15}
    assert costs(span=Span(0, START)) == {}
    assert costs("purpose", span=Span(*TIME, purposes=("live", "eval"))) == {("eval",): 128, ("live",): 63}
    assert costs(span=Span(*TIME, simulated=True)) == {(): 64}
    whole = usage(database, ALL)[0].totals
    assert (whole.requests, whole.attempts, whole.tokens.input, whole.tokens.output) == (6, 6, 600, 60)


TIME = (START, START + 24 * HOUR_MS)


def test_usage_that_is_not_kept_together_is_refused(
    fill: Callable[[list[Outcome]], Database],
) -> None:
    with pytest.raises(ValueError, match="not kept by tier, team together; ask for fewer"):
        usage(fill([]), ALL, ("tier", "team"))


def test_quantiles_are_as_near_as_they_claim(
    fill: Callable[[list[Outcome]], Database], make_outcome: MakeOutcome
) -> None:
    draw = random.Random(3)
    took: dict[str, list[float]] = {"m0": [], "m1": []}
    made = []
    for n in range(2000):
        model, ms = f"m{n % 2}", draw.lognormvariate(7, 1) + 1
        took[model].append(ms)
        plan = Plan(Arm(model), "p")
        made.append(make_outcome(n, at_ms=START + n * 1000, plan=plan, total_ms=ms))
    made.append(make_outcome(9000, at_ms=START, result="error", total_ms=1.0))  # not an answer
    database = fill(made)
    found = times(database, ALL, ("model",))
    assert [row.names for row in found] == [("m0",), ("m1",)]
    for row in found:
        exact = sorted(took[str(row.names[0])])
        assert row.requests == len(exact)
        for part, told in ((0.5, row.p50_ms), (0.95, row.p95_ms), (0.99, row.p99_ms)):
            assert told == pytest.approx(exact[math.ceil(part * len(exact)) - 1], rel=0.045)
    assert [(*row.names, row.requests) for row in times(database, ALL, ("model", "platform", "tier"))] == [
        ("m0", "claude", "", 1000),
        ("m1", "claude", "", 1000),
    ]
    assert times(database, ALL, kind="first_content") == []
    assert times(database, Span(0, 1)) == []
