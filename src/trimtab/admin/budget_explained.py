"""Which budgets a caller's requests draw on, what is left of each, and which would refuse first; or what a recorded
request drew.

What it is not: a decision about any request. Invariant: the budgets that are named are those that requests are counted
on, chosen by the very code that counts (`budgets.Book`).
"""

from collections.abc import Sequence

import msgspec

from trimtab.admin.budget_expecting import ExpectedOf, expected_now, expected_of_record
from trimtab.admin.budget_history import History
from trimtab.admin.budget_words import Standing
from trimtab.budgets import Book
from trimtab.errors import NotFound, shortened
from trimtab.records import Budget, Caller, Meter, Outcome, Period, Reserve, account_of, period_of
from trimtab.store import Transaction
from trimtab.store.budgets.figures import counted_on
from trimtab.store.keys import Key


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """One account that a recorded request drew on."""

    account: str
    amount: int
    """What it came to there, in the account's own unit."""
    hard: bool
    """Whether it came out of a hard limit."""
    budgets: tuple[str, ...]
    """Those of today's budgets that count on this account, or did in its period; none where they are gone."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One limit that a request is counted on now."""

    budget: str
    """As `team-a.usd_per_month`; `key` for what the key itself may spend."""
    account: str
    meter: Meter
    period: Period
    limit: int
    hard: bool
    renews_ms: int | None
    real: Standing
    simulated: Standing
    reserve: Reserve = "worst"
    """What is held for calls in flight."""


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """For people who ask why."""

    key: str
    """The key's id; empty for a request without one."""
    name: str
    organisation: str
    team: str
    user: str
    tags: tuple[str, ...]
    asked: tuple[Asked, ...]
    """What a request of this caller with these tags is counted on now."""
    first: str
    """Which of these would refuse first; empty where none refuses."""
    why: str
    request: str = ""
    """The id of the request that was asked about."""
    at_ms: int | None = None
    status: int | None = None
    error: str | None = None
    """What the request was told."""
    drew: tuple[Drawn, ...] = ()
    expected: tuple[ExpectedOf, ...] = ()
    """Where one of the limits holds what is expected: how much that is now, for the kind of the request that was asked
    about, or for all kinds."""
    most_in_flight: int | None = None
    """Requests of this caller that can be in flight at a time, where a limit says so: by so many calls a limit that
    holds what is expected can be passed."""


def of_key(tx: Transaction, key: Key, tags: Sequence[str], budgets: Sequence[Budget]) -> Explained:
    """What requests of a key are counted on."""
    caller = Caller(
        key=key.id, organisation=key.organisation, team=key.team, user=key.user, limits=key.limits
    )
    found = _explained(tx, caller, key.name, tags, budgets)
    return msgspec.structs.replace(found, expected=expected_now(tx)) if _expects(found) else found


def of_request(
    tx: Transaction, request_id: str, organisation: str | None, budgets: Sequence[Budget]
) -> Explained:
    """What a recorded request drew, and what one like it is counted on now. Raises `NotFound`."""
    row = tx.row("SELECT detail FROM requests WHERE id = ?", (request_id,))
    record = None if row is None else msgspec.json.decode(row[0], type=Outcome)
    if record is None or organisation not in (None, record.organisation):
        raise NotFound(
            f"{shortened(request_id, 80)!r}: neither a key nor a recorded request; one that is still answered has no "
            "record"
        )
    key = tx.row("SELECT name FROM keys WHERE id = ?", (record.key,)) if record.key else None
    caller = Caller(key=record.key, organisation=record.organisation, team=record.team, user=record.user)
    found = _explained(tx, caller, "" if key is None else str(key[0]), record.tags, budgets)
    counting: dict[str, list[str]] = {}
    for one in found.asked:
        counting.setdefault(_in_any_period(one.account), []).append(one.budget)
    return msgspec.structs.replace(
        found,
        request=record.id,
        at_ms=record.at_ms,
        status=record.status,
        error=record.error,
        expected=expected_of_record(tx, record) if _expects(found) else (),
        drew=tuple(
            Drawn(
                account=draw.account,
                amount=draw.amount,
                hard=draw.leased,
                budgets=tuple(counting.get(_in_any_period(draw.account), ())),
            )
            for draw in record.draws
        ),
    )


