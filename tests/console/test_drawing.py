"""Charts as shapes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trimtab.console.drawing as drawing

counts = st.lists(st.lists(st.integers(0, 10**9), min_size=5, max_size=5), max_size=6)
times = st.lists(st.lists(st.one_of(st.none(), st.floats(0, 1e9)), min_size=5, max_size=5), max_size=6)


@given(st.floats(1e-9, 1e15))
def test_an_axis_ends_at_a_round_number_not_far_above_what_is_shown(most: float) -> None:
    top = drawing.top_of(most)
    assert most * 0.999 <= top <= most * 2.001
    assert len(f"{top:.3e}".rstrip("0").partition("e")[0].replace(".", "").rstrip("0")) <= 2


def coordinates(path: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d*\.?\d+", path)]


@given(counts)
def test_bars_stand_on_one_another_within_the_box(groups: list[list[int]]) -> None:
    top, shapes = drawing.stacked(groups)
    assert top >= max((sum(column) for column in zip(*groups, strict=True)), default=0) * 0.999
    drawn = {shape.group for shape in shapes}
    assert drawn == {number for number, values in enumerate(groups) if any(values)}
    for shape in shapes:
        assert shape.path.count("M") == sum(1 for value in groups[shape.group] if value)
        # Room for the hair that the smallest bars are drawn with.
        assert all(-5 <= each <= 1000 for each in coordinates(shape.path))


@given(times)
def test_lines_show_every_value_and_no_more(groups: list[list[float | None]]) -> None:
    _, shapes = drawing.lines(groups)
    for number, values in enumerate(groups):
        path = "".join(shape.path for shape in shapes if shape.group == number)
        assert path.count("M") + path.count("L") == sum(1 for value in values if value is not None)
        gaps = sum(1 for a, b in zip([None, *values], values, strict=False) if a is None and b is not None)
        assert path.count("M") == gaps


@pytest.mark.parametrize("most", [5e-324, 1e-310, 1e-300, 3e-9, 1e300])
def test_an_axis_ends_at_or_over_the_greatest_value_however_small_it_is(most: float) -> None:
    assert drawing.top_of(most) >= most * 0.9999


def test_nothing_to_show_is_an_empty_chart() -> None:
    assert drawing.stacked([]) == (1.0, [])
    assert drawing.lines([[None, None]]) == (1.0, [])
