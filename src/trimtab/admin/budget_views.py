"""Budgets with where they stand, read in one transaction.

What it is not: a change, or who may look. Invariant: what is shown as spent is what limits go by.
"""

from collections.abc import Iterator

import msgspec

from trimtab.admin.budget_history import BurnDown, History
from trimtab.admin.budget_scopes import scopes_of
from trimtab.admin.budget_words import AccountView, BudgetView, LineView, Standing
from trimtab.budgets.settings import BudgetSettings, Line, webhook_shown
from trimtab.records import EACH, Scope, account_of, period_of
from trimtab.store import Transaction
from trimtab.store.budgets.figures import Counted, counted_on, members_of
from trimtab.store.budgets.history import scope_of_account
from trimtab.store.budgets.tables import StoredBudget
from trimtab.store.budgets.warnings import given_of

MOST_MEMBERS = 100
"""Of a budget that is for everyone of a kind, so many are shown."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A budget, wherever it is from."""

    name: str
    settings: BudgetSettings
    stored: StoredBudget | None = None


Histories = dict[bool, History]
"""Of what is real and of what is simulated."""


def histories_of(tx: Transaction) -> Histories:
    """What was used lately, for any number of views in one transaction."""
    now_ms = tx.now_ms()
    return {simulated: History(tx, now_ms, simulated=simulated) for simulated in (False, True)}


def view_of(tx: Transaction, one: Known, file: str, histories: Histories) -> BudgetView:
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
        reserve=settings.reserve,
        warn_percent=settings.warn_percent,
        webhook=None if settings.webhook is None else webhook_shown(settings.webhook),
        signed=settings.webhook_secret is not None,
        note=found.note,
        made_ms=None if one.stored is None else one.stored.made_ms,
        changed_ms=None if one.stored is None else one.stored.changed_ms,
        lines=tuple(_line(tx, line, found.scopes, now_ms, histories) for line in settings.lines),
        warnings=given_of(tx, [f"{one.name}.{line.field}" for line in settings.lines]),
    )


def _line(
    tx: Transaction, line: Line, scopes: tuple[Scope, ...], now_ms: int, histories: Histories
) -> LineView:
    begins, ends = (None, None) if line.period == "total" else period_of(line.period, now_ms)
    accounts = []
    for scope in scopes:
        if scope.name == EACH:
            accounts += members_of(tx, scope, line.meter, line.period, now_ms, MOST_MEMBERS)
        else:
            accounts.append(account_of(scope, line.meter, line.period, now_ms))
    counted = counted_on(tx, accounts)
    shown = [_account(account, line, ends, counted, histories) for account in accounts]
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


def _account(
    account: str,
    line: Line,
    ends_ms: int | None,
    counted: dict[tuple[str, bool], Counted],
    histories: Histories,
) -> AccountView:
    scope = scope_of_account(account)

    def standing(simulated: bool) -> Standing:
        found = counted.get((account, simulated), Counted())
        made, note = histories[simulated].forecast(
            scope, line.meter, line.period, line.limit, found.spent, ends_ms
        )
        return Standing(found.spent, found.held, max(0, line.limit - found.spent), made, note)

    return AccountView(
        account=account,
        scope=str(scope),
        real=standing(False),
        simulated=standing(True) if (account, True) in counted else msgspec.UNSET,
    )


def burn_downs_of(view: BudgetView, history: History, simulated: bool) -> Iterator[BurnDown]:
    """The curves of a budget's accounts."""
    for line in view.lines:
        if line.meter == "concurrency" or line.period == "minute":
            continue
        span = None if line.from_ms is None or line.renews_ms is None else (line.from_ms, line.renews_ms)
        for account in line.accounts:
            stand = account.simulated if simulated else account.real
            spent = 0 if isinstance(stand, msgspec.UnsetType) else stand.spent
            scope = scope_of_account(account.account)
            yield history.burn_down(scope, line.meter, account.account, line.field, spent, span)
