"""The page of budgets: where each limit stands, how it came to that, and where it leads.

What it is not: a way to change one (`trimtab budgets`, or HTTP with an admin key), or the figures (`admin`).
Invariants: real and simulated are never on one page; who may see one organisation sees its budgets only.
"""

import hashlib
from collections.abc import Callable

import msgspec

from trimtab.admin import AccountView, Actor, BudgetAdmin, BudgetPictures, BudgetView, LineView, Standing
from trimtab.console.application import Shown
from trimtab.console.burning import Burning, amount, burning, level_of, limit_amount, per, short_forecast
from trimtab.console.questions import MINUTE_MS, Question
from trimtab.console.remembered import Remembered
from trimtab.console.situation import InForce, Situation
from trimtab.console.visit import Visit
from trimtab.console.visitors import Visitor
from trimtab.records import EACH

KEPT_S = 2.0
"""However many look at the page, the store is asked once in so long. A question takes some 20 ms for a month of ten
teams."""


class BudgetsData(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows."""

    simulated: bool
    pictures: BudgetPictures
    in_force: InForce


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of one account."""

    budget: BudgetView
    line: LineView
    scope: str
    organisation: str
    limit: str
    spent: str
    share: float
    held: str
    left: str
    expected: str
    level: str
    chart: str
    """The id of its chart; empty where there is none."""


class BudgetsPage:
    """Shows all budgets that a visitor may see."""

    def __init__(self, admin: BudgetAdmin, situation: Situation, monotonic: Callable[[], float]) -> None:
        self._admin = admin
        self._situation = situation
        self._kept: Remembered[BudgetPictures] = Remembered(monotonic, KEPT_S)

    def __call__(self, visit: Visit, visitor: Visitor, rest: str) -> Shown | None:
        """See `Page`."""
        question = Question(self._situation.completed(visit.query))
        simulated = question.flag("simulated")
        question.done()
        actor = Actor(f"console:{visitor.user}", visitor.organisation)
        found = self._kept.get(
            (visitor.organisation, simulated), lambda: self._admin.pictures(actor, simulated=simulated)
        )
        state = hashlib.sha256(msgspec.json.encode(_steady(found))).hexdigest()[:16]
        if visit.shows(state):
            return None
        rows, charts = _shown(found, simulated)
        return Shown(
            template="budgets.html",
            title="Budgets",
            data=BudgetsData(simulated=simulated, pictures=found, in_force=self._situation.in_force()),
            values={"rows": rows, "charts": charts},
            simulated=simulated,
            state=state,
        )


def _stand(account: AccountView, line: LineView, simulated: bool) -> Standing:
    if not simulated:
        return account.real
    nothing = Standing(0, 0, line.limit)
    return nothing if isinstance(account.simulated, msgspec.UnsetType) else account.simulated


def _shown(found: BudgetPictures, simulated: bool) -> tuple[list[Row], list[Burning]]:
    curves = {(one.account, one.field): one for one in found.burn_downs}
    rows: list[Row] = []
    charts: list[Burning] = []
    for budget in found.budgets:
        for line in budget.lines:
            for account in line.accounts:
                stand = _stand(account, line, simulated)
                curve = curves.get((account.account, line.field))
                chart = ""
                if curve is not None:
                    charts.append(burning(budget, line, account, stand, curve, found.now_ms))
                    chart = charts[-1].id
                rows.append(
                    Row(
                        budget=budget,
                        line=line,
                        scope=account.scope if budget.who == EACH else f"{budget.scope} {budget.who}",
                        organisation=""
                        if budget.who == EACH or budget.scope == "organisation"
                        else budget.organisation,
                        limit=f"{limit_amount(line)}{per(line)}",
                        spent="" if line.meter == "concurrency" else amount(line.meter, stand.spent),
                        share=stand.spent / line.limit,
                        held=amount(line.meter, stand.held) if stand.held else "",
                        left=amount(line.meter, stand.left),
                        expected=short_forecast(line, stand),
                        level=level_of(budget, line, stand),
                        chart=chart,
                    )
                )
    return rows, charts


def _steady(found: BudgetPictures) -> object:
    """What is shown, without what changes with time alone; once in a minute all of it."""
    standings = [
        [budget.name, budget.note, budget.changed_ms, line.field, line.limit, account.account,
         account.real.spent, account.real.held, msgspec.to_builtins(account.simulated)["spent"]
         if not isinstance(account.simulated, msgspec.UnsetType) else 0]
        for budget in found.budgets
        for line in budget.lines
        for account in line.accounts
    ]  # fmt: skip
    return [found.now_ms // MINUTE_MS, standings, [budget.name for budget in found.budgets]]
