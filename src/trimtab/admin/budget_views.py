"""Budgets with where they stand, read in one transaction.

What it is not: a change, or who may look. Invariant: what is shown as spent is what limits go by.
"""

import msgspec

from trimtab.admin.budget_scopes import scopes_of
from trimtab.admin.budget_words import AccountView, BudgetView, LineView, Standing
from trimtab.budgets.settings import BudgetSettings, Line, webhook_shown
from trimtab.records import EACH, Scope, account_of, period_of
from trimtab.store import Transaction
from trimtab.store.budgets.figures import Counted, counted_on, members_of
from trimtab.store.budgets.tables import StoredBudget

MOST_MEMBERS = 100
"""Of a budget that is for everyone of a kind, so many are shown."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A budget, wherever it is from."""

    name: str
    settings: BudgetSettings
    stored: StoredBudget | None = None


def view_of(tx: Transaction, one: Known, file: str) -> BudgetView:
    """A budget as people may see it. `file` is where it is written, if it is."""
    settings, now_ms = one.settings, tx.now_ms()
    kind, who = settings.whose(one.name)
    found = scopes_of(tx, one.name, settings)
    return BudgetView(
        name=one.name,
        source="file" if one.stored is None else "store",
        file=file if one.stored is None else "",
        scope=kind,
        who=who,
        organisation=settings.organisation or "",
        soft=settings.soft,
        may_overshoot=settings.may_overshoot,
        warn_percent=settings.warn_percent,
        webhook=None if settings.webhook is None else webhook_shown(settings.webhook),
        signed=settings.webhook_secret is not None,
        note=found.note,
        made_ms=None if one.stored is None else one.stored.made_ms,
        changed_ms=None if one.stored is None else one.stored.changed_ms,
        lines=tuple(_line(tx, line, found.scopes, now_ms) for line in settings.lines),
    )


def _line(tx: Transaction, line: Line, scopes: tuple[Scope, ...], now_ms: int) -> LineView:
    begins, ends = (None, None) if line.period == "total" else period_of(line.period, now_ms)
    accounts = []
    for scope in scopes:
        if scope.name == EACH:
            accounts += members_of(tx, scope, line.meter, line.period, now_ms, MOST_MEMBERS)
        else:
            accounts.append(account_of(scope, line.meter, line.period, now_ms))
    counted = counted_on(tx, accounts)
    shown = [_account(account, line, counted) for account in accounts]
    shown.sort(key=lambda one: (-one.real.spent, one.account))
    return LineView(
        field=line.field,
        meter=line.meter,
        period=line.period,
        limit=line.limit,
        from_ms=begins,
        renews_ms=ends,
        accounts=tuple(shown),
    )


def _account(account: str, line: Line, counted: dict[tuple[str, bool], Counted]) -> AccountView:
    def standing(found: Counted) -> Standing:
        return Standing(found.spent, found.held, max(0, line.limit - found.spent))

    simulated = counted.get((account, True))
    return AccountView(
        account=account,
        scope=account[: account.rindex(f"/{line.meter}")],
        real=standing(counted.get((account, False), Counted())),
        simulated=msgspec.UNSET if simulated is None else standing(simulated),
    )
