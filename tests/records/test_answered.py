"""Of a cascade, the attempt that the client was given is the answer; whatever the others cost counts too."""

from typing import Any

from trimtab.catalogue import Arm
from trimtab.messages import Usage
from trimtab.records import Attempt, Outcome, Plan, RequestId, TaskSpent, answered_by, arm_of, spent_of

WEAK, STRONG = Arm("m", "low"), Arm("n", "high")


def attempt(tokens: int, **changes: Any) -> Attempt:
    usage = Usage(input_tokens=tokens, output_tokens=tokens // 10)
    return Attempt("p", "m", "ok", usage=usage, cost_nanousd=tokens, cost_source="reported", **changes)


def outcome(*attempts: Attempt, **changes: Any) -> Outcome:
    return Outcome(
        RequestId("r"), 1, "task", "messages", "messages", "m", "s", "ok", 200, False, Plan(WEAK, "p"), attempts,
        cost_nanousd=sum(one.cost_nanousd for one in attempts), **changes,
    )  # fmt: skip


def test_the_attempt_that_was_given_is_the_answer_and_else_the_last_one() -> None:
    first, second = attempt(100), attempt(900, arm=STRONG, step=1)
    whole = outcome(first, second)
    assert (answered_by(whole), arm_of(whole, second), arm_of(whole, first)) == (second, STRONG, WEAK)
    assert answered_by(outcome(first, second, answered=0)) is first
    assert answered_by(outcome(first, second, answered=7)) is second, "nonsense of a record stops nothing"
    assert answered_by(outcome()) is None
    assert arm_of(outcome(), None) == WEAK


def test_what_a_task_has_used_is_the_answer_that_stands_and_all_the_money() -> None:
    first, second = attempt(100), attempt(900, arm=STRONG, step=1)
    assert spent_of(outcome(first, second)) == TaskSpent(900, 90, 1000)
    assert spent_of(outcome(first, second, answered=0)) == TaskSpent(100, 10, 1000)
    refused = Attempt("p", "m", "error")
    assert spent_of(outcome(first, refused)) == TaskSpent(100, 10, 100)
    assert spent_of(outcome(first, refused, answered=1)) == TaskSpent(100, 10, 100)
    cut = Attempt("p", "m", "truncated", cost_nanousd=5, cost_source="estimated")
    assert spent_of(outcome(first, cut, answered=1)) == TaskSpent(nanousd=105, known=False)
