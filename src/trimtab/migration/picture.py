"""The report as a picture: for each content class two bars, what its input costs before and after.

What it is not: a page, or a chart library. Invariant: an SVG that stands alone, without scripts, fonts or links.
"""

from xml.sax.saxutils import escape

from trimtab.catalogue.money import NANO, about_dollars
from trimtab.migration.report import Report, Share

WIDTH = 980
ROW = 46
LEFT, RIGHT = 320, 220
TOP, BOTTOM = 104, 44
MOST_ROWS = 12

BEFORE, AFTER, WHISKER = "#9aa5b1", "#2f6fb5", "#12304f"


def drawn(report: Report) -> str:
    """The SVG."""
    shares = _rows(report)
    height = TOP + ROW * len(shares) + BOTTOM
    most = (
        max([edge for one in shares for edge in (one.before_usd, one.after_usd, _edges(one)[1])], default=0)
        or 1
    )
    scale = (WIDTH - LEFT - RIGHT) / most
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#1f2933">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="24" y="34" font-size="19" font-weight="600">{escape(report.before)} &#8594; {escape(report.after)}: '
        "what input costs, by content</text>",
        f'<text x="24" y="58">{escape(_headline(report))}</text>',
        f'<rect x="24" y="72" width="12" height="12" fill="{BEFORE}"/>',
        f'<text x="42" y="83">{escape(report.before)}</text>',
        f'<rect x="264" y="72" width="12" height="12" fill="{AFTER}"/><text x="282" y="83">{escape(report.after)}, '
        "with the interval of 95 %</text>",
    ]
    for place, one in enumerate(shares):
        parts += _row(one, TOP + place * ROW, scale)
    foot = (
        f"Input at list price of {report.day}, uncached, {report.requests:,} requests. "
        f"Tokens by {', '.join(report.sources)}."
    )
    parts.append(f'<text x="24" y="{height - 16}" font-size="12" fill="#52606d">{escape(foot)}</text></svg>')
    return "\n".join(parts) + "\n"


def _headline(report: Report) -> str:
    low, high = report.input_ratio.low - 1, report.input_ratio.high - 1
    return f"input tokens {report.input_before:,} to {report.input_after:,}, {low:+.0%} to {high:+.0%}"


def _edges(one: Share) -> tuple[float, float]:
    """What it costs after at both ends of the interval."""
    point = one.after / one.before if one.before and one.after else 0.0
    if not point:
        return one.after_usd, one.after_usd
    return one.after_usd / point * one.ratio.low, one.after_usd / point * one.ratio.high


def _row(one: Share, top: float, scale: float) -> list[str]:
    low, high = _edges(one)
    middle = top + 28
    change = f"{one.after_usd / one.before_usd - 1:+.0%}" if one.before_usd else "new"
    return [
        f'<text x="{LEFT - 12}" y="{top + 25}" text-anchor="end">{escape(one.about)}</text>',
        f'<rect x="{LEFT}" y="{top + 6}" width="{max(one.before_usd * scale, 1):.1f}" height="14" fill="{BEFORE}"/>',
        f'<rect x="{LEFT}" y="{top + 21}" width="{max(one.after_usd * scale, 1):.1f}" height="14" fill="{AFTER}"/>',
        f'<path d="M{LEFT + low * scale:.1f} {middle}H{LEFT + high * scale:.1f}" stroke="{WHISKER}" stroke-width="2"/>',
        f'<text x="{LEFT + max(one.before_usd, one.after_usd, high) * scale + 10:.1f}" y="{top + 25}">'
        f"{about_dollars(one.before_usd * NANO, 3)} &#8594; {about_dollars(one.after_usd * NANO, 3)} ({change})</text>",
    ]


def _rows(report: Report) -> list[Share]:
    """All of it, and the largest classes."""
    largest = sorted(report.shares, key=lambda one: -max(one.before_usd, one.after_usd))[:MOST_ROWS]
    whole = Share(
        name="all",
        about="all input",
        before=report.input_before,
        after=report.input_after,
        ratio=report.input_ratio,
        before_usd=sum([one.before_usd for one in report.shares]),
        after_usd=sum([one.after_usd for one in report.shares]),
    )
    return [whole, *largest]
