"""What each platform did can be asked by entry and model, and what was spent there since a day."""

from collections.abc import Callable

import pytest

from trimtab.catalogue import Arm
from trimtab.messages import Usage
from trimtab.records import Attempt, Outcome, Plan
from trimtab.store import Database
from trimtab.store.figures.platforms import (
    Calls,
    Spending,
    SpendingWanted,
    platform_figures,
    spending,
    together,
)
from trimtab.store.records import RecordStore

MakeOutcome = Callable[..., Outcome]
OpenStore = Callable[..., RecordStore]
OpenDatabase = Callable[[str], Database]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOW_MS = 1_800_000_000_000 // HOUR_MS * HOUR_MS + 1000
USAGE = Usage(input_tokens=100, output_tokens=60)


def attempt(platform: str, result: str = "ok", status: int | None = 200, **more: object) -> Attempt:
    return Attempt(platform, "as sent", result, status, **more)  # type: ignore[arg-type]


ANSWER = {"usage": USAGE, "cost_nanousd": 300, "first_content_ms": 400.0, "total_ms": 1400.0}


def record(make: MakeOutcome, store: RecordStore, seed: int, *tries: Attempt, **more: object) -> Outcome:
    made = make(seed, attempts=tries, cost_nanousd=sum(one.cost_nanousd for one in tries), **more)
    store.put(made)
    return made


def test_an_entry_s_price_speed_and_last_error_are_those_of_its_own_calls(
    url: str, open_at: OpenStore, database_at: OpenDatabase, make_outcome: MakeOutcome
) -> None:
    store = open_at(url)
    limited = attempt("claude", "error", 429, error="rate_limit_error", account="1")
    for n in range(3):
        record(make_outcome, store, n, limited, attempt("claude", account="2", **ANSWER), at_ms=NOW_MS)
    cut = attempt(
        "claude", "truncated", error="UpstreamBroken: cut", usage=USAGE, cost_nanousd=90, account="2"
    )
    newest = record(make_outcome, store, 4, cut, attempt("bedrock", **ANSWER), at_ms=NOW_MS + 50)
    record(make_outcome, store, 5, attempt("bedrock", **ANSWER), at_ms=NOW_MS, purpose="eval")
    record(make_outcome, store, 6, attempt("bedrock", **ANSWER), at_ms=NOW_MS, simulated=True)
    record(make_outcome, store, 7, attempt("bedrock", **ANSWER), at_ms=NOW_MS - 5 * HOUR_MS)
    refused = attempt("claude", "error", 400, error="invalid_request_error: no")
    other = Plan(Arm("claude-haiku-4-5"), "claude")
    record(make_outcome, store, 8, refused, at_ms=NOW_MS, plan=other, result="error")
    assert store.close(10) == 0
    database = database_at(url)
    bedrock, haiku, sonnet = platform_figures(database, NOW_MS - HOUR_MS, NOW_MS + 1000, simulated=False)
    assert (bedrock.platform, bedrock.model) == ("bedrock", "claude-sonnet-4-6")
    assert (haiku.platform, haiku.model) == ("claude", "claude-haiku-4-5")
    calls = bedrock.calls
    assert (calls.attempts, calls.answered, calls.price_nanousd) == (2, 2, 300)
    assert calls.tokens_per_s == pytest.approx(60)
    assert bedrock.first_p50_ms == pytest.approx(400, rel=0.05)
    assert bedrock.last_error is None
    assert bedrock.accounts == {}
    calls = sonnet.calls
    assert (calls.attempts, calls.answered, calls.limited, calls.failed) == (7, 3, 3, 1)
    assert calls.price_nanousd == (3 * 300 + 90) // 3, (
        "what the cut call cost is part of the price of an answer"
    )
    assert calls.decided == 7
    assert {account: one.attempts for account, one in sonnet.accounts.items()} == {"1": 3, "2": 4}
    assert together(*sonnet.accounts.values()) == calls
    assert sonnet.last_error is not None
    assert (sonnet.last_error.request, sonnet.last_error.error, sonnet.last_error.account) == (
        newest.id,
        "UpstreamBroken: cut",
        "2",
    )
    assert haiku.calls == Calls(attempts=1, refused=1)
    assert (haiku.calls.price_nanousd, haiku.calls.tokens_per_s, haiku.calls.decided) == (None, None, 0)
    assert haiku.last_error is None, "the request was at fault, not the platform"
    (mock,) = platform_figures(database, NOW_MS - HOUR_MS, NOW_MS + 1000, simulated=True)
    assert mock.calls.attempts == 1
    assert platform_figures(database, NOW_MS + HOUR_MS, NOW_MS + 2 * HOUR_MS, simulated=False) == ()


def test_spending_counts_from_the_day_asked_for_and_tells_the_rate_of_the_last_week(
    url: str, open_at: OpenStore, database_at: OpenDatabase, make_outcome: MakeOutcome
) -> None:
    store = open_at(url)
    for seed, days, cost, simulated in (
        (1, 40, 1000, False),
        (2, 20, 200, False),
        (3, 3, 30, False),
        (4, 0, 4, False),
        (5, 0, 7777, True),
    ):
        paid = attempt("claude", cost_nanousd=cost)
        record(make_outcome, store, seed, paid, at_ms=NOW_MS - days * DAY_MS, simulated=simulated)
    failed = attempt("young", "truncated", cost_nanousd=9)
    record(make_outcome, store, 6, failed, at_ms=NOW_MS - 2 * DAY_MS, purpose="shadow")
    assert store.close(10) == 0
    month = SpendingWanted(NOW_MS - 30 * DAY_MS)
    found = spending(
        database_at(url),
        {"claude": month, "young": month, "unused": month, "later": SpendingWanted(NOW_MS + 9 * DAY_MS)},
        NOW_MS,
    )
    assert found["claude"] == Spending(234, 34, 7.0)
    assert found["young"].nanousd == found["young"].lately_nanousd == 9, "money is spent whatever it was for"
    assert found["young"].lately_days == pytest.approx(2, abs=0.05)
    assert found["unused"] == Spending(0, 0, 7.0)
    assert found["later"].nanousd == 0
    simulated = spending(database_at(url), {"claude": SpendingWanted(0, simulated=True)}, NOW_MS)
    assert (simulated["claude"].nanousd, simulated["claude"].lately_days) == (7777, 1.0)
