"""What a person says of a budget, as `[budgets.NAME]`, over HTTP and on the command line: the same words everywhere.

What it is not: counting (`dealer`, `ledger`), or who may change a budget (`admin`). Invariants: money is exact, never
a binary fraction; what passes `check_budget` limits something, for somebody who is named.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal, DecimalException
from urllib.parse import urlsplit

import msgspec

from trimtab.catalogue.money import NANO
from trimtab.config import Secret
from trimtab.errors import ConfigError, quoted, shortened
from trimtab.records import (
    EACH,
    METERS,
    PERIODS,
    SCOPE_KINDS,
    Budget,
    Meter,
    Period,
    Reserve,
    Scope,
    ScopeKind,
)
from trimtab.records.budget import WARN_PERCENT

MAX_NAME_CHARS = 64
MAX_USD = 10**9
"""More is a slip of the pen: a thousand million dollars."""
MAX_COUNT = 10**15
MAX_CONCURRENCY = 1_000_000
MAX_USD_DECIMALS = 9
MAX_URL_CHARS = 2000


class Line(msgspec.Struct, frozen=True):
    """One limit of a budget."""

    field: str
    """The setting that it comes from, as `usd_per_month`."""
    meter: Meter
    period: Period
    """For `concurrency`, which has none, `total`."""
    limit: int
    """In nano-dollars, tokens, requests, or requests in flight."""


class BudgetSettings(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """One budget. `check_budget` checks it."""

    organisation: str | None = None
    """Whose it is; beside `team`, `key`, `user` or `tag` it says of which organisation."""
    team: str | None = None
    key: str | None = None
    """A key's id, or its name."""
    user: str | None = None
    tag: str | None = None
    """A tag of `x-trimtab-tags`. As all of these, `*` is everyone, each with this limit for himself."""
    usd_per_minute: Decimal | None = None
    usd_per_day: Decimal | None = None
    usd_per_month: Decimal | None = None
    usd_total: Decimal | None = None
    tokens_per_minute: int | None = None
    """Tokens of input, cached or not, and of output."""
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    tokens_total: int | None = None
    input_tokens_per_minute: int | None = None
    input_tokens_per_day: int | None = None
    input_tokens_per_month: int | None = None
    input_tokens_total: int | None = None
    output_tokens_per_minute: int | None = None
    output_tokens_per_day: int | None = None
    output_tokens_per_month: int | None = None
    output_tokens_total: int | None = None
    requests_per_minute: int | None = None
    requests_per_day: int | None = None
    requests_per_month: int | None = None
    requests_total: int | None = None
    concurrency: int | None = None
    """Requests in flight at a time."""
    soft: bool = False
    """Warn, and refuse nothing."""
    may_overshoot: bool = False
    """Whether what is billed by use and has no bound may be used; see docs/limits.md."""
    reserve: Reserve = "worst"
    """What is held for a call in flight: `worst`, the most that it can come to, or `expected`, what such calls come to;
    then the limit can be passed by what the calls in flight use beyond that."""
    warn_percent: int = WARN_PERCENT
    """From how much of a limit on a warning is given; 100 says it only when the limit is reached."""
    webhook: str | None = None
    """Where warnings go: an address, or `env:NAME` or `file:/path` of one."""
    webhook_secret: str | None = None
    """What signs them: `env:NAME` or `file:/path`."""

    @property
    def lines(self) -> tuple[Line, ...]:
        """Its limits, in the order of the fields."""
        found = []
        for field, (meter, period) in LIMITS.items():
            value = getattr(self, field)
            if value is not None:
                found.append(Line(field, meter, period, int(value * NANO) if meter == "usd" else int(value)))
        return tuple(found)

    def whose(self, name: str) -> tuple[ScopeKind, str]:
        """The kind of its scope and who it is: by the name of the budget, a team, where it does not say."""
        for kind in SCOPE_KINDS[1:]:
            who = getattr(self, kind)
            if who is not None:
                return kind, who
        if self.organisation is not None:
            return "organisation", self.organisation
        return "team", name

    def budgets(self, name: str, scope: Scope) -> tuple[Budget, ...]:
        """What is counted, once it is known whose it is: one for each limit."""
        return tuple(
            Budget(
                name=f"{name}.{line.field}",
                scope=scope,
                meter=line.meter,
                limit=line.limit,
                period=line.period,
                hard=not self.soft,
                warn_percent=self.warn_percent,
                may_overshoot=self.may_overshoot,
                reserve=self.reserve,
            )
            for line in self.lines
        )


