"""Which budgets are in force in a serving process, and which of their limits are nearly spent.

What it is not: the counting (`budgets`), or a change (`admin`). Invariants: no request waits for any of this; what was
once in force stays so however long the store is away; a change anywhere is in force here within 2 s.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from trimtab.admin import BudgetAdmin, BudgetsInForce
from trimtab.budgets import Book
from trimtab.budgets.settings import webhook_of
from trimtab.budgets.warnings import FULL, REFUSING, Passed, Refusals, Refused, Warnings, passed
from trimtab.budgets.webhooks import TRIES, send, wait_ms
from trimtab.errors import StoreError
from trimtab.records import EACH, Budget, account_of
from trimtab.store import Database, Transaction
from trimtab.store.budgets.beginnings import begin
from trimtab.store.budgets.figures import counted_on, members_of
from trimtab.store.budgets.warnings import Notice, claim, put_back, take_due
from trimtab.store.keys import head

LOOK_S = 0.5
"""Between two looks at the number of the last change, as for keys: two may fail and it is still in force within 2 s."""

COUNT_S = 1.0
"""Between two looks at what was counted. One question for all accounts, 0.1 ms for ten."""

COUNT_SHARE = 20
"""A look that takes long, as where each of a thousand keys has a budget (0.25 s for 200,000 accounts), is followed by
a rest of so many times its length: it takes a twentieth of a core at the most."""

SEND_S = 1.0
"""Between two looks at warnings that are to be sent."""

MEMBERS_MOST = 1000
"""Of a budget that everyone of a kind has, the most used so many are looked at."""

REMEMBERED_MOST = 10_000

Prices = Callable[[], None]
"""Keeps what records are priced by; blocks, and raises `StoreError`."""

_log = logging.getLogger("trimtab.budgets")


class BudgetWatch:
    """One for each serving process. `load` it before use, `close` it after."""

    def __init__(
        self,
        database: Database,
        keep_to: Callable[[Book], None],
        *,
        clock_ms: Callable[[], int],
        on_problem: Callable[[str], None],
        beside: Callable[[], None] = lambda: None,
        refusals: Refusals | None = None,
    ) -> None:
        """`keep_to` puts budgets in force; it is called on the event loop once there is one. `beside` is called with
        every look: what else is learnt from the store; it may raise `StoreError`. `refusals`: what the process
        refuses."""
        self._refusals = refusals
        self._untold: list[Refused] = []
        """Refusals that the store has not heard of."""
        self._database = database
        self._keep_to = keep_to
        self._clock_ms = clock_ms
        self._on_problem = on_problem
        self._beside = beside
        self.warnings = Warnings()
        self._admin: BudgetAdmin | None = None
        self._prices: Prices | None = None
        self._in_force: BudgetsInForce | None = None
        self._in_force_by: BudgetAdmin | None = None
        self._claimed: set[tuple[str, str, bool, int, int]] = set()
        self._counted = float("-inf")
        self._rest_s = COUNT_S
        self._failing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = threading.Event()
        self._send = threading.Event()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name="trimtab-budgets", daemon=True),
            threading.Thread(target=self._run_sending, name="trimtab-webhooks", daemon=True),
        ]

    @property
    def in_force(self) -> BudgetsInForce | None:
        """What is in force; `None` before `load`."""
        return self._in_force

    def follow(self, admin: BudgetAdmin, prices: Prices | None) -> None:
        """Go by the budgets of this configuration from now on. Never waits."""
        self._admin, self._prices = admin, prices
        self._wake.set()

    def load(self) -> None:
        """Put what there is in force now. Blocks. Raises `StoreError`."""
        self._beside()
        self._look_for_changes()

    def start(self) -> None:
        """Begin to renew; the running event loop is the requests'."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop; what is to be sent stays in the store. Blocks for a question to the store at the most. Idempotent."""
        self._stopping.set()
        self._wake.set()
        self._send.set()
        watching, sending = self._threads
        if watching.is_alive():
            watching.join(timeout_s)
        if sending.is_alive():
            sending.join(0.2)  # it may wait for somebody's webhook; whoever comes next sends it again

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            self._try()
            self._wake.wait(LOOK_S)

    def _try(self) -> None:
        try:
            self._look_for_changes()
            self._keep_prices()
            self._beside()
            self._tell_refusals()
            now = time.monotonic()
            if now - self._counted >= self._rest_s:
                self._look_at_accounts()
                self._counted = now
                self._rest_s = max(COUNT_S, COUNT_SHARE * (time.monotonic() - now))
        except Exception as problem:  # the thread must outlive every surprise
            if not self._failing:
                self._failing = True
                reason = (
                    str(problem)
                    if isinstance(problem, StoreError)
                    else f"{type(problem).__name__}: {problem}"
                )
                self._on_problem(f"budgets: {reason}; those that are known stay in force")
            return
        self._failing = False

    def _look_for_changes(self) -> None:
        admin, known = self._admin, self._in_force
        if admin is None:
            return
        if known is not None and self._in_force_by is admin and self._database.read(head) == known.as_of:
            return
        found = self._database.read(admin.in_force)
        for name, note in found.notes.items():
            if known is None or known.notes.get(name) != note:
                _log.warning("budget %s: %s", name, note)
        if known is None or found.budgets != known.budgets:
            # Before anything is counted on what is new.
            begin(self._database, found.budgets, None if known is None else known.budgets)
            self._put_in_force(Book(found.budgets))
        self._in_force, self._in_force_by = found, admin
        self._counted = float("-inf")

    def _put_in_force(self, book: Book) -> None:
        loop = self._loop
        if loop is None:
            self._keep_to(book)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(self._keep_to, book)

    def _keep_prices(self) -> None:
        if (prices := self._prices) is not None:
            prices()
            if self._prices is prices:
                self._prices = None

    def _look_at_accounts(self) -> None:
        known = self._in_force
        if known is None or not known.budgets:
            self.warnings.now_is(())
            return
        now_ms = self._clock_ms()

        def work(tx: Transaction) -> tuple[Passed, ...]:
            accounts = _accounts(tx, known.budgets, now_ms)
            counted = counted_on(tx, [account for account, _ in accounts])
            return passed(accounts, {place: one.spent for place, one in counted.items()})

        found = self._database.read(work)
        self.warnings.now_is(found)
        self._tell(known, found)

    def _tell(self, known: BudgetsInForce, found: Sequence[Passed]) -> None:
        """Tell of levels that are passed."""
        # A limit of a minute that is reached is reached again in the next one: its header says enough.
        told = {
            Notice(
                budget=one.budget.name,
                account=one.account,
                simulated=one.simulated,
                level=one.level,
                limit=one.budget.limit,
                spent=one.spent,
            ): f"{'its limit is reached' if one.level == FULL else f'{one.percent} % of its limit is spent'}"
            f" on account {one.account}"
            f"{'' if one.budget.hard or one.level != FULL else '; it is soft, and refuses nothing'}"
            for one in found
            if one.budget.period != "minute"
        }
        self._tell_new(known, told)

    def _tell_refusals(self) -> None:
        """Tell of budgets that have begun to refuse, though they are not spent."""
        known = self._in_force
        if self._refusals is not None:
            self._untold += self._refusals.take()
        if known is None or not self._untold:
            return
        accounts = [one.account for one in self._untold]
        counted = self._database.read(lambda tx: counted_on(tx, accounts))
        told = {}
        for one in self._untold:
            place = counted.get((one.account, one.simulated))
            notice = Notice(
                budget=one.budget.name,
                account=one.account,
                simulated=one.simulated,
                level=REFUSING,
                limit=one.budget.limit,
                spent=0 if place is None else place.spent,
                asked=one.asked,
            )
            told[notice] = (
                f"it refuses requests that may come to more than is left ({one.words}) on account {one.account}"
            )
        self._tell_new(known, told)
        self._untold = []

    def _tell_new(self, known: BudgetsInForce, told: Mapping[Notice, str]) -> None:
        """Log those that nobody told of yet, and have them sent."""
        new = [one for one in told if _place(one) not in self._claimed]
        if not new:
            return
        if len(self._claimed) > REMEMBERED_MOST:
            self._claimed.clear()
        sends = {name: settings.webhook is not None for name, settings in known.settings.items()}
        mine = claim(self._database, new, sends)
        self._claimed |= {_place(one) for one in new}
        words = {_place(one): said for one, said in told.items()}
        for one in mine:
            _log.warning(
                "budget %s%s: %s", one.budget, " (simulated)" if one.simulated else "", words[_place(one)]
            )
        if any(sends.get(one.budget, False) for one in mine):
            self._send.set()

    # Sending

    def _run_sending(self) -> None:
        while not self._stopping.is_set():
            self._send.clear()
            known = self._in_force
            if known is not None and any(one.webhook is not None for one in known.settings.values()):
                try:
                    self._send_what_is_due()
                except StoreError:
                    pass  # said by whoever watches; the rows are there when the store is back
                except Exception:
                    _log.exception("sending warnings of budgets failed in our own code")
            self._send.wait(SEND_S)

    def _send_what_is_due(self) -> None:
        for notice in take_due(self._database):
            if self._stopping.is_set():
                return
            self._send_one(notice)

    def _send_one(self, notice: Notice) -> None:
        known = self._in_force
        settings = known.settings.get(notice.budget) if known is not None else None
        try:
            hook = None if settings is None else webhook_of(settings)
        except ValueError as problem:
            hook, found = None, str(problem)
        else:
            if hook is None:
                put_back(
                    self._database,
                    notice,
                    state="failed",
                    wait_ms=0,
                    problem="the budget has no webhook any more",
                )
                return
            sent = send(hook, notice, self._clock_ms() // 1000)
            if sent.ok:
                put_back(self._database, notice, state="sent", wait_ms=0, problem="")
                return
            found = sent.problem
        tries = notice.tries + 1
        last = tries >= TRIES
        if tries == 1 or last:
            _log.warning(
                "budget %s: its webhook was not reached (%s); %s",
                notice.budget,
                found,
                "given up" if last else "tried again for some hours",
            )
        put_back(
            self._database,
            notice,
            state="failed" if last else "waiting",
            wait_ms=wait_ms(tries),
            problem=found,
        )


def _place(one: Notice) -> tuple[str, str, bool, int, int]:
    return one.budget, one.account, one.simulated, one.level, one.limit


def _accounts(tx: Transaction, budgets: Sequence[Budget], now_ms: int) -> list[tuple[str, Budget]]:
    """Each account that is counted on now with its budgets; who has a budget of his own does not have everyone's."""
    named = [
        (account_of(one.scope, one.meter, one.period, now_ms), one)
        for one in budgets
        if one.meter != "concurrency" and one.scope.name != EACH
    ]
    own = {account for account, _ in named}
    for one in budgets:
        if one.meter != "concurrency" and one.scope.name == EACH:
            found = members_of(tx, one.scope, one.meter, one.period, now_ms, MEMBERS_MOST)
            named += [(account, one) for account in found if account not in own]
    return named
