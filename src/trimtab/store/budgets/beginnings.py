"""What was spent already in the period in which a budget is set.

What it is not: the counting from then on, which is the records' (`store.records.rollups`). Invariants: no count ever
becomes less, whoever asks and how often; real and simulated use never mix.

From the sums by key and hour, so exact for whole days, months and totals, as far back as roll-ups are kept; a request
that was refused is not among the requests, unless others took several calls. What is on its way to the records at that
moment is not in them. Nothing is known of tags, which are in no sum, and of the minute, which is soon over: they begin
with nothing.
"""

from collections.abc import Iterable

from trimtab.records import EACH, Budget, Meter, Period, Scope, ScopeKind, account_of, period_of
from trimtab.store.database import Database, Row, Transaction
from trimtab.store.records.rows import BILLED

_FROM_SUMS: tuple[ScopeKind, ...] = ("organisation", "team", "key", "user")

_SUMMED = (
    "CAST(sum(u.cost_nanousd) AS BIGINT), CAST(sum(u.requests) AS BIGINT), CAST(sum(u.attempts) AS BIGINT), "
    "CAST(sum(u.input_tokens + u.cache_write_5m_tokens + u.cache_write_1h_tokens + u.cache_read_tokens) AS BIGINT), "
    "CAST(sum(u.output_tokens) AS BIGINT)"
)

_SUMS = (
    "SELECT u.simulated, u.organisation, u.team_id, u.key_id, coalesce(k.user_name, ''), "  # noqa: S608 (our own names)
    f"{_SUMMED} FROM usage_by_key u LEFT JOIN keys k ON k.id = u.key_id "
    f"WHERE u.hour_ms >= ? AND u.purpose IN ({', '.join(['?'] * len(BILLED))}) "
    "GROUP BY u.simulated, u.organisation, u.team_id, u.key_id, k.user_name"
)

Counted = tuple[Scope, Meter, Period]


def begin(database: Database, budgets: Iterable[Budget], known: Iterable[Budget] | None = None) -> int:
    """Put down what was spent in the present periods on accounts that nothing is counted on yet; how many those were.
    Of what was not `known` until now, also where there is a count: it may have been without a budget for a while.

    To be called before a budget is in force. Blocks: one look at the accounts, and where one is new a look at the sums
    by key of its period. Raises `StoreError`.
    """
    wanted = _counted(budgets)
    if not wanted:
        return 0
    new = set() if known is None else wanted.keys() - _counted(known).keys()
    at_ms, missing = database.read(lambda view: _missing(view, list(wanted), new))
    if not missing:
        return 0
    rows = database.read(lambda view: _spent(view, missing, at_ms))
    database.write(
        lambda tx: tx.change_many(
            "INSERT INTO key_spend (key_id, simulated, spent_nanousd) VALUES (?, ?, ?) "  # noqa: S608 (our own words)
            "ON CONFLICT (key_id, simulated) "
            f"DO UPDATE SET spent_nanousd = {tx.words.greatest}(key_spend.spent_nanousd, excluded.spent_nanousd)",
            rows,
        )
    )
    return len(missing)


def _counted(budgets: Iterable[Budget]) -> dict[Counted, None]:
    """What of them is in the sums."""
    return {
        (budget.scope, budget.meter, budget.period): None
        for budget in budgets
        if budget.scope.kind in _FROM_SUMS and budget.meter != "concurrency" and budget.period != "minute"
    }


def _missing(view: Transaction, wanted: list[Counted], new: set[Counted]) -> tuple[int, list[Counted]]:
    """Those that are new, or of which no account is there. One for everyone has an account that only says that it has
    begun."""
    at_ms = view.now_ms()
    found = view.rows("SELECT DISTINCT key_id FROM key_spend WHERE key_id LIKE '%=%/%'")
    there = {str(account) for (account,) in found}
    return at_ms, [one for one in wanted if one in new or account_of(*one, at_ms) not in there]


def _spent(view: Transaction, missing: list[Counted], at_ms: int) -> list[Row]:
    """Rows of `key_spend`: an account of each, with nothing where nothing was spent, on both sides."""
    found: dict[tuple[str, int], int] = {
        (account_of(*one, at_ms), simulated): 0 for one in missing for simulated in (0, 1)
    }
    for period in dict.fromkeys(period for _, _, period in missing):
        begins, _ = period_of(period, at_ms)
        sums = view.rows(_SUMS, (begins, *BILLED))
        for scope, meter, asked in missing:
            if asked != period:
                continue
            for simulated, organisation, team, key, user, *figures in sums:
                whose = _whose(scope, str(organisation), str(team), str(key), str(user))
                if whose is not None and (whose == scope or (whose, meter, period) not in missing):
                    place = account_of(whose, meter, period, at_ms), int(simulated)
                    found[place] = found.get(place, 0) + _amount(meter, *map(int, figures))
    return [(*place, amount) for place, amount in sorted(found.items())]


def _whose(scope: Scope, organisation: str, team: str, key: str, user: str) -> Scope | None:
    """The scope that a row is counted in, if it is."""
    if scope.organisation not in ("", organisation):
        return None
    name = {"organisation": organisation, "team": team, "key": key, "user": user}[scope.kind]
    if not name or scope.name not in (name, EACH):
        return None
    return scope if scope.name == name else Scope(scope.kind, name, scope.organisation)


def _amount(meter: Meter, nanousd: int, requests: int, attempts: int, into: int, out: int) -> int:
    if meter == "usd":
        return nanousd
    if meter == "requests":
        return min(requests, attempts)
    return {"input_tokens": into, "output_tokens": out}.get(meter, into + out)
