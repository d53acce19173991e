"""More effort comes before another model unless the table of the class shows otherwise."""

import pytest

from trimtab.efforts import ClassTable
from trimtab.efforts.stepping import prefers_model
from trimtab.efforts.table import Cell, Success
from trimtab.stats.clusters import rate_of

A, MORE, OTHER = ("sonnet", "medium"), ("sonnet", "high"), ("opus", "high")


def cell(arm: tuple[str, str], share: float | None, told: int = 400) -> Cell:
    success = None
    if share is not None:
        rate = rate_of([(1, float(n < share * told)) for n in range(told)])
        interval = rate.interval()
        success = Success(rate.value, interval.low, interval.high, rate.effective, told, told)
    return Cell(model=arm[0], effort=arm[1], asked=told, conversations=told, success=success)


@pytest.mark.parametrize(
    ("before", "more", "other", "prefers"),
    [
        (0.70, 0.70, 0.85, True),  # effort is shown not to help, the model is shown to
        (0.70, 0.55, 0.85, True),
        (0.70, 0.80, 0.95, False),  # effort helps
        (0.70, 0.74, 0.90, False),  # nobody knows whether effort helps
        (0.70, 0.70, 0.72, False),  # nobody knows whether the model helps
        (0.70, None, 0.95, False),
        (None, 0.70, 0.95, False),
        (0.70, 0.70, None, False),
    ],
)
def test_what_the_outcomes_do_not_show_leaves_effort_first(
    before: float | None, more: float | None, other: float | None, prefers: bool
) -> None:
    cells = (cell(A, before, 2000), cell(MORE, more, 2000), cell(OTHER, other, 2000))
    if before == 0.70 and more == 0.74:
        cells = (cell(A, before, 200), cell(MORE, more, 200), cell(OTHER, other, 200))
    table = ClassTable(task_class="coding", unit="request", cells=cells)
    assert prefers_model(table, A, MORE, OTHER) is prefers
    assert not prefers_model(table, A, MORE, ("haiku", ""))
