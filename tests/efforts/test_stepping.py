"""More effort comes before another model unless the table of the class shows otherwise."""

import pytest

from trimtab.catalogue import Arm
from trimtab.efforts import ClassTable, EffortTable
from trimtab.efforts.stepping import Stepping, model_first
from trimtab.efforts.table import Cell, Success
from trimtab.stats.clusters import rate_of

A, MORE, OTHER = Arm("sonnet", "medium"), Arm("sonnet", "high"), Arm("opus")


def cell(arm: Arm, share: float | None, told: int) -> Cell:
    success = None
    if share is not None:
        rate = rate_of([(1, float(n < share * told)) for n in range(told)])
        interval = rate.interval()
        success = Success(rate.value, interval.low, interval.high, rate.effective, told, told)
    return Cell(model=arm.model, effort=arm.effort or "", asked=told, conversations=told, success=success)


def table(before: float | None, more: float | None, other: float | None, told: int = 2000) -> ClassTable:
    cells = (cell(A, before, told), cell(MORE, more, told), cell(OTHER, other, told))
    return ClassTable(task_class="coding", unit="request", cells=cells)


@pytest.mark.parametrize(
    ("shown", "prefers"),
    [
        (table(0.70, 0.70, 0.85), True),  # effort is shown not to help, the model is shown to
        (table(0.70, 0.55, 0.85), True),
        (table(0.70, 0.80, 0.95), False),  # effort helps
        (table(0.70, 0.70, 0.85, told=60), False),  # nobody knows whether effort helps
        (table(0.70, 0.70, 0.72), False),  # nobody knows whether the model helps
        (table(0.70, None, 0.95), False),
        (table(None, 0.70, 0.95), False),
        (table(0.70, 0.70, None), False),
    ],
)
def test_what_the_outcomes_do_not_show_leaves_effort_first(shown: ClassTable, prefers: bool) -> None:
    assert model_first(shown, A, MORE, OTHER) is prefers
    assert not model_first(shown, A, MORE, Arm("haiku"))


def test_the_newest_table_of_each_side_holds_and_classes_without_one_keep_effort_first() -> None:
    stepping = Stepping()
    assert not stepping("coding", A, MORE, OTHER, False)
    good = EffortTable(from_ms=0, to_ms=1, simulated=False, requests=1, classes=(table(0.7, 0.7, 0.85),))
    stepping.now_is(good)
    for _ in range(2):
        assert stepping("coding", A, MORE, OTHER, False)
        assert not stepping("coding", A, MORE, OTHER, True)
        assert not stepping("law", A, MORE, OTHER, False)
    stepping.now_is(
        EffortTable(from_ms=0, to_ms=2, simulated=False, requests=1, classes=(table(0.7, 0.8, 0.85),))
    )
    assert not stepping("coding", A, MORE, OTHER, False)
