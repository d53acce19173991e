"""Whether a request goes on after an answer was judged, and that time and money always win."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.catalogue import Arm
from trimtab.records import Says
from trimtab.routing.cascade import Beginning, Estimate, Facts, Failure, Ladder, Made, Next, next_step

CENT = 10_000_000
CHEAP, DEAR, BEST = Arm("cheap"), Arm("dear"), Arm("best")
LADDER = Ladder(rungs=(CHEAP, DEAR, BEST))
BEGUN = Beginning(rungs=(CHEAP, DEAR, BEST))


class Even:
    """All arms alike: they cost ten cents, take ten seconds and fail 30 of 100."""

    def estimate(self, arm: Arm) -> Estimate:
        return Estimate(cost_nanousd=10 * CENT, ms=10_000.0 if arm == DEAR else 5000.0)

    def failure(self, arm: Arm) -> Failure:
        return Failure(300, 1000)

    def prefers_model(self, arm: Arm) -> bool:
        return False


def after(
    *said: Says | None,
    ladder: Ladder = LADDER,
    facts: Facts | None = None,
    left_s: float | None = None,
    spent: int = 0,
    begun: Beginning = BEGUN,
) -> Next:
    made = [Made(arm, says, CENT) for arm, says in zip(begun.rungs, said, strict=False)]
    return next_step(ladder, begun, made, facts or Facts(), Even(), left_s=left_s, spent_nanousd=spent)


@pytest.mark.parametrize(
    ("found", "arm", "words"),
    [
        (after(), CHEAP, "first"),
        (after("accept"), None, "cheap was accepted"),
        (after("escalate"), DEAR, "cheap was not accepted"),
        (after(None), DEAR, "cheap gave no answer"),
        (after("escalate", "escalate"), BEST, "dear was not accepted"),
        (after("escalate", "escalate", "escalate"), None, "there is no further rung"),
        (after("unsure"), DEAR, "of cheap nobody is sure"),
        (
            after("unsure", ladder=Ladder(rungs=LADDER.rungs, unsure="release")),
            None,
            "released as the route says",
        ),
        (after("escalate", begun=Beginning(rungs=(BEST,), baseline=True)), None, "baseline"),
        (after("escalate", begun=Beginning(rungs=(BEST,))), None, "no further rung"),
        (after("escalate", ladder=Ladder(rungs=LADDER.rungs, steps=1)), None, "1 step was made, and no more"),
        # Time and money. The next rung that fits them is taken.
        (after("escalate", left_s=10.0), DEAR, "not accepted"),
        (after("escalate", left_s=9.9), BEST, "dear usually takes 10 s, and 9.9 s are left"),
        (after("escalate", left_s=4.9), None, "best usually takes 5 s, and 4.9 s are left"),
        (after("escalate", left_s=0.0), None, "no time is left"),
        (
            after("escalate", ladder=Ladder(rungs=LADDER.rungs, most_nanousd=20 * CENT), spent=10 * CENT),
            DEAR,
            "",
        ),
        (
            after("escalate", ladder=Ladder(rungs=LADDER.rungs, most_nanousd=20 * CENT), spent=10 * CENT + 1),
            None,
            "$0.10 are spent, dear is expected to cost $0.10, and the most is $0.20",
        ),
    ],
)
def test_it_goes_on_or_ends_and_says_why(found: Next, arm: Arm | None, words: str) -> None:
    assert found.arm == arm
    assert words in found.reason


def test_declared_risk_goes_on_where_the_answers_that_fail_cost_more_than_the_next_step() -> None:
    releases = Ladder(rungs=LADDER.rungs, unsure="release", error_cost_nanousd=30 * CENT)
    assert (
        after("unsure", ladder=releases).arm is None
    )  # 30 % of 30 cents are 9 cents, the next step costs 10
    risky = after("unsure", ladder=releases, facts=Facts(error_cost_nanousd=40 * CENT))
    assert risky.arm == DEAR
    assert (
        "30.1 % of its answers fail, which at $0.40 each comes to $0.1202; dear costs $0.10" in risky.reason
    )


@given(
    st.lists(st.sampled_from(["accept", "escalate", "unsure", None]), min_size=1, max_size=3),
    st.floats(0, 20),
    st.integers(0, 50 * CENT),
    st.integers(0, 50 * CENT),
    st.sampled_from(["escalate", "release"]),
    st.none() | st.integers(0, 10**12),
)
def test_no_step_is_begun_that_is_not_expected_to_end_in_time_and_within_its_money(
    said: list[Says | None], left_s: float, spent: int, most: int, unsure: str, error_cost: int | None
) -> None:
    ladder = Ladder(rungs=LADDER.rungs, most_nanousd=most, unsure=unsure, error_cost_nanousd=error_cost)  # type: ignore[arg-type]
    found = after(*said, ladder=ladder, left_s=left_s, spent=spent)
    if found.arm is not None:
        estimate = Even().estimate(found.arm)
        assert (estimate.ms or 0) <= left_s * 1000
        assert spent + estimate.cost_nanousd <= most
        assert len(said) < 3
    assert found.reason
