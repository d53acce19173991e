"""Which budgets a request is counted on: those of its caller's organisation, team, key and user, and of its tags.

What it is not: the counting (`ledger`), or where budgets come from (the configuration and the store). Invariants: a
book never changes, a new one takes its place; on one account the hard budget with the lowest limit decides, and holds
the worst case where any of them does; a budget for one name stands in for the one that everyone of the kind has.
"""

from collections.abc import Iterable, Sequence

import msgspec

from trimtab.records import EACH, Budget, Caller, Meter, Period, Scope, ScopeKind

_Asked = tuple[ScopeKind, str, str]
"""Kind, organisation, name."""


class Book:
    """All budgets that are in force."""

    def __init__(self, budgets: Iterable[Budget]) -> None:
        self.budgets = tuple(budgets)
        self._named: dict[_Asked, list[Budget]] = {}
        self._each: dict[tuple[ScopeKind, str], list[Budget]] = {}
        for budget in self.budgets:
            scope = budget.scope
            if scope.name == EACH:
                self._each.setdefault((scope.kind, scope.organisation), []).append(budget)
            else:
                self._named.setdefault((scope.kind, scope.organisation, scope.name), []).append(budget)
        self.by_tag = any(budget.scope.kind == "tag" for budget in self.budgets)
        """Whether the tags of a request matter at all."""

    def __bool__(self) -> bool:
        return bool(self.budgets)

    def of(self, caller: Caller, tags: Sequence[str]) -> tuple[Budget, ...]:
        """The budgets of a request, each with the scope that it has for this one, one for each account. Some
        microseconds: ask once for each kind of request, not for each request."""
        organisation = caller.organisation
        asked: list[_Asked] = []
        if organisation:
            asked.append(("organisation", "", organisation))
        if caller.team:
            asked.append(("team", organisation, caller.team))
        if caller.key:
            asked.append(("key", "", caller.key))
        if caller.user:
            asked.append(("user", organisation, caller.user))
        for tag in dict.fromkeys(tags) if self.by_tag else ():
            asked.append(("tag", "", tag))
            if organisation:
                asked.append(("tag", organisation, tag))
        found: dict[tuple[_Asked, Meter, Period], Budget] = {}
        for one in asked:
            named: dict[tuple[_Asked, Meter, Period], Budget] = {}
            for budget in self._named.get(one, ()):
                _keep(named, one, budget)
            each: dict[tuple[_Asked, Meter, Period], Budget] = {}
            for budget in self._each.get(one[:2], ()):
                _keep(each, one, budget)
            found |= each | named
        return tuple(found.values())


def _keep(found: dict[tuple[_Asked, Meter, Period], Budget], one: _Asked, budget: Budget) -> None:
    """Of two budgets on one account the stricter one."""
    place = (one, budget.meter, "total" if budget.meter == "concurrency" else budget.period)
    known = found.get(place)
    if known is not None:
        # Where one of two hard ones must not be passed, its account is not: the lower limit then holds the worst case.
        worst = any(each.hard and each.reserve == "worst" for each in (known, budget))
        if (known.hard, -known.limit) >= (budget.hard, -budget.limit):
            budget = known
        if worst and budget.reserve != "worst":
            budget = msgspec.structs.replace(budget, reserve="worst")
    if budget.scope.name == EACH:
        kind, organisation, name = one
        budget = msgspec.structs.replace(budget, scope=Scope(kind, name, organisation))
    found[place] = budget
