"""The budgets that a serving process keeps to: those of its configuration and of the store, renewed as they change.

What it is not: what budgets mean (`admin`), or the counting (`budgets`). Invariants: a process that cannot read its
budgets does not start to serve; while the store is away later, the last ones known stay in force; who reserves never
waits for any of this.
"""

import threading
from collections.abc import Callable

from trimtab.admin import BudgetAdmin, BudgetsInForce
from trimtab.budgets import Book
from trimtab.errors import StoreError
from trimtab.store import Database
from trimtab.store.budgets.beginnings import begin
from trimtab.store.keys.audit import head

RENEW_S = 0.5
"""As for keys: whoever makes both expects them at about the same time. A look at the number of the last change, about
20 us."""


class BudgetsKept:
    """One for each serving process."""

    def __init__(
        self,
        database: Database,
        keep_to: Callable[[Book], None],
        on_problem: Callable[[str], None],
        *,
        admin: BudgetAdmin,
        now: BudgetsInForce,
    ) -> None:
        """Put these budgets in force, which were read through this door. `keep_to` may be called from any thread."""
        self._database = database
        self._keep_to = keep_to
        self._on_problem = on_problem
        self._admin = admin
        self._now: BudgetsInForce | None = None
        self._lock = threading.Lock()
        """Held while a book is made and put in force, so that an older one never follows a newer."""
        self._wake = threading.Event()
        self._stopping = False
        self._failing = False
        self._thread: threading.Thread | None = None
        self._put(now)

    @property
    def now(self) -> BudgetsInForce | None:
        """What is in force; `None` for the moment after the configuration has changed."""
        return self._now

    def start(self) -> None:
        """Begin to renew."""
        self._thread = threading.Thread(target=self._run, name="trimtab-budgets", daemon=True)
        self._thread.start()

    def use(self, admin: BudgetAdmin) -> None:
        """Go on with the budgets of another configuration, from a moment later on. Never waits."""
        self._admin, self._now = admin, None
        self._wake.set()

    def close(self, timeout_s: float = 2.0) -> None:
        """Stop. Blocks for one question to the store at the most. Idempotent."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def renew(self) -> None:
        """Take over what has changed. Blocks. Raises `StoreError`."""
        with self._lock:
            admin, now = self._admin, self._now
            if now is not None and self._database.read(head) == now.as_of:
                return
            found = self._database.read(admin.in_force)
            if admin is self._admin:
                self._put(found)

    def _put(self, found: BudgetsInForce) -> None:
        before, self._now = self._now, found
        if before is None or before.budgets != found.budgets:
            self._begin(found)
            self._keep_to(Book(found.budgets))

    def _begin(self, found: BudgetsInForce) -> None:
        """Before anything is counted on a new account, what was spent in its period already."""
        try:
            begin(self._database, found.budgets)
        except StoreError as problem:  # what is limited is limited all the same
            self._on_problem(f"budgets: {problem}; new ones are counted from now on")

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                self.renew()
                self._failing = False
            except Exception as problem:  # the thread must outlive every surprise
                # A store that is away says so itself.
                if not isinstance(problem, StoreError) and not self._failing:
                    self._failing = True
                    self._on_problem(
                        f"budgets: {type(problem).__name__}: {problem}; those known stay in force"
                    )
            self._wake.wait(RENEW_S)
