"""Burn-down charts as shapes: what was spent over a period, its limit, and the band that a forecast leads to.

What it is not: the figures (`admin.budget_history`) or colours (the style sheet's). Shapes are in the box of `drawing`.
"""

from collections.abc import Sequence

import msgspec

import trimtab.console.words as words
from trimtab.admin import AccountView, BudgetView, BurnDown, LineView, Standing
from trimtab.budgets.forecast import DAY_MS, Forecast
from trimtab.catalogue.money import NANO, about_dollars, dollars
from trimtab.console.drawing import HEIGHT, WIDTH, top_of
from trimtab.records import Meter

HIGHEST = 2.5
"""Of the limit, up to which a forecast is drawn to scale: the limit is at two fifths of the height then. What goes
beyond leaves the picture at a torn edge, with the figure that it leads to."""

HEADROOM = 1.02
"""So that the line of the limit is not the edge."""

FARTHEST_Y = 10_000
"""Heights of the picture above it: as far as coordinates go, so that a line leaves the picture where it should."""

TOOTH, TEETH = 12, 5
"""Width and height of a tooth of a torn edge."""

LABEL_FROM = 70
"""Per cent of the width: from here on a figure at a torn edge has no room to the right of where the line leaves."""

BAND_STEPS = 16
MARK = 12
"""Half the width of a mark."""

UNITS: dict[Meter, str] = {
    "usd": "",
    "tokens": " tokens",
    "input_tokens": " input tokens",
    "output_tokens": " output tokens",
    "requests": " requests",
    "concurrency": " in flight",
}


class Burning(msgspec.Struct, frozen=True, kw_only=True):
    """One chart with its words."""

    id: str
    title: str
    limit_words: str
    says: str
    """All of it in a sentence."""
    area: str
    line: str
    band: str
    """Empty where nothing sure is forecast."""
    ahead: str
    """The middle of the band; empty without a forecast."""
    torn: str
    """The edge at which the forecast leaves the picture; empty where all of it is in it."""
    torn_x: float
    """Per cent of the width."""
    torn_left: bool
    """Whether there is more room to the left of it."""
    beyond: str
    """Where the forecast leads that leaves the picture."""
    limit_y: float
    warn_y: float
    now_x: float
    top: str
    ticks: tuple[str, str, str]
    level: str
    """`ok`, `warned` or `reached`."""


def amount(meter: Meter, value: float) -> str:
    """With its unit."""
    return about_dollars(value) if meter == "usd" else f"{words.number(value)}{UNITS[meter]}"


def limit_amount(line: LineView) -> str:
    """A limit as it was set."""
    return dollars(line.limit) if line.meter == "usd" else amount(line.meter, line.limit)


def short_amount(meter: Meter, value: float) -> str:
    """As an axis has it."""
    return about_dollars(value) if meter == "usd" else words.short(value)


def per(line: LineView) -> str:
    """The period of a limit, in words."""
    if line.meter == "concurrency":
        return ""
    return " in all" if line.period == "total" else f" a {line.period}"


def level_of(budget: BudgetView, line: LineView, stand: Standing) -> str:
    """Where a limit stands."""
    if stand.spent >= line.limit:
        return "reached"
    return "warned" if 100 * stand.spent >= budget.warn_percent * line.limit else "ok"


def forecast_words(line: LineView, stand: Standing) -> str:
    """What is expected, in a sentence without its end; empty where nothing is to be said."""
    made = stand.forecast
    if made is None:
        return stand.forecast_note
    parts = []
    if made.at_end is not None:
        parts.append(f"{_about(line.meter, made.at_end)} at its end{_interval(line.meter, made)}")
    if not stand.left:
        parts.append("the limit is reached")
    elif made.reached_ms is None:
        parts.append("the limit is not reached" + (" within ten years" if line.renews_ms is None else ""))
    else:
        parts.append(f"the limit is reached {words.moment(made.reached_ms)[:16]}")
    if stand.left and made.reached_early_ms is not None and made.reached_early_ms != made.reached_ms:
        parts.append(f"at the earliest {words.moment(made.reached_early_ms)[:16]}")
    step = "day" if made.pace.step_ms == DAY_MS else "hour"
    return f"{', '.join(parts)} (by the pace of {words.plural(made.pace.steps, f'whole {step}')})"


def short_forecast(line: LineView, stand: Standing) -> str:
    """The same for a table."""
    made = stand.forecast
    if made is None:
        return stand.forecast_note.partition(":")[0]
    if made.at_end is not None:
        text = _about(line.meter, made.at_end)
        if (
            made.at_end_low is not None
            and made.at_end_high is not None
            and made.at_end_low < made.at_end_high
        ):
            text += f" ({_span(line.meter, made.at_end_low, made.at_end_high)})"
        return text
    return "never" if made.reached_ms is None else f"reached {words.moment(made.reached_ms)[:10]}"


def _interval(meter: Meter, made: Forecast) -> str:
    if made.at_end_low is None or made.at_end_high is None or made.at_end_low == made.at_end_high:
        return ""
    return f", with 95 % confidence {_span(meter, made.at_end_low, made.at_end_high)}"


def _about(meter: Meter, value: int) -> str:
    """A forecast, rounded: all digits would say more than is known."""
    return about_dollars(value) if meter == "usd" else amount(meter, value)