def _limits() -> dict[str, tuple[Meter, Period]]:
    found: dict[str, tuple[Meter, Period]] = {}
    for meter in METERS:
        if meter == "concurrency":
            continue
        for period in PERIODS:
            found[f"{meter}_total" if period == "total" else f"{meter}_per_{period}"] = (meter, period)
    found["concurrency"] = ("concurrency", "total")
    return found


LIMITS: Mapping[str, tuple[Meter, Period]] = _limits()
"""What each setting that limits something limits."""


def check_budget(name: str, budget: BudgetSettings, where: Callable[[str], str]) -> None:
    """Raises `ConfigError` named by `where(key)` for what cannot be meant."""
    _check_whose(name, budget, where)
    _check_limits(budget, where)
    if not 1 <= budget.warn_percent <= 100:
        raise ConfigError(where("warn_percent"), f"{quoted(budget.warn_percent)}: must be 1 to 100 percent")
    _check_webhook(budget, where)


def check_budgets(budgets: Mapping[str, BudgetSettings], where: Callable[[str], str]) -> None:
    """All budgets of a file, and that no two limit the very same. Raises `ConfigError` named by `where(name.key)`."""
    seen: dict[tuple[object, ...], str] = {}
    for name, budget in budgets.items():
        check_budget(name, budget, lambda key, name=name: where(f"{name}.{key}" if key else name))  # type: ignore[misc]
        for line in budget.lines:
            same = (budget.organisation, *budget.whose(name), line.meter, line.period, budget.soft)
            first = seen.setdefault(same, name)
            if first != name:
                raise ConfigError(
                    where(f"{name}.{line.field}"),
                    f"limits what budget {first!r} limits already ({_said(budget, name)}); keep one of them"
                    f"{'' if budget.soft else ', or make one soft, to be warned before the other refuses'}",
                )


def _said(budget: BudgetSettings, name: str) -> str:
    scope, who = budget.whose(name)
    return f"{scope} {who!r}"


def check_budget_name(name: str) -> None:
    """Names go into headers, addresses and terminals. Raises `ConfigError` with no place."""
    if (
        not 0 < len(name) <= MAX_NAME_CHARS
        or not name.isascii()
        or not name.replace("-", "a").replace("_", "a").replace(".", "a").isalnum()
        or name in (".", "..")
    ):
        raise ConfigError(
            "name",
            f"{shortened(name, 80)!r}: must be 1 to {MAX_NAME_CHARS} letters, digits, '-', '_' and '.'",
        )
    if name.startswith(("tt-", "sk-")):
        raise ConfigError("name", "begins like a secret; names are shown everywhere, choose another")


def _check_whose(name: str, budget: BudgetSettings, where: Callable[[str], str]) -> None:
    try:
        check_budget_name(name)
    except ConfigError as problem:
        raise ConfigError(where(""), problem.problem) from None
    named = [scope for scope in SCOPE_KINDS[1:] if getattr(budget, scope) is not None]
    if len(named) > 1:
        raise ConfigError(
            where(named[1]),
            f"a budget is for one of {', '.join(SCOPE_KINDS)}, and this has {' and '.join(named)}; make two budgets",
        )
    if budget.key == EACH and budget.organisation is not None:
        raise ConfigError(
            where("key"), "'*' is each key there is, of any organisation; leave organisation out"
        )
    for scope in SCOPE_KINDS:
        who = getattr(budget, scope)
        if who is not None and (
            not 0 < len(who) <= MAX_NAME_CHARS or not who.isprintable() or who != who.strip()
        ):
            raise ConfigError(
                where(scope),
                f"{shortened(who, 80)!r}: must be 1 to {MAX_NAME_CHARS} printable characters, no space at either end",
            )


