"""What an operator says of any platform entry beyond how to reach it: share, place, hardware, dates and money.

What it is not: addresses, deadlines or credentials (`connecting` and each kind's own settings), or what follows from
all this, which routing and the catalogue's prices decide. Invariant: money is exact, never a binary fraction.
"""

import datetime
from collections.abc import Callable
from decimal import Decimal

import msgspec

from trimtab.config import fail

MAX_WEIGHT = 1000.0
"""A share a thousand times another's; a larger figure is a slip."""

MAX_DISCOUNT_DECIMALS = 4
"""Of a percentage; a contract has two, and a finer figure is a slip."""

MAX_COMMITMENT_USD = 10**12
"""Nobody commits a trillion dollars; a larger figure is a slip of units."""

MAX_USD_DECIMALS = 2

MAX_LABEL = 40

_REGION = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


class Commitment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Spend that was promised to a seller for a time, and is paid whether it is used or not."""

    usd: Decimal
    """After any discount, for the whole time."""
    starts: datetime.date = msgspec.field(name="from")
    """First day, UTC."""
    until: datetime.date
    """Last day, UTC."""

    @property
    def nanousd(self) -> int:
        """The amount in nano-dollars."""
        return int(self.usd * 10**9)


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of `[platforms.NAME]` that every kind has. `check_terms` checks them."""

    weight: float = 1.0
    """This entry's share among those that are otherwise equal, against theirs."""
    data_region: str | None = None
    """Where data stays, in words of the operator's own, as `eu`."""
    hardware: str | None = None
    """What it runs on, as the operator declares it: `trainium`, `tpu`, `nvidia` or other words."""
    online_from: datetime.date | None = None
    """First day, UTC, on which requests go there; `None`: now."""
    discount_percent: Decimal = Decimal(0)
    """Off the price of all tokens, negotiated prices of the overlay included."""
    commitment: Commitment | None = None

    @property
    def discount(self) -> Decimal:
        """What is taken off, as a part of the price, exactly: 0 is nothing, always less than 1."""
        return self.discount_percent.scaleb(-2)


def check_terms(terms: Terms, where: Callable[[str], str]) -> None:
    """Raises `ConfigError` named by `where(key)` for a figure that cannot be meant."""
    if not 0 < terms.weight <= MAX_WEIGHT:  # so written that nan is refused
        fail(where("weight"), terms.weight, f"must be greater than 0 and at most {MAX_WEIGHT:g}")
    region, hardware = terms.data_region, terms.hardware
    if region is not None and not (0 < len(region) <= MAX_LABEL and _REGION.issuperset(region)):
        fail(
            where("data_region"),
            region,
            f"must be 1 to {MAX_LABEL} letters, digits, '-', '_' and '.', as 'eu'",
        )
    if hardware is not None and not (
        0 < len(hardware) <= MAX_LABEL and hardware.isprintable() and hardware == hardware.strip()
    ):
        fail(
            where("hardware"),
            hardware,
            f"must be 1 to {MAX_LABEL} printable characters, as 'trainium', 'tpu' or 'nvidia'",
        )
    percent = terms.discount_percent
    if not percent.is_finite() or not 0 <= percent < 100 or _decimals(percent) > MAX_DISCOUNT_DECIMALS:
        fail(
            where("discount_percent"),
            str(percent)[:MAX_LABEL],
            f"must be from 0 to less than 100 percent, with at most {MAX_DISCOUNT_DECIMALS} decimals; 12.5 takes an "
            "eighth off",
        )
    if terms.commitment is not None:
        _check_commitment(terms.commitment, lambda key: where(f"commitment.{key}"))


def _check_commitment(commitment: Commitment, where: Callable[[str], str]) -> None:
    usd = commitment.usd
    if not usd.is_finite() or not 0 < usd <= MAX_COMMITMENT_USD or _decimals(usd) > MAX_USD_DECIMALS:
        fail(
            where("usd"),
            str(usd)[:MAX_LABEL],
            f"must be a sum in US dollars, greater than 0 and at most {MAX_COMMITMENT_USD:,}, in whole cents",
        )
    if commitment.until < commitment.starts:
        fail(
            where("until"),
            commitment.until.isoformat(),
            f"is before its first day, {commitment.starts.isoformat()}; correct one of them",
        )


def _decimals(figure: Decimal) -> int:
    exponent = figure.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0