def _in_any_period(account: str) -> str:
    """An account with the kind of its period in the place of the period, as a budget counts on one after the other."""
    name, _, period = account.rpartition("/")
    return f"{name}/{len(period)}" if period[:1].isdigit() else account


def _expects(found: Explained) -> bool:
    return any(one.reserve == "expected" for one in found.asked)


def _explained(
    tx: Transaction, caller: Caller, name: str, tags: Sequence[str], budgets: Sequence[Budget]
) -> Explained:
    now_ms = tx.now_ms()
    matching = Book(budgets).of(caller, tags)
    accounts = {one.name: account_of(one.scope, one.meter, one.period, now_ms) for one in matching}
    counted = counted_on(tx, [*accounts.values(), caller.key])
    histories = {side: History(tx, now_ms, simulated=side) for side in (False, True)}

    def standing(
        account: str, limit: int, simulated: bool, one: Budget | None, ends_ms: int | None
    ) -> Standing:
        found = counted.get((account, simulated))
        spent, held = (0, 0) if found is None else (found.spent, found.held)
        made, note = None, ""
        if one is not None:
            made, note = histories[simulated].forecast(
                one.scope, one.meter, one.period, limit, spent, ends_ms
            )
        return Standing(spent, held, max(0, limit - spent), made, note)

    asked = []
    total = caller.limits.total_nanousd
    if total is not None:
        asked.append(
            Asked(
                budget="key",
                account=caller.key,
                meter="usd",
                period="total",
                limit=total,
                hard=True,
                renews_ms=None,
                real=standing(caller.key, total, False, None, None),
                simulated=standing(caller.key, total, True, None, None),
            )
        )
    for one in matching:
        account = accounts[one.name]
        ends_ms = None if one.meter == "concurrency" else period_of(one.period, now_ms)[1]
        asked.append(
            Asked(
                budget=one.name,
                account=account,
                meter=one.meter,
                period=one.period,
                limit=one.limit,
                hard=one.hard,
                renews_ms=ends_ms,
                real=standing(account, one.limit, False, one, ends_ms),
                simulated=standing(account, one.limit, True, one, ends_ms),
                reserve=one.reserve,
            )
        )
    at_a_time = [one.limit for one in matching if one.meter == "concurrency"]
    if caller.limits.concurrency is not None:
        at_a_time.append(caller.limits.concurrency)
    first, why = _first(asked)
    return Explained(
        key=caller.key,
        name=name,
        organisation=caller.organisation,
        team=caller.team,
        user=caller.user,
        tags=tuple(tags),
        asked=tuple(asked),
        first=first,
        why=why,
        most_in_flight=min(at_a_time, default=None),
    )


def _first(asked: Sequence[Asked]) -> tuple[str, str]:
    """Which of the hard limits of amounts would refuse first, and why that one: by what is real, or, where nothing real
    was ever spent, by what is simulated."""
    hard = [one for one in asked if one.hard and one.meter != "concurrency"]
    if not hard:
        return "", "nothing refuses by what is spent"
    simulated = not any(one.real.spent for one in asked) and any(one.simulated.spent for one in asked)
    side = " (simulated)" if simulated else ""
    stands = [(one.budget, one.simulated if simulated else one.real) for one in hard]
    for name, stand in stands:
        if not stand.left:
            return name, f"it is spent{side}"
    coming = [
        (stand.forecast.reached_ms, name)
        for name, stand in stands
        if stand.forecast is not None and stand.forecast.reached_ms is not None
    ]
    if coming:
        return min(coming)[1], f"at the pace of the last days it is reached first{side}"
    name, first = max(stands, key=lambda pair: pair[1].spent / (pair[1].spent + pair[1].left))
    if not first.spent:
        return "", "nothing of any limit is spent yet"
    known = any(stand.forecast is not None for _, stand in stands)
    pace = "none is reached at the pace of the last days, and " if known else ""
    return name, f"{pace}of this one the largest part is spent{side}"
