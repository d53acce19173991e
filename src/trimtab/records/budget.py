"""What somebody may use, of what, and in which period; and the name of the account that it is counted on.

What it is not: the counting (`budgets` in memory, `store` for good), or where budgets are written down (`app` for the
configuration, `admin` for the store). Invariants: two budgets of one scope, meter and period share one account in one
period, whatever they are called and wherever they are from, so that to rename one, or to change its limit, loses no
count; no two different scopes, meters or periods ever share an account, whatever their names.
"""

import datetime
from typing import Final, Literal, get_args
from urllib.parse import quote

import msgspec

ScopeKind = Literal["organisation", "team", "key", "user", "tag"]

Meter = Literal["usd", "tokens", "input_tokens", "output_tokens", "requests", "concurrency"]
"""`usd` is in nano-dollars; tokens are those that are billed, cache reads and writes among the input; `concurrency` is
requests in flight."""

Period = Literal["minute", "day", "month", "total"]
"""Of the calendar, UTC."""

Reserve = Literal["worst", "expected"]
"""What a hard budget holds for a call in flight: the most that it can come to, or what calls like it come to."""

SCOPE_KINDS: tuple[ScopeKind, ...] = get_args(ScopeKind)
METERS: tuple[Meter, ...] = get_args(Meter)
PERIODS: tuple[Period, ...] = get_args(Period)
RESERVES: tuple[Reserve, ...] = get_args(Reserve)

EACH: Final = "*"
"""As the name of a scope: everyone of its kind has the limit for itself."""

WARN_PERCENT = 80

MINUTE_MS = 60_000
DAY_MS = 86_400_000

_SAFE = " :@+,"
"""What a name may show as it is, beside letters, digits and `_.-~`. Neither `/` nor `%`, so no two names are alike."""


class Scope(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Whose use is counted together."""

    kind: ScopeKind
    name: str
    """The name of an organisation, team, user or tag, or the id of a key; `EACH` is everyone of the kind."""
    organisation: str = ""
    """Whose team or user it is. Of a tag: only where callers of this organisation send it; empty: whoever does."""

    def __str__(self) -> str:
        """As accounts begin: `team=default/red`, `key=key_1`."""
        of = f"{quoted(self.organisation)}/" if self.organisation else ""
        return f"{self.kind}={of}{quoted(self.name)}"


class Budget(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One limit on one meter. Real and simulated use each have it on their own."""

    name: str
    """What people call it; of one name there is one budget."""
    scope: Scope
    meter: Meter
    limit: int
    """In the meter's own unit."""
    period: Period = "total"
    """Of no meaning for `concurrency`, which has no period."""
    hard: bool = True
    """Whether a request that may pass it is refused. A soft one is counted, and said to be passed, only. Concurrency is
    always hard."""
    warn_percent: int = WARN_PERCENT
    """From this part of the limit on it is said to be nearly spent."""
    may_overshoot: bool = False
    """As `Limits.may_overshoot`, for a hard one in `usd` or tokens."""
    reserve: Reserve = "worst"
    """Of a hard one in `usd` or tokens. With `expected` it can be passed by what the calls in flight come to beyond
    what was expected of them, and by no more."""


def account_of(scope: Scope, meter: Meter, period: Period, at_ms: int) -> str:
    """The account that a budget is counted on at this moment, as `team=default/red/usd/2026-11`. About 2 us."""
    if meter == "concurrency":
        return f"{scope}/{meter}"
    return f"{scope}/{meter}/{period_name(period, at_ms)}"


def period_name(period: Period, at_ms: int) -> str:
    """The name of the period that this Unix millisecond lies in: `2026-11-22T10:31`, `2026-11-22`, `2026-11`, or
    `total`."""
    if period == "total":
        return "total"
    moment = datetime.datetime.fromtimestamp(at_ms // 1000, datetime.UTC)
    shown = moment.strftime("%Y-%m-%dT%H:%M")
    return shown if period == "minute" else shown[:10] if period == "day" else shown[:7]


def period_of(period: Period, at_ms: int) -> tuple[int, int | None]:
    """Its first Unix millisecond, and that of the next one; a total began with time and does not end."""
    if period == "total":
        return 0, None
    if period != "month":
        length = MINUTE_MS if period == "minute" else DAY_MS
        begins = at_ms - at_ms % length
        return begins, begins + length
    moment = datetime.datetime.fromtimestamp(at_ms // 1000, datetime.UTC)
    first = datetime.datetime(moment.year, moment.month, 1, tzinfo=datetime.UTC)
    following = datetime.datetime(
        moment.year + moment.month // 12, moment.month % 12 + 1, 1, tzinfo=datetime.UTC
    )
    return int(first.timestamp()) * 1000, int(following.timestamp()) * 1000


def quoted(name: str) -> str:
    """A name as a part of an account: no two names have one, and both engines can hold it, whatever it is."""
    return quote(name, safe=_SAFE, errors="surrogatepass")
