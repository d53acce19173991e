"""The reach of Student's t is that of the printed tables."""

import pytest

from trimtab.stats import student_reach


@pytest.mark.parametrize(
    ("degrees", "reach"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (10, 2.2281), (27, 2.0518), (100, 1.9840)],
)
def test_the_reach_is_that_of_the_tables(degrees: int, reach: float) -> None:
    """Source: Abramowitz and Stegun, table 26.10."""
    assert student_reach(degrees) == pytest.approx(reach, abs=5e-5)
    assert student_reach(degrees, 0.5) < reach


def test_no_degrees_of_freedom_have_no_interval() -> None:
    with pytest.raises(ValueError, match="0 degrees"):
        student_reach(0)
