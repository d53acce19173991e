"""Charts as shapes: what the server draws itself, so that a page without scripts shows them too.

What it is not: colours (the style sheet's), or the charts with a cursor that scripts put in their place.
Shapes are in a box 1000 wide and 100 high that is stretched to its place; 0 is at the bottom of the box, y = 100.
"""

import math
from collections.abc import Sequence

import msgspec

WIDTH, HEIGHT = 1000, 100
GAP = 0.14
"""Of a bar's place that stays empty."""

TINIEST = 1e-300
"""Less than this is shown as nothing: the powers of ten end soon below it."""

Values = Sequence[float | None]


class Shape(msgspec.Struct, frozen=True):
    """One group's bars or line."""

    group: int
    """Its number in the legend."""
    path: str
    """`d` of an SVG path."""


def top_of(most: float) -> float:
    """The end of an axis that starts at 0: a round number not below `most` whose half is round too."""
    if most < TINIEST:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 2, 3, 4, 5, 6, 8, 10) if step * power >= most * 0.9999)


def stacked(groups: Sequence[Values]) -> tuple[float, list[Shape]]:
    """Bars on top of one another, the first group at the bottom; and the end of the axis."""
    count = max((len(values) for values in groups), default=0)
    sums = [sum(values[place] or 0 for values in groups) for place in range(count)]
    top = top_of(max(sums, default=0))
    floors = [0.0] * count
    shapes = []
    step = WIDTH / count if count else WIDTH
    for number, values in enumerate(groups):
        parts = []
        for place, value in enumerate(values):
            if not value:
                continue
            low, high = floors[place], floors[place] + value
            floors[place] = high
            # A bar that is there is at least a hair high.
            high = max(high, low + top * 0.004)
            left, wide = step * (place + GAP / 2), step * (1 - GAP)
            parts.append(f"M{_n(left)} {_n(_y(low, top))}V{_n(_y(high, top))}h{_n(wide)}V{_n(_y(low, top))}z")
        if parts:
            shapes.append(Shape(number, "".join(parts)))
    return top, shapes


def lines(groups: Sequence[Values]) -> tuple[float, list[Shape]]:
    """A line for each group, with gaps where there is no value; and the end of the axis."""
    top = top_of(max((value for values in groups for value in values if value is not None), default=0))
    shapes = []
    for number, values in enumerate(groups):
        step = WIDTH / len(values) if values else WIDTH
        parts = []
        drawing = False
        for place, value in enumerate(values):
            if value is None:
                drawing = False
                continue
            x, y = _n(step * (place + 0.5)), _n(_y(value, top))
            # A point between two gaps becomes a dot: the line has round ends.
            parts.append(f"L{x} {y}" if drawing else f"M{x} {y}h.01")
            drawing = True
        if parts:
            shapes.append(Shape(number, "".join(parts)))
    return top, shapes


def _y(value: float, top: float) -> float:
    return HEIGHT * (1 - value / top)


def _n(value: float) -> str:
    """A coordinate to a tenth, as short as it goes."""
    return f"{value:.1f}".removesuffix(".0")
