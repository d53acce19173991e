"""How pages write figures: tokens, times, shares, and money as it is written everywhere (`catalogue.money`).

Every figure leaves with its unit.

What it is not: rounding of what is kept; the JSON of each page has the exact values.
"""

import datetime
import math
from collections.abc import Callable, Mapping

from trimtab.catalogue.money import about_dollars, dollars

NBSP = "\u00a0"
"""Between a figure and its unit, which a line break must not part."""


def number(value: float) -> str:
    """A count with its thousands apart."""
    return f"{value:,.0f}"


def short(value: float) -> str:
    """A count in four characters or so: 1.2k, 34M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size * 0.9995:
            scaled = value / size
            return f"{scaled:.1f}".removesuffix(".0") + unit if scaled < 99.95 else f"{scaled:,.0f}{unit}"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def duration(ms: float | None) -> str:
    """Milliseconds as people read them."""
    if ms is None:
        return "–"
    if ms == 0:
        return f"0{NBSP}ms"
    if ms < 0.995:
        return f"{ms:.2f}{NBSP}ms"
    if ms < 99.95:
        return f"{ms:.1f}{NBSP}ms"
    if ms < 999.5:
        return f"{ms:.0f}{NBSP}ms"
    seconds = ms / 1000
    if seconds < 59.95:
        return f"{seconds:.2f}{NBSP}s" if seconds < 9.995 else f"{seconds:.1f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min {rest}{NBSP}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{NBSP}h {minutes}{NBSP}min"


def size(value: int) -> str:
    """Bytes."""
    if value < 1000:
        return f"{value}{NBSP}B"
    return f"{value / 1000:,.1f}{NBSP}kB" if value < 1e6 else f"{value / 1e6:,.1f}{NBSP}MB"


def share(part: float, whole: float) -> str:
    """A part of a whole in per cent; a dash where there is no whole."""
    if not whole:
        return "–"
    rate = 100 * part / whole
    if 0 < rate < 0.1:
        return f"<{NBSP}0.1{NBSP}%"
    return f"{rate:.0f}{NBSP}%" if rate in (0, 100) else f"{rate:.1f}{NBSP}%"


def percent(part: float) -> str:
    """A part of 1 in per cent; what is far beyond the whole is only said to be so."""
    return f">{NBSP}1,000{NBSP}%" if part > 10 else share(part, 1)


def wilson(part: int, whole: int) -> tuple[float, float]:
    """Between which parts of 1 a share lies with 95 % confidence; `whole` is more than 0.

    **Source:** Wilson (1927), the score interval.
    """
    z = 1.96
    rate = part / whole
    middle = rate + z * z / (2 * whole)
    reach = z * math.sqrt(rate * (1 - rate) / whole + z * z / (4 * whole * whole))
    low, high = ((middle + sign * reach) / (1 + z * z / whole) for sign in (-1, 1))
    # Exact at the ends, which rounding would miss by a hair.
    return low if part else 0.0, high if part < whole else 1.0


def interval(part: int, whole: int) -> str:
    """The 95 % confidence interval of a share, in per cent."""
    if not whole:
        return "–"
    low, high = (100 * end for end in wilson(part, whole))
    digits = 1 if high >= 1 else 2
    return f"{low:.{digits}f} to {high:.{digits}f}{NBSP}%"


def change(now: float | None, before: float | None) -> str:
    """How much more or less than before; empty where that says nothing."""
    if not now or not before:
        return ""
    ratio = now / before
    if ratio >= 10:
        return f"{ratio:,.0f} times"
    return (
        f"±0{NBSP}%"
        if round(100 * (ratio - 1)) == 0
        else f"{100 * (ratio - 1):+.0f}{NBSP}%".replace("-", "−")
    )


def moment(ms: int) -> str:
    """Unix milliseconds as date and time of day, UTC."""
    return _at(ms).strftime("%Y-%m-%d %H:%M:%S")


def time_of_day(ms: int) -> str:
    """The time of day alone, UTC."""
    return _at(ms).strftime("%H:%M:%S")


def minute_of_day(ms: int) -> str:
    """The time of day without its seconds, UTC."""
    return _at(ms).strftime("%H:%M")


def exact_moment(ms: int) -> str:
    """The same to the millisecond."""
    return _at(ms).strftime("%Y-%m-%d %H:%M:%S.") + f"{ms % 1000:03d}"


def machine_time(ms: int) -> str:
    """For `datetime` attributes."""
    return _at(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plural(count: int, one: str, many: str = "") -> str:
    """`1 attempt`, `2 attempts`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _at(ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)


FILTERS: Mapping[str, Callable[..., object]] = {
    "dollars": dollars,
    "about_dollars": about_dollars,
    "number": number,
    "short": short,
    "duration": duration,
    "size": size,
    "moment": moment,
    "time_of_day": time_of_day,
    "minute_of_day": minute_of_day,
    "share": share,
    "percent": percent,
    "interval": interval,
    "change": change,
    "exact_moment": exact_moment,
    "machine_time": machine_time,
    "plural": plural,
}
