"""What the owners of budgets used hour by hour, from the sums that are kept with the records.

What it is not: what a limit goes by; that is its account, which counts from when its budget came to be. Invariant: the
purposes that budgets count, and no other.
"""

from collections.abc import Mapping
from urllib.parse import unquote

import msgspec

from trimtab.records import METERS, Meter, Scope, ScopeKind
from trimtab.store.database import Transaction

HOUR_MS = 3_600_000

NOT_BY_TAG = "sums over time are not kept by tag"

_INPUT = "input_tokens + cache_write_5m_tokens + cache_write_1h_tokens + cache_read_tokens"
_SUMS = {
    "usd": "cost_nanousd",
    "tokens": f"{_INPUT} + output_tokens",
    "input_tokens": _INPUT,
    "output_tokens": "output_tokens",
    "requests": "requests",
}


class Hour(msgspec.Struct, frozen=True):
    """What was used in an hour."""

    at_ms: int
    """When it began."""
    amounts: Mapping[Meter, int]


def scope_of_account(account: str) -> Scope:
    """Whose account it is, back from its name."""
    kind, _, rest = account.partition("=")
    names = rest.split("/")
    while names and names[-1] not in METERS:
        names.pop()
    owner = [unquote(name, errors="surrogatepass") for name in names[:-1]]
    scope: ScopeKind = kind  # type: ignore[assignment]
    return Scope(scope, owner[-1], owner[0] if len(owner) > 1 else "")


def hours_of(
    tx: Transaction, scope: Scope, from_ms: int, to_ms: int, *, simulated: bool
) -> tuple[Hour, ...] | None:
    """Hours with any use, in their order; `None` where sums are not kept by what the scope names.

    Cost: a look at each row of these hours: 1 ms a day with ten teams or keys and five models.
    """
    chosen = _chosen(scope)
    if chosen is None:
        return None
    table, where, values = chosen
    sums = ", ".join(f"CAST(sum({sum_}) AS BIGINT)" for sum_ in _SUMS.values())
    rows = tx.rows(
        f"SELECT hour_ms, {sums} FROM {table} WHERE hour_ms >= ? AND hour_ms < ? AND simulated = ? "  # noqa: S608
        f"AND purpose IN ('live', 'task') AND {where} GROUP BY hour_ms ORDER BY hour_ms",
        (from_ms, to_ms, int(simulated), *values),
    )
    meters: list[Meter] = list(_SUMS)  # type: ignore[arg-type]
    return tuple(Hour(row[0], dict(zip(meters, map(int, row[1:]), strict=True))) for row in rows)


def _chosen(scope: Scope) -> tuple[str, str, tuple[str, ...]] | None:
    if scope.kind == "organisation":
        return "usage_by_team", "organisation = ?", (scope.name,)
    if scope.kind == "team":
        return "usage_by_team", "organisation = ? AND team_id = ?", (scope.organisation, scope.name)
    if scope.kind == "key":
        return "usage_by_key", "key_id = ?", (scope.name,)
    if scope.kind == "user":
        own = "organisation = ? AND key_id IN (SELECT id FROM keys WHERE organisation = ? AND user_name = ?)"
        return "usage_by_key", own, (scope.organisation, scope.organisation, scope.name)
    return None


def meter_of_account(account: str) -> Meter:
    """What an account counts."""
    names = account.split("/")
    while len(names) > 1 and names[-1] not in METERS:
        names.pop()
    found: Meter = names[-1]  # type: ignore[assignment]
    return found if found in METERS else "usd"
