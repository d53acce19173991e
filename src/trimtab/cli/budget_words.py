"""Limits as they are typed on the command line: `usd_per_month=500`, in the words of the file.

What it is not: whether a limit can be meant; `admin` knows that.
"""

import difflib
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from trimtab.budgets.settings import LIMITS
from trimtab.errors import ConfigError, quoted, shortened
from trimtab.records import RESERVES, Reserve

NONE = "none"

MAX_AMOUNT_CHARS = 40


def settings_of(pairs: Sequence[str]) -> dict[str, Decimal | int | None]:
    """By the fields of `BudgetSettings`; `none` is `None`. Raises `ConfigError`."""
    found: dict[str, Decimal | int | None] = {}
    for text in pairs:
        field, equals, value = text.partition("=")
        if not equals:
            raise ConfigError("LIMIT=AMOUNT", f"{shortened(text, 80)!r}: must be as usd_per_month=500")
        if field not in LIMITS:
            close = difflib.get_close_matches(field[:80], LIMITS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(LIMITS)}"
            raise ConfigError("LIMIT=AMOUNT", f"{shortened(field, 80)!r}: no budget has such a limit; {hint}")
        if field in found:
            raise ConfigError(field, "is there twice; name each limit once")
        found[field] = None if value == NONE else _amount(field, value)
    return found


def reserve_of(text: str | None) -> Reserve | None:
    """Raises `ConfigError`."""
    if text is None or text in RESERVES:
        return text
    raise ConfigError("--reserve", f"{shortened(text, 40)!r}: must be {' or '.join(RESERVES)}")


def _amount(field: str, text: str) -> Decimal | int:
    if LIMITS[field][0] == "usd":
        try:
            if len(text) <= MAX_AMOUNT_CHARS:
                return Decimal(text.removeprefix("$").replace("_", ""))
        except InvalidOperation:
            pass
        raise ConfigError(
            field, f"{quoted(text, 40)}: must be an amount of US dollars, as 500 or 0.25; none for no limit"
        )
    digits = text.replace("_", "").removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise ConfigError(
            field, f"{shortened(text, 40)!r}: must be a whole number, as 2000000; none for no limit"
        )
    return int(text.replace("_", ""))
