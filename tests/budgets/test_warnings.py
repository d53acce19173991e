"""Which accounts are warned of, and in which words."""

import msgspec
import pytest

from trimtab.budgets.refusals import refused
from trimtab.budgets.slices import AccountSlice, Shortage
from trimtab.budgets.warnings import Refusals, Refused, Warnings, passed
from trimtab.records import Budget, Scope
from trimtab.store.limits import Caps

RED = Scope("team", "red", "default")
ACCOUNT = "team=default/red/usd/2026-11"


def month(limit: int = 500_000_000_000, **more: object) -> Budget:
    return Budget(name="red.usd_per_month", scope=RED, meter="usd", limit=limit, period="month", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spent", "words"),
    [
        (399_999_999_999, None),
        (400_000_000_000, "name=red.usd_per_month; spent=80%; left_usd=100"),
        (409_880_000_000, "name=red.usd_per_month; spent=81%; left_usd=90.12"),
        (499_999_999_999, "name=red.usd_per_month; spent=99%; left_usd=0.000000001"),
        (500_000_000_000, "name=red.usd_per_month; spent=100%; left_usd=0"),
        (750_000_000_000, "name=red.usd_per_month; spent=150%; left_usd=0"),
    ],
)
def test_a_warning_begins_at_its_part_of_the_limit_and_says_what_is_left(
    spent: int, words: str | None
) -> None:
    found = passed([(ACCOUNT, month())], {(ACCOUNT, False): spent})
    assert [one.words for one in found] == ([] if words is None else [words])


def test_real_and_simulated_are_two_sides() -> None:
    warnings = Warnings()
    draws = (ACCOUNT, "key=key_1/usd/total")
    assert warnings(draws, False) == ()
    warnings.now_is(passed([(ACCOUNT, month(100))], {(ACCOUNT, True): 90}))
    assert warnings(draws, False) == ()
    assert warnings(draws, True) == ("name=red.usd_per_month; spent=90%; left_usd=0.00000001",)
    warnings.now_is(())
    assert warnings(draws, True) == ()


def test_a_soft_and_a_hard_budget_of_one_account_both_warn() -> None:
    soft = Budget(name="soft.usd_per_month", scope=RED, meter="usd", limit=50, period="month", hard=False)
    found = passed([(ACCOUNT, month(100)), (ACCOUNT, soft)], {(ACCOUNT, False): 85})
    assert [(one.budget.name, one.level) for one in found] == [
        ("red.usd_per_month", 80), ("soft.usd_per_month", 100),
    ]  # fmt: skip


def test_a_budget_refuses_where_waiting_does_not_help_within_its_period() -> None:
    def short(asked: int, left: int | None, **more: object) -> tuple[AccountSlice, int, Shortage]:
        one = AccountSlice(ACCOUNT, Caps(total=100), month(100, **more))
        one.unspent[False] = left
        return one, asked, Shortage(amount=asked)

    minute = Budget(name="fast.tokens_per_minute", scope=RED, meter="tokens", limit=100, period="minute")
    cases = [short(50, 40), short(50, 60), short(120, None), short(50, None)]
    cases.append((AccountSlice(ACCOUNT, Caps(total=100), minute), 120, Shortage(amount=120)))
    cases.append((AccountSlice("key_1", Caps(total=100)), 120, Shortage(amount=120)))
    assert [one.words for one in refused(cases, False)] == [
        "name=red.usd_per_month; refused; asked_usd=0.00000005; left_usd=0.00000004",
        "name=red.usd_per_month; refused; asked_usd=0.00000012",
    ]


def test_what_is_refused_again_and_again_is_noted_once() -> None:
    refusals = Refusals()
    one = Refused(month(100), ACCOUNT, False, 120, None)
    refusals([one, one])
    refusals([one, msgspec.structs.replace(one, simulated=True)])
    assert [found.simulated for found in refusals.take()] == [False, True]
    refusals([one])
    assert refusals.take() == []
