"""The chart of the benchmark: processor time by target, as SVG text on a logarithmic scale, whatever is drawn."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, LEFT, RIGHT = 760, 150, 90
ROW, BAR, HEAD, FOOT = 22, 14, 34, 26
COLOURS = {"nginx": "#7a8691", "trimtab": "#0b7a75", "litellm": "#b5542d", "portkey": "#8a6bb0"}
OTHER = "#9fb8b6"


@dataclass(frozen=True)
class Panel:
    """A group of bars that are compared with one another."""

    title: str
    rows: Sequence[tuple[str, float]]
    """Name and value; values are greater than 0."""


def draw(title: str, unit: str, panels: Sequence[Panel]) -> str:
    """The chart. All panels share the scale, which begins at 1 or below and ends at a power of ten."""
    values = [value for panel in panels for _, value in panel.rows]
    low, high = min(0, math.floor(math.log10(min(values)))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)
    scale = (WIDTH - LEFT - RIGHT) / (high - low)
    height = HEAD + sum(ROW * (len(panel.rows) + 1) + 10 for panel in panels) + FOOT

    def x(value: float) -> float:
        return LEFT + (math.log10(value) - low) * scale

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{html.escape(title)}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="14" font-weight="bold" fill="#1c2529">{html.escape(title)}</text>',
    ]
    for power in range(low, high + 1):
        at = x(10**power)
        parts.append(
            f'<line x1="{at:.1f}" y1="{HEAD}" x2="{at:.1f}" y2="{height - FOOT}" stroke="#dde3e6"/>'
            f'<text x="{at:.1f}" y="{height - 10}" text-anchor="middle" fill="#56636b">'
            f"{10**power:,} {html.escape(unit)}</text>"
        )
    y = float(HEAD)
    for panel in panels:
        y += ROW
        parts.append(
            f'<text x="12" y="{y - 6:.1f}" font-weight="bold" fill="#1c2529">{html.escape(panel.title)}</text>'
        )
        for name, value in panel.rows:
            middle = y + ROW / 2
            parts.append(
                f'<text x="{LEFT - 8}" y="{middle + 4:.1f}" text-anchor="end" fill="#1c2529">{html.escape(name)}</text>'
                f'<rect x="{LEFT}" y="{middle - BAR / 2:.1f}" width="{max(1.0, x(value) - LEFT):.1f}" '
                f'height="{BAR}" fill="{COLOURS.get(name, OTHER)}"/>'
                f'<text x="{x(value) + 6:.1f}" y="{middle + 4:.1f}" fill="#1c2529">{_figure(value)}</text>'
            )
            y += ROW
        y += 10
    return "\n".join([*parts, "</svg>", ""])


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
