"""The frontier of a class of work: success against cost, with intervals on both, as a picture (SVG).

What it is not: a judgement; what lies beside a point's intervals is decided by `comparing`. Invariants: the picture
stands by itself (no script, no font, no link); whatever stands in names is text in it; simulated figures say so, large.
"""

import math
from collections.abc import Sequence
from html import escape

from trimtab.catalogue.money import NANO, about_dollars
from trimtab.efforts.table import Cell, ClassTable, arms_of

WIDTH, HEIGHT = 880, 560
LEFT, RIGHT, TOP, BOTTOM = 78, 28, 96, 92
"""Room around the plot, in pixels."""

COLOURS = ("#0b5fa5", "#b4440b", "#1d7a46", "#7a3fa0", "#8a6d00", "#a0124f", "#4b5563")
"""By model; each has a contrast of 4.5 against white."""

SHAPES = ("circle", "square", "diamond", "triangle")
"""By model too, for those who do not tell the colours apart."""


WIDE_PX = 0.58
"""The width of a letter by the size of its font, in bold, with some room."""

NAME_PX = 16
"""The height of a name beside its point."""


def shown_cells(table: ClassTable) -> list[Cell]:
    """Those of which both cost and success are known, the cheapest first."""
    both = [cell for cell in table.cells if cell.cost_nanousd is not None and cell.success is not None]
    return sorted(both, key=_cost)


def frontier(table: ClassTable) -> list[Cell]:
    """Those that no other one beats in cost without being beaten in success, by their middle figures; the cheapest
    first."""
    kept: list[Cell] = []
    for cell in shown_cells(table):
        if not kept or _success(cell) > _success(kept[-1]):
            kept.append(cell)
    return kept


def draw_frontier(table: ClassTable, *, simulated: bool, period: str) -> str:
    """The picture. `period` says from when the figures are."""
    cells = shown_cells(table)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#1f2933" role="img">',
        f"<title>{escape(_title(table))}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 30, _title(table), size=_title_size(_title(table)), weight="600"),
        _text(LEFT, 52, f"{period}; bars: intervals of 95 %; dashed: the frontier", colour="#52606d"),
    ]
    if simulated:
        parts.append(_stamp())
    if not cells:
        parts.append(_text(WIDTH / 2, HEIGHT / 2, "no data", size=22, anchor="middle", colour="#52606d"))
    else:
        parts += _Plot(table, cells).drawn()
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