def _check_limits(budget: BudgetSettings, where: Callable[[str], str]) -> None:
    found = False
    if budget.soft and budget.concurrency is not None:
        raise ConfigError(
            where("concurrency"),
            "what is in flight is not counted for later, so it cannot only be warned of; make a "
            "budget of its own for it, which is not soft",
        )
    if budget.may_overshoot and budget.soft:
        raise ConfigError(
            where("may_overshoot"), "a soft budget refuses nothing, so it need not permit this; leave it out"
        )
    if budget.reserve == "expected" and budget.soft:
        raise ConfigError(
            where("reserve"),
            "a soft budget refuses nothing and holds nothing for calls in flight, so there is nothing to expect; leave "
            "it out",
        )
    for field, (meter, _) in LIMITS.items():
        value = getattr(budget, field)
        if value is None:
            continue
        found = True
        if budget.reserve == "expected" and meter in ("requests", "concurrency"):
            raise ConfigError(
                where(field),
                "what a request comes to here is known before: it is one; with reserve = 'expected' a budget limits "
                f"dollars and tokens only, so make a budget of its own for {field}",
            )
        if meter == "usd":
            _check_usd(value, where(field))
            continue
        most = MAX_CONCURRENCY if meter == "concurrency" else MAX_COUNT
        if not 0 < value <= most:
            raise ConfigError(
                where(field), f"{quoted(value)}: must be a whole number from 1 to {most:,}{_NONE}"
            )
    if not found:
        raise ConfigError(
            where(""), "limits nothing; name a limit, as usd_per_month = 500 or tokens_per_day = 1_000_000"
        )


_NONE = "; for no limit leave it out"


def _check_usd(value: Decimal, where: str) -> None:
    exponent = value.as_tuple().exponent
    try:
        fits = value.is_finite() and 0 < value <= MAX_USD and -int(exponent) <= MAX_USD_DECIMALS
    except (DecimalException, ValueError):
        fits = False
    if not fits:
        raise ConfigError(
            where,
            f"{quoted(value, 40)}: must be an amount of US dollars above 0 and at most {MAX_USD:,}, such as 500 or "
            f"0.25, to the ninth place{_NONE}",
        )


def _check_webhook(budget: BudgetSettings, where: Callable[[str], str]) -> None:
    if budget.webhook is not None and not is_reference(budget.webhook):
        check_webhook_address(budget.webhook, where("webhook"))
    if budget.webhook_secret is None:
        return
    if budget.webhook is None:
        raise ConfigError(
            where("webhook_secret"), "signs what is sent to a webhook, and there is none; add webhook"
        )
    if not is_reference(budget.webhook_secret):
        # Not shown: it may be the secret itself.
        raise ConfigError(
            where("webhook_secret"), "a secret is given by reference, as 'env:NAME' or 'file:/path'"
        )


def is_reference(text: str) -> bool:
    """Whether a text says where something is, instead of being it."""
    return text.startswith(("env:", "file:")) and len(text.partition(":")[2]) > 0


def check_webhook_address(text: str, where: str) -> None:
    """The address is not shown: many hold a secret. Raises `ConfigError`."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or port == 0
        or len(text) > MAX_URL_CHARS
        or not text.isascii()
        or not text.isprintable()
        or " " in text
        or parts.fragment
        or parts.username is not None
    ):
        raise ConfigError(
            where,
            "must be an address such as https://example.com/hook, plain ASCII, without a user or a '#', or env:NAME or "
            "file:/path of one (it is not shown here, for it may hold a secret)",
        )


def webhook_shown(text: str) -> str:
    """An address as people may see it: what stands behind the host may be a secret."""
    if is_reference(text):
        return text
    parts = urlsplit(text)
    return f"{parts.scheme}://{parts.netloc}/{'…' if len(parts.path) > 1 or parts.query else ''}"


class Webhook(msgspec.Struct, frozen=True):
    """Where a budget's warnings go, references followed."""

    address: Secret
    signed_with: Secret | None


def webhook_of(budget: BudgetSettings) -> Webhook | None:
    """Follow the references. Raises `ValueError`, which never holds what may be a secret."""
    if budget.webhook is None:
        return None
    if is_reference(budget.webhook):
        address = Secret.resolve(budget.webhook)
        try:
            check_webhook_address(address.reveal(), budget.webhook)
        except ConfigError as problem:
            raise ValueError(str(problem)) from None
    else:
        address = Secret(budget.webhook, "webhook")
    return Webhook(address, None if budget.webhook_secret is None else Secret.resolve(budget.webhook_secret))
