"""The surface as a page with every figure, and as a picture. Both say that it is simulated."""

import html

from task_model.surface import Point, Surface

CELL_W, CELL_H, LEFT, GAP, HEAD, TITLE = 40, 17, 44, 26, 46, 78
BETTER, WORSE, NEITHER = (11, 122, 117), (181, 84, 45), (228, 233, 236)
MOST = 25.0
"""Points at which a colour is full."""


def table(surface: Surface) -> str:
    """The page."""
    scarcities = sorted({point.scarcity for point in surface.points})
    head = " | ".join(f"total {scarcity:g}×" for scarcity in scarcities)
    lines = [
        "# Phases against one undivided budget: the whole surface",
        "",
        "**Simulated.** Written by `python benchmarks/phases.py --write`; what it means, and the task model, is in",
        "[benchmarks.md](benchmarks.md). Each cell: the mean quality with the undivided budget (of 100), and the",
        f"difference that phases make, with its 95 % interval over {surface.tasks} tasks. **Bold** is worse, plain is",
        "better, `~` no difference (the interval holds 0). Columns: the total as a multiple of what a task needs on",
        "average. Rows: how far what a phase needs is from what is expected (standard deviation of its logarithm).",
        "",
        surface.summary(),
    ]
    for arm in surface.arms:
        for panel in surface.panels:
            shares, heeding, curve = panel
            found = [one for one in surface.points if one.arm == arm and one.panel == panel]
            title = f"## {arm}: shares {shares}, agent {heeding}, curve {curve:g}"
            lines += ["", title, "", f"| spread | {head} |"]
            lines.append("|---" * (len(scarcities) + 1) + "|")
            for spread in sorted({one.spread for one in found}):
                row = sorted((one for one in found if one.spread == spread), key=lambda one: one.scarcity)
                lines.append(f"| {spread:g} | " + " | ".join(map(_cell, row)) + " |")
    return "\n".join(lines) + "\n"


def _cell(point: Point) -> str:
    said = f"{point.gain:+.1f} ± {point.margin:.1f}"
    shown = {"worse": f"**{said}**", "better": said}.get(point.verdict, f"~ {said}")
    return f"{point.base:.0f}: {shown}"


def chart(surface: Surface) -> str:
    """The picture: a column of panels for each way to divide."""
    scarcities = sorted({point.scarcity for point in surface.points})
    spreads = sorted({point.spread for point in surface.points})
    wide = LEFT + CELL_W * len(scarcities) + GAP
    high = HEAD + CELL_H * len(spreads) + 12
    width, height = 16 + wide * len(surface.arms), TITLE + high * len(surface.panels) + 20
    title = "Simulated: what phases gain over one undivided budget with a final reserve, in points of 100"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{html.escape(title)}" font-family="sans-serif" font-size="11">',
        "<style>.c,.d{text-anchor:middle;fill:#1c2529}.d{fill:#ffffff}</style>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(12, 22, title, size=14, bold=True),
        _text(
            12,
            42,
            "Green: better. Brown: worse. Grey: the 95 % interval holds 0. Across: the total, × of what is needed on "
            "average.",
        ),
        _text(12, 57, "Down: how uncertain each phase's need is. Rows of panels: shares, agent, curve."),
    ]
    for column, arm in enumerate(surface.arms):
        left = 12 + wide * column
        parts.append(_text(left, TITLE, arm, size=12, bold=True))
        for row, panel in enumerate(surface.panels):
            top = TITLE + 8 + high * row
            shares, heeding, curve = panel
            parts.append(_text(left, top + 14, f"{shares}, {heeding}, curve {curve:g}", colour="#56636b"))
            found = {
                (one.spread, one.scarcity): one
                for one in surface.points
                if one.arm == arm and one.panel == panel
            }
            for x, scarcity in enumerate(scarcities):
                at = left + LEFT + CELL_W * x + CELL_W / 2
                parts.append(_text(at, top + 30, f"{scarcity:g}×", anchor="middle", colour="#56636b"))
                for y, spread in enumerate(spreads):
                    parts.append(
                        _square(found[spread, scarcity], left + LEFT + CELL_W * x, top + 35 + CELL_H * y)
                    )
            for y, spread in enumerate(spreads):
                parts.append(
                    _text(
                        left + LEFT - 6, top + 47 + CELL_H * y, f"{spread:g}", anchor="end", colour="#56636b"
                    )
                )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _square(point: Point, x: float, y: float) -> str:
    strength = min(1.0, 0.25 + 0.75 * abs(point.gain) / MOST)
    base = {"better": BETTER, "worse": WORSE}.get(point.verdict, NEITHER)
    mixed = base if base == NEITHER else tuple(round(255 + (one - 255) * strength) for one in base)
    dark = base != NEITHER and strength > 0.6
    label = f"{point.gain:+.0f}" if abs(point.gain) >= 0.5 else "0"
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{CELL_W - 1}" height="{CELL_H - 1}" fill="rgb{mixed}"/>'
        f'<text x="{x + CELL_W / 2:g}" y="{y + 12:g}" class="{"d" if dark else "c"}">{label}</text>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 11,
    bold: bool = False,
    anchor: str = "start",
    colour: str = "#1c2529",
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}"{weight} text-anchor="{anchor}" fill="{colour}">'
        f"{html.escape(text)}</text>"
    )