def burning(
    budget: BudgetView, line: LineView, account: AccountView, stand: Standing, curve: BurnDown, now_ms: int
) -> Burning:
    """The chart of one account."""
    made = stand.forecast
    highest = float(max(stand.spent, line.limit))
    if made is not None and made.at_end_high is not None:
        highest = max(highest, min(made.at_end_high, line.limit * HIGHEST))
    elif made is not None and made.at_end is not None:
        highest = max(highest, min(made.at_end, line.limit * HIGHEST))
    unit = NANO if line.meter == "usd" else 1.0
    top = top_of(highest * HEADROOM / unit) * unit
    span = max(1, curve.to_ms - curve.from_ms)

    def x(at_ms: float) -> str:
        return _n(WIDTH * min(max((at_ms - curve.from_ms) / span, 0.0), 1.0))

    def y(value: float) -> str:
        return _n(HEIGHT * (1 - min(max(value / top, 0.0), FARTHEST_Y)))

    points = [(x(point.at_ms), y(point.spent)) for point in curve.points]
    line_path = "M" + "L".join(f"{at} {height}" for at, height in points)
    if len(points) == 1:
        # Only where it stands is known: a mark at the present.
        line_path = f"M{_n(max(float(points[0][0]) - MARK, 0))} {points[0][1]}h{2 * MARK}"
    area = f"M{points[0][0]} {HEIGHT}" + "".join(f"L{at} {height}" for at, height in points) + f"V{HEIGHT}z"
    band, ahead, torn_x, beyond = "", "", 0.0, ""
    if made is not None and curve.to_ms > now_ms:
        later = [(now_ms + (curve.to_ms - now_ms) * step / BAND_STEPS) for step in range(BAND_STEPS + 1)]
        ends = [(at, made.pace.later(stand.spent, at - now_ms)) for at in later]
        ahead = "M" + "L".join(f"{x(at)} {y(middle)}" for at, (_, middle, _) in ends)
        if made.pace.spread is not None:
            upper = "L".join(f"{x(at)} {y(high)}" for at, (_, _, high) in ends)
            lower = "L".join(f"{x(at)} {y(low)}" for at, (low, _, _) in reversed(ends))
            band = f"M{upper}L{lower}z"
        if (leaves := _leaves([(at, high) for at, (_, _, high) in ends], top)) is not None:
            torn_x = float(x(leaves))
            beyond = _leads_to(line.meter, ends[-1][1], top)
    limit = f"{limit_amount(line)}{per(line)}"
    title = f"{budget.name}: {limit}" if budget.who != "*" else f"{budget.name}, {account.scope}: {limit}"
    expected = forecast_words(line, stand)
    if expected:
        expected = f"Expected: {expected}" if made is not None else f"Forecast: {expected}"
    says = (
        f"{amount(line.meter, stand.spent)} of {limit} spent ({words.share(stand.spent, line.limit)}), "
        f"{amount(line.meter, stand.left)} left"
    )
    return Burning(
        id=f"{budget.name}-{line.field}-{account.scope}",
        title=title,
        limit_words=limit,
        says=f"{says}.{f' {expected}.' if expected else ''}",
        area=area,
        line=line_path,
        band=band,
        ahead=ahead,
        torn=_torn_edge(torn_x) if beyond else "",
        torn_x=100 * torn_x / WIDTH,
        torn_left=100 * torn_x / WIDTH > LABEL_FROM,
        beyond=beyond,
        limit_y=HEIGHT * (1 - line.limit / top),
        warn_y=HEIGHT * (1 - line.limit * budget.warn_percent / 100 / top),
        now_x=100 * min(max((now_ms - curve.from_ms) / span, 0.0), 1.0),
        top=short_amount(line.meter, top),
        ticks=(_tick(curve.from_ms, span), "now", _tick(curve.to_ms, span)),
        level=level_of(budget, line, stand),
    )


def _leaves(ends: Sequence[tuple[float, float]], top: float) -> float | None:
    """When a rising line is above the picture; `None` where it never is."""
    before = ends[0]
    for at, value in ends:
        if value > top:
            rise = value - before[1]
            return at if rise <= 0 else before[0] + (at - before[0]) * max(0.0, top - before[1]) / rise
        before = (at, value)
    return None


def _leads_to(meter: Meter, end: tuple[float, float, float], top: float) -> str:
    """The figure at the end of what is drawn, short: the middle, or where that is within the picture, the upper end.
    The sentence below the picture has all of it."""
    _, middle, high = end
    return f"↑ to {short_amount(meter, middle)}" if middle > top else f"↑ up to {short_amount(meter, high)}"


def _span(meter: Meter, low: int, high: int) -> str:
    """From the lower end to the upper one, the unit said once."""
    return f"{_about(meter, low) if meter == 'usd' else words.number(low)} to {_about(meter, high)}"


def _torn_edge(from_x: float) -> str:
    """Teeth of the paper's colour along the upper edge, from here to the right."""
    teeth = "".join(
        f"l{TOOTH / 2:g} {TEETH}l{TOOTH / 2:g} {-TEETH}" for _ in range(int((WIDTH - from_x) // TOOTH) + 1)
    )
    return f"M{_n(from_x)} 0{teeth}V-1H{_n(from_x)}z"


def _tick(at_ms: int, span_ms: int) -> str:
    return words.minute_of_day(at_ms) if span_ms <= DAY_MS else words.moment(at_ms)[:10]


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