class _Plot:
    """Axes, bars and points."""

    def __init__(self, table: ClassTable, cells: Sequence[Cell]) -> None:
        self._table = table
        self._cells = cells
        costs = [cell.cost_nanousd for cell in cells if cell.cost_nanousd is not None]
        rates = [cell.success for cell in cells if cell.success is not None]
        low = max(min(one.low for one in costs), 1.0) / NANO
        high = max(max(one.high for one in costs) / NANO, low * 1.2)
        room = (high / low) ** 0.06
        self._low, self._high = low / room, high * room
        self._floor = max(math.floor((min(one.low for one in rates) - 0.02) * 10) / 10, 0.0)
        self._top = min(math.ceil((max(one.high for one in rates) + 0.01) * 20) / 20, 1.0)
        self._named: list[tuple[float, float, float]] = []
        """Left, right and foot of each name that is written."""

    def drawn(self) -> list[str]:
        models = [model for model, _ in arms_of(self._table)]
        parts = [*self._axes(), self._line()]
        for cell in self._cells:
            number = models.index(cell.model)
            parts += self._point(cell, COLOURS[number % len(COLOURS)], SHAPES[number % len(SHAPES)], number)
        shown = [model for model in models if any(cell.model == model for cell in self._cells)]
        place = float(LEFT)
        for model in shown:
            number = models.index(model)
            colour = COLOURS[number % len(COLOURS)]
            parts.append(_mark(SHAPES[number % len(SHAPES)], place + 6, 73, colour))
            parts.append(_text(place + 18, 78, model, colour=colour, weight="600"))
            place += 40 + 8.2 * len(model)
        return parts

    def _x(self, usd: float) -> float:
        share = math.log(usd / self._low) / math.log(self._high / self._low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def _y(self, rate: float) -> float:
        return TOP + (self._top - rate) / (self._top - self._floor) * (HEIGHT - TOP - BOTTOM)

    def _axes(self) -> list[str]:
        foot, parts = HEIGHT - BOTTOM, []
        step = 0.05 if self._top - self._floor <= 0.4 else 0.1
        for n in range(round((self._top - self._floor) / step) + 1):
            rate = self._floor + n * step
            y = self._y(rate)
            parts.append(_rule(LEFT, y, WIDTH - RIGHT, y, "#e4e7eb"))
            parts.append(_text(LEFT - 10, y + 4, f"{100 * rate:.0f} %", anchor="end", colour="#52606d"))
        for usd in _ticks(self._low, self._high):
            x = self._x(usd)
            parts.append(_rule(x, TOP, x, foot, "#eef1f4"))
            parts.append(_text(x, foot + 20, about_dollars(usd * NANO), anchor="middle", colour="#52606d"))
        parts.append(_rule(LEFT, foot, WIDTH - RIGHT, foot, "#9aa5b1"))
        parts.append(
            _text(
                (LEFT + WIDTH - RIGHT) / 2,
                foot + 46,
                f"cost of a {self._table.unit}, US dollars (each step the same factor)",
                anchor="middle",
            )
        )
        middle = (TOP + foot) / 2
        parts.append(
            f'<text x="20" y="{middle:.0f}" text-anchor="middle" transform="rotate(-90 20 {middle:.0f})">'
            "success, of what was told of</text>"
        )
        return parts

    def _line(self) -> str:
        points = " ".join(
            f"{self._x(_cost(cell) / NANO):.1f},{self._y(_success(cell)):.1f}"
            for cell in frontier(self._table)
        )
        return (
            f'<polyline points="{points}" fill="none" stroke="#323f4b" stroke-width="1.5" '
            'stroke-dasharray="6 5" opacity="0.7"/>'
        )

    def _point(self, cell: Cell, colour: str, shape: str, number: int) -> list[str]:
        assert cell.cost_nanousd is not None
        assert cell.success is not None
        x, y = self._x(_cost(cell) / NANO), self._y(_success(cell))
        left, right = (
            self._x(max(one, 1.0) / NANO) for one in (cell.cost_nanousd.low, cell.cost_nanousd.high)
        )
        low, high = self._y(cell.success.low), self._y(cell.success.high)
        told = (
            f"{cell.arm}: {100 * _success(cell):.1f} % of {cell.success.told}, {about_dollars(_cost(cell))}"
        )
        name = cell.effort or "default"
        name_x, name_y = self._free(x, y, len(name) * 13 * WIDE_PX, above=number % 2 == 0)
        return [
            f"<g><title>{escape(told)}</title>",
            _rule(x, low, x, high, colour, 2),
            _rule(left, y, right, y, colour, 2),
            _rule(x - 4, low, x + 4, low, colour, 2),
            _rule(x - 4, high, x + 4, high, colour, 2),
            _mark(shape, x, y, colour),
            _text(name_x, name_y, name, colour=colour, weight="600", halo=True),
            "</g>",
        ]

    def _free(self, x: float, y: float, width: float, *, above: bool) -> tuple[float, float]:
        """Where the name of a point covers no other: names of one model above its points, of the next one below; else
        on the other side, at its left, and at last further and further off."""
        first, second = (y - 10, y + 20) if above else (y + 20, y - 10)
        away = [foot + NAME_PX * n * (1 if foot > y else -1) for n in range(1, 4) for foot in (first, second)]
        for foot in (first, second, *away):
            for left in (x + 9, x - 9 - width):
                right = left + width
                if right > WIDTH or left < 0:
                    continue
                if all(
                    right < one or left > other or abs(foot - at) >= NAME_PX for one, other, at in self._named
                ):
                    self._named.append((left, right, foot))
                    return left, foot
        return x + 9, first


def _title(table: ClassTable) -> str:
    return f"{table.task_class or '(no class)'}: success against cost of a {table.unit}, by model and effort"


def _title_size(title: str) -> int:
    """Smaller where the name of the class is long, so that the stamp does not cover it."""
    return max(11, min(18, int((WIDTH - LEFT - RIGHT - 136) / (WIDE_PX * max(len(title), 1)))))


def _stamp() -> str:
    return (
        f'<g><rect x="{WIDTH - RIGHT - 126}" y="12" width="126" height="26" rx="3" fill="#b42318"/>'
        f'<text x="{WIDTH - RIGHT - 63}" y="30" text-anchor="middle" fill="#ffffff" font-weight="700" '
        'letter-spacing="1">SIMULATED</text></g>'
    )


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten, or only some of them where that is too many, or more where it is under three."""
    usual = _steps(low, high, (1, 2, 5))
    if len(usual) > 8:
        for fewer in ((1, 3), (1,)):
            usual = _steps(low, high, fewer)
            if len(usual) <= 8:
                break
    elif len(usual) < 3:  # less than a factor of five: equal steps are far enough from each other there
        power = 10.0 ** math.floor(math.log10(high - low))
        for step in (power / 5, power / 2, power, 2 * power):
            found = [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
            if len(found) <= 6:
                return found if len(found) > len(usual) else usual
    return usual


def _steps(low: float, high: float, steps: Sequence[float]) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = [10.0**power for power in range(first, last + 1)]
    return [step * power for power in powers for step in steps if low <= step * power <= high]


def _cost(cell: Cell) -> float:
    return max(cell.cost_nanousd.value, 1.0) if cell.cost_nanousd is not None else 1.0


def _success(cell: Cell) -> float:
    return cell.success.value if cell.success is not None else 0.0


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def _mark(shape: str, x: float, y: float, colour: str) -> str:
    style = f'fill="{colour}" stroke="#ffffff" stroke-width="1.2"'
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" {style}/>'
    corners = {
        "square": ((-5, -5), (5, -5), (5, 5), (-5, 5)),
        "diamond": ((0, -7), (7, 0), (0, 7), (-7, 0)),
        "triangle": ((0, -7), (6.5, 5), (-6.5, 5)),
    }[shape]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" {style}/>'


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 13,
    anchor: str = "start",
    colour: str = "#1f2933",
    weight: str = "400",
    halo: bool = False,
) -> str:
    around = ' stroke="#ffffff" stroke-width="3" paint-order="stroke"' if halo else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" '
        f'font-weight="{weight}"{around}>{escape(text)}</text>'
    )
