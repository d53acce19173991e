"""Why each attempt of a request was made, and what the steps of a cascade came to, told from the record alone."""

from typing import Any

import msgspec
import pytest
from judged_requests import CHEAP, CUT, FIRST, SECOND, STRONG, WHY, judged_outcome

from trimtab.admin.request_steps import steps_of, whys
from trimtab.messages import Usage
from trimtab.records import Attempt


def answered(platform: str, cost: int, ms: float, **more: Any) -> Attempt:
    return Attempt(
        platform,
        "as sent",
        "ok",
        200,
        usage=Usage(input_tokens=10, output_tokens=100),
        cost_nanousd=cost,
        first_content_ms=100.0,
        total_ms=100.0 + ms,
        **more,
    )


def failed(platform: str, status: int | None = 529, error: str = "overloaded_error", **more: Any) -> Attempt:
    return Attempt(platform, "as sent", "error", status, error, **more)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (failed("claude", 429), answered("vertex", 1, 1.0), "another platform: attempt 1 met a rate limit"),
        (failed("claude"), answered("claude", 1, 1.0), "the same again: attempt 1 failed (529)"),
        (
            failed("claude", 401, account="1"),
            answered("claude", 1, 1.0, account="2"),
            "another key: attempt 1 was not let in (401)",
        ),
        (
            failed("a", None, "UpstreamTimeout: x"),
            answered("b", 1, 1.0),
            "another platform: attempt 1 was too slow",
        ),
        (
            failed("a", None, "UpstreamRefused: connection refused"),
            answered("b", 1, 1.0),
            "another platform: attempt 1 got no answer",
        ),
        (
            Attempt("a", "m", "truncated", 200, "UpstreamBroken: cut"),
            answered("b", 1, 1.0),
            "another platform: attempt 1 broke off",
        ),
        (
            failed("a", None, "RequestError: no place for it"),
            answered("b", 1, 1.0),
            "another platform: what was asked has no place in attempt 1's API",
        ),
    ],
)
def test_a_story_says_why_each_attempt_was_made(before: Attempt, after: Attempt, why: str) -> None:
    assert whys((before, after), before.platform) == ("as planned", why)
    assert whys((), "") == ()


def test_a_story_says_which_of_two_calls_that_were_under_way_at_once_was_the_second() -> None:
    cut = Attempt("vertex", "m", "cancelled", None)
    assert whys((cut, answered("claude", 1, 1.0)), "claude") == (
        "beside a slow one",
        "under way with attempt 1, and quicker",
    )


def test_the_attempts_of_one_rung_are_one_step_with_its_verdicts_and_its_money() -> None:
    found = steps_of(judged_outcome())
    first, second = found.steps
    assert (first.number, first.arm, first.attempts, first.says, first.given) == (
        1, "claude-sonnet-4-6@medium", (0,), "escalate", False,
    )  # fmt: skip
    assert (second.attempts, second.says, second.given, second.because) == ((1, 2), "unsure", True, WHY)
    assert second.stopped == "second: unsure, and there is no further rung"
    assert (second.cost_nanousd, second.checks_nanousd, second.ms) == (18_000_000, 2_100_000, 1640.0)
    assert (found.given, found.says, found.judged, found.whole_nanousd) == (2, "unsure", True, 28_800_000)
    assert found.whys == ("as planned", f"escalated: {WHY}", "another platform: attempt 2 failed (529)")


def test_a_reason_that_was_not_recorded_is_told_from_the_verdicts_before_it() -> None:
    assert steps_of(judged_outcome(escalations=())).steps[1].because == WHY
    silent = msgspec.structs.replace(FIRST, verdicts=())
    assert (
        steps_of(judged_outcome(escalations=(), attempts=(silent, SECOND))).steps[1].because
        == "the step before it"
    )


def test_the_answer_of_an_earlier_step_can_be_the_one_that_was_given_and_an_error_is_no_answer() -> None:
    found = steps_of(judged_outcome(answered=0, attempts=(FIRST, CUT)))
    assert [(one.given, one.says) for one in found.steps] == [(True, "escalate"), (False, None)]
    assert found.says == "escalate"
    failed_whole = steps_of(judged_outcome(answered=None, result="error", attempts=(FIRST, CUT)))
    assert failed_whole.given is None
    assert not any(one.given for one in failed_whole.steps)
    nothing = steps_of(judged_outcome(attempts=(), answered=None))
    assert (nothing.steps, nothing.given, nothing.says, nothing.whys) == ((), None, None, ())
    plain = steps_of(judged_outcome(attempts=(SECOND,), answered=None))
    assert plain.steps[0].number == 1, "steps are counted as they were made"


def test_a_rung_that_was_passed_over_is_no_step_and_says_why() -> None:
    later = msgspec.structs.replace(SECOND, step=2)
    reasons = (
        "claude-haiku-4-5 is passed over: it takes no images",
        f"claude-opus-4-7@high: {WHY}",
        "no rung is left",
    )
    found = steps_of(judged_outcome(attempts=(FIRST, later), answered=1, escalations=reasons))
    first, second = found.steps
    assert (first.number, second.number, first.because, first.stopped) == (1, 2, "", "")
    assert second.because == f"{WHY}; {reasons[0]}"
    assert second.stopped == "no rung is left"
    assert found.whys[1] == f"escalated: {second.because}"
    alone = steps_of(judged_outcome(escalations=(f"claude-opus-4-7@high: {WHY}",)))
    assert alone.steps[1].because == WHY, "its own name is not said twice"


def test_why_it_went_on_names_the_verifier_and_what_the_policy_adds() -> None:
    failed_before = f"{CHEAP} was not accepted"
    for recorded, told in (
        (f"{STRONG}: {failed_before}", WHY),
        (f"{STRONG}: {failed_before}: 3 of 10 of its answers fail", f"{WHY}; 3 of 10 of its answers fail"),
        (f"{STRONG}: {failed_before}; no time is left for another", f"{WHY}; no time is left for another"),
    ):
        assert steps_of(judged_outcome(escalations=(recorded,))).steps[1].because == told
    last = (f"{STRONG}: {failed_before}", f"of {STRONG} nobody is sure; there is no further rung")
    assert steps_of(judged_outcome(escalations=last)).steps[1].stopped == "there is no further rung"
    silent = msgspec.structs.replace(FIRST, verdicts=())
    quiet = steps_of(
        judged_outcome(attempts=(silent, SECOND), answered=1, escalations=(f"{CHEAP} gave no answer",))
    )
    assert quiet.steps[1].because == f"{CHEAP} gave no answer"
