"""The table and the picture of the benchmark of cascades."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from cascade_model.expecting import Must
from cascade_model.judging import Line, Says
from cascade_model.settings import Setting

ROW, TOP, LEFT, PANEL, GAP = 19, 96, 262, 232, 40
INK, FAINT, LINE = "#1c2529", "#56636b", "#d5dbdf"
COLOURS: dict[Says, str] = {"pass": "#1f6f54", "fail": "#b3261e", "inconclusive": "#8a6d1a"}


@dataclass(frozen=True)
class Axis:
    """Of one figure."""

    name: str
    of: str
    low: float
    high: float
    ticks: tuple[float, ...]


AXES = (
    Axis("right answers", "of all requests", 0.5, 1.0, (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)),
    Axis("escalated", "of all requests", 0.0, 0.75, (0.0, 0.25, 0.5, 0.75)),
    Axis("cost of a request", "× the top rung alone", 0.0, 2.1, (0.0, 0.5, 1.0, 1.5, 2.0)),
)


@dataclass(frozen=True)
class Found:
    """A setting, and what came of it."""

    setting: Setting
    must: Must
    lines: tuple[Line, Line, Line]
    """Right, escalated, cost."""

    @property
    def says(self) -> Says:
        """One that fails decides, else one that is inconclusive."""
        said = {line.says for line in self.lines}
        return "fail" if "fail" in said else "inconclusive" if "inconclusive" in said else "pass"


def table(found: Sequence[Found]) -> str:
    """Markdown: of each figure what must come of it, what was measured, and its own 95 % interval."""
    rows = [
        "| setting | | right: must, measured | escalated: must, measured | cost in $0.001: must, measured | × top | |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found:
        right, escalated, cost = one.lines
        cells = [_rate(right), _rate(escalated), _cost(cost)]
        ratio = f"{cost.measured / one.must.top.cost:.2f}"
        rows.append(
            f"| {one.setting.name} | {one.setting.about} | {' | '.join(cells)} | {ratio} | {one.says} |"
        )
    return "\n".join(rows)


def _rate(line: Line) -> str:
    low, high = 100 * line.own.low, 100 * line.own.high
    outside = " *" if line.outside_own else ""
    return f"{100 * line.expected:.1f} %, {100 * line.measured:.1f} ({low:.1f} to {high:.1f}){outside}"


def _cost(line: Line) -> str:
    low, high = line.own.low / 1e6, line.own.high / 1e6
    outside = " *" if line.outside_own else ""
    if high - low < 1e-9:
        return f"{line.expected / 1e6:.3f}, {line.measured / 1e6:.3f} (each the same){outside}"
    return f"{line.expected / 1e6:.3f}, {line.measured / 1e6:.3f} ({low:.3f} to {high:.3f}){outside}"


def chart(found: Sequence[Found], requests: int) -> str:
    """A row for each setting: marks where each figure must lie, and its interval with which all hold together."""
    width = LEFT + 3 * (PANEL + GAP)
    height = TOP + ROW * len(found) + 18
    title = "Simulated: cascades through the gateway, measured beside what must come of them"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{html.escape(title)}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(12, 22, title, size=14, bold=True),
        _text(
            12,
            42,
            f"Upright marks: worked out beforehand. Dots: measured, {requests} requests each. Bars: the interval with "
            "which all of them together hold with 95 %.",
        ),
    ]
    for column, axis in enumerate(AXES):
        left = LEFT + column * (PANEL + GAP)
        scale = PANEL / (axis.high - axis.low)
        parts.append(_text(left, 66, axis.name, bold=True))
        parts.append(_text(left + PANEL, 66, axis.of, anchor="end", colour=FAINT))
        for value in axis.ticks:
            x = left + (value - axis.low) * scale
            parts.append(
                f'<line x1="{x:g}" y1="{TOP - 8}" x2="{x:g}" y2="{TOP + ROW * len(found)}" stroke="{LINE}"/>'
            )
            label = f"{100 * value:.0f} %" if column < 2 else f"{value:g}"
            parts.append(_text(x, TOP - 14, label, anchor="middle", colour=FAINT, size=10))
        for row, one in enumerate(found):
            unit = one.must.top.cost if column == 2 else 1.0
            parts += _mark(one.lines[column], left, TOP + ROW * row + ROW / 2, axis, unit)
    for row, one in enumerate(found):
        parts.append(_text(LEFT - 14, TOP + ROW * row + ROW / 2 + 4, one.setting.name, anchor="end"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _mark(line: Line, left: float, y: float, axis: Axis, unit: float) -> list[str]:
    def place(value: float) -> float:
        part = (value / unit - axis.low) / (axis.high - axis.low)
        return left + PANEL * min(max(part, 0.0), 1.0)

    low, high, at, must = map(place, (line.family.low, line.family.high, line.measured, line.expected))
    colour = COLOURS[line.says]
    return [
        f'<line x1="{low:.1f}" y1="{y:g}" x2="{high:.1f}" y2="{y:g}" stroke="{colour}" stroke-width="3" '
        f'stroke-opacity="0.35"/>',
        f'<line x1="{must:.1f}" y1="{y - 6:g}" x2="{must:.1f}" y2="{y + 6:g}" stroke="{INK}" stroke-width="1.5"/>',
        f'<circle cx="{at:.1f}" cy="{y:g}" r="3" fill="{colour}"/>',
    ]


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 11,
    bold: bool = False,
    anchor: str = "start",
    colour: str = INK,
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}"{weight} text-anchor="{anchor}" fill="{colour}">'
        f"{html.escape(text)}</text>"
    )
