"""Dollars as people read them, everywhere: one form of writing, and one rule of rounding.

The form: `$`, the whole dollars with their thousands apart (`$1,234`), and, where the amount is not whole dollars, a
point and its digits: two at the least (`$450.50`), nine at the most (`$0.000000005`), no zeros behind the second. Below
zero a `-` stands first. Nothing is ever written as a power of ten, and zero has one form, `$0`.

`dollars` is exact to the nano-dollar: limits, refusals, and sums that somebody adds up. `about_dollars` is for figures
that are read at a glance or are not known better: the same form, of the amount rounded to four digits that say
something, but never coarser than a cent. Whole dollars without cents are whole dollars in both.

What it is not: what programs read; JSON, headers and metrics have nano-dollars or plain decimals.
"""

from decimal import Decimal

NANO = 10**9
"""Nano-dollars in a dollar."""

_CENT = NANO // 100


def dollars(nanousd: int) -> str:
    """Exact: `$500`, `$0.25`, `$1,204.771203`."""
    whole, rest = divmod(abs(nanousd), NANO)
    digits = f".{f'{rest:09d}'.rstrip('0').ljust(2, '0')}" if rest else ""
    return f"{'-' if nanousd < 0 else ''}${whole:,}{digits}"


def about_dollars(nanousd: float, digits: int = 4) -> str:
    """Rounded, half away from zero, to so many digits or to the cent, whichever is finer: `$1,204.77`, `$0.00351`."""
    size = abs(round(nanousd))
    step = 10 ** max(0, min(len(str(_CENT)) - 1, len(str(size)) - digits))
    near = (2 * size + step) // (2 * step) * step
    said = dollars(-near if nanousd < 0 and near else near)
    # What was rounded to whole dollars keeps its cents: without them it would say that it is exact.
    return said if near % NANO or near == size else f"{said}.00"


def price(usd: Decimal) -> str:
    """A price that is given in dollars, exact: those of the catalogue have six decimals at the most."""
    return dollars(int(usd * NANO))
