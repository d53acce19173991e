"""Making, changing, removing and showing budgets.

What it is not: counting or refusing (`budgets`). Every method blocks on the store and raises `StoreError`;
`RequestError` (400), `PermissionDenied`, `NotFound` and `Conflict` are the caller's. Invariants: a budget of the
configuration file is changed in the file and nowhere else; an admin key touches budgets of its own organisation only.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from trimtab.admin.budget_explained import Explained, of_key, of_request
from trimtab.admin.budget_scopes import scopes_of
from trimtab.admin.budget_views import Known, burn_downs_of, histories_of, view_of
from trimtab.admin.budget_words import BudgetChanged, BudgetPictures, BudgetView
from trimtab.admin.keys import check_still_admin, find_key
from trimtab.admin.words import Actor
from trimtab.budgets.settings import (
    BudgetSettings,
    Line,
    check_budget,
    check_budget_name,
    is_reference,
    webhook_shown,
)
from trimtab.errors import ConfigError, Conflict, NotFound, PermissionDenied, RequestError, shortened
from trimtab.records import EACH, SCOPE_KINDS, Budget
from trimtab.store import Database, Transaction
from trimtab.store.budgets.tables import (
    StoredBudget,
    all_budgets,
    budget_named,
    known_names,
    put_budget,
    remove_budget,
)
from trimtab.store.keys import audit as chain

MOST_BUDGETS = 1000
"""Each is looked at for every request of who it is for, and all are in the memory of every process."""

_JSON = msgspec.json.Encoder(decimal_format="number", order="deterministic")


class FileBudgets(msgspec.Struct, frozen=True):
    """Those of a configuration file."""

    file: str = ""
    budgets: Mapping[str, BudgetSettings] = {}


class BudgetsInForce(msgspec.Struct, frozen=True, kw_only=True):
    """All budgets as requests are counted on them."""

    as_of: chain.Head
    budgets: tuple[Budget, ...]
    settings: Mapping[str, BudgetSettings]
    """Of each, by its name, the settings that it comes from."""
    notes: Mapping[str, str]
    """What is odd about budgets, by their names, as a team that there is not yet."""


class BudgetAdmin:
    """The door for budgets. One per version of the configuration; keeps nothing, safe to use from any thread."""

    def __init__(self, database: Database, from_file: FileBudgets) -> None:
        self._database = database
        self._from_file = from_file

    def budgets(self, actor: Actor) -> list[BudgetView]:
        """All that the actor may see, by name."""

        def work(tx: Transaction) -> list[BudgetView]:
            histories = histories_of(tx)
            return [
                view_of(tx, one, self._from_file.file, histories)
                for one in self.known(tx)
                if _may_see(tx, actor, one)
            ]

        return self._database.read(work)

    def pictures(self, actor: Actor, *, simulated: bool) -> BudgetPictures:
        """The same with how each account came to what is spent of it."""

        def work(tx: Transaction) -> BudgetPictures:
            histories = histories_of(tx)
            seen = tuple(
                view_of(tx, one, self._from_file.file, histories)
                for one in self.known(tx)
                if _may_see(tx, actor, one)
            )
            return BudgetPictures(
                now_ms=tx.now_ms(),
                budgets=seen,
                burn_downs=tuple(
                    curve for one in seen for curve in burn_downs_of(one, histories[simulated], simulated)
                ),
            )

        return self._database.read(work)

    def show(self, actor: Actor, name: str) -> BudgetView:
        """One by its name. Raises `NotFound`."""
        return self._database.read(lambda tx: self._view(tx, self._find(tx, actor, name)))

    def known(self, tx: Transaction) -> list[Known]:
        """All there are, by name. Where a file took a name that the store has, the file's counts."""
        found = {one.name: Known(name=one.name, settings=_read(one), stored=one) for one in all_budgets(tx)}
        found |= {name: Known(name=name, settings=one) for name, one in self._from_file.budgets.items()}
        return [found[name] for name in sorted(found)]

    def explain(self, actor: Actor, name: str, tags: Sequence[str] = ()) -> Explained:
        """Which budgets the requests of a key draw on, or what a recorded request drew. Raises `NotFound`, `Conflict`.

        `name` is a key's id or name, or a request's id; `tags` are those that a request of the key would have.
        """

        def work(tx: Transaction) -> Explained:
            budgets = self.in_force(tx).budgets
            try:
                key = find_key(tx, actor, name)
            except NotFound:
                return of_request(tx, name, actor.organisation, budgets)
            return of_key(tx, key, tags, budgets)

        if not name.isprintable():
            raise NotFound(f"{shortened(name, 80)!r}: neither a key nor a request")
        return self._database.read(work)

    def in_force(self, tx: Transaction) -> BudgetsInForce:
        """What processes go by, and the number of the change that it is as of."""
        budgets: list[Budget] = []
        settings: dict[str, BudgetSettings] = {}
        notes: dict[str, str] = {}
        for one in self.known(tx):
            found = scopes_of(tx, one.name, one.settings)
            if found.note:
                notes[one.name] = found.note
            for scope in found.scopes:
                made = one.settings.budgets(one.name, scope)
                budgets += made
                settings |= dict.fromkeys((limit.name for limit in made), one.settings)
        return BudgetsInForce(as_of=chain.head(tx), budgets=tuple(budgets), settings=settings, notes=notes)

    def put(self, actor: Actor, name: str, settings: BudgetSettings) -> BudgetChanged:
        """Make a budget, or put these settings in place of those that it has, all of them. Idempotent.

        Takes effect in all processes within 2 s. Raises `NotFound` for a team, user, key or organisation that there is
        not, `Conflict` for a budget of the file and for one that limits what another limits already.
        """
        try:
            check_budget_name(name)
            check_budget(name, settings, lambda key: key or f"budget {name!r}")
        except ConfigError as problem:
            raise RequestError(str(problem)) from None
        self._check_not_in_file(name)

        def work(tx: Transaction) -> BudgetChanged:
            check_still_admin(tx, actor)
            stored = budget_named(tx, name)
            if stored is not None and not _owns(actor, stored.organisation):
                raise Conflict(f"budget {name!r}: the name is in use; choose another")
            placed = _placed(tx, actor, name, settings)
            self._check_unlike(tx, name, placed)
            if stored is None and len(all_budgets(tx)) >= MOST_BUDGETS:
                raise Conflict(f"there are {MOST_BUDGETS} budgets already; remove one that nobody needs")
            was = None if stored is None else Known(name=name, settings=_read(stored), stored=stored)
            _check_references(actor, placed, BudgetSettings() if was is None else was.settings)
            if was is not None and was.settings == placed:
                view = self._view(tx, was)
                return BudgetChanged(view, view)
            before = None if was is None else self._view(tx, was)
            now_ms = tx.now_ms()
            made = StoredBudget(
                name=name,
                organisation=placed.organisation or "",
                made_ms=now_ms if stored is None else stored.made_ms,
                changed_ms=now_ms,
                settings=_JSON.encode(placed).decode(),
            )
            put_budget(tx, made, _note(tx, actor, "budgets.set", name, placed, was))
            return BudgetChanged(self._view(tx, Known(name=name, settings=placed, stored=made)), before)

        return self._database.write(work)

    def change(self, actor: Actor, name: str, changes: Mapping[str, object]) -> BudgetChanged:
        """Change the settings that are named, by the fields of `BudgetSettings`; `None` removes one, others stay.

        Makes the budget where there is none. Another process may change it meanwhile; then the later change stands.
        """

        def now(tx: Transaction) -> BudgetSettings:
            stored = budget_named(tx, name) if name.isprintable() else None
            if stored is None or not _owns(actor, stored.organisation):
                return BudgetSettings()
            return _read(stored)

        settings = self._database.read(now)
        if any(changes.get(scope) is not None for scope in SCOPE_KINDS):
            settings = msgspec.structs.replace(settings, **dict.fromkeys(SCOPE_KINDS))
        return self.put(actor, name, msgspec.structs.replace(settings, **changes))

    def remove(self, actor: Actor, name: str) -> BudgetChanged:
        """End a budget. What was counted stays counted, should it come back. Raises `NotFound`, `Conflict`."""
        self._check_not_in_file(name)

        def work(tx: Transaction) -> BudgetChanged:
            check_still_admin(tx, actor)
            found = self._find(tx, actor, name)
            before = self._view(tx, found)
            if not _owns(actor, found.settings.organisation or ""):
                raise PermissionDenied(
                    f"budget {name!r}: this key changes budgets of its own organisation only"
                )
            remove_budget(tx, name, tx.now_ms(), _note(tx, actor, "budgets.remove", name, None, found))
            return BudgetChanged(None, before)

        return self._database.write(work)

    def _check_not_in_file(self, name: str) -> None:
        if name in self._from_file.budgets:
            raise Conflict(
                f"budget {name!r}: is written in {self._from_file.file}, as [budgets.{name}]; change it there, and the "
                "server takes it over"
            )

    def _check_unlike(self, tx: Transaction, name: str, settings: BudgetSettings) -> None:
        """Two limits on the very same would leave open which one is meant."""
        own = {_same(name, settings, line): line for line in settings.lines}
        for other in self.known(tx):
            if other.name == name:
                continue
            for line in other.settings.lines:
                mine = own.get(_same(other.name, other.settings, line))
                if mine is not None:
                    raise Conflict(
                        f"{mine.field}: budget {other.name!r} limits the same for the same {settings.whose(name)[0]} "
                        f"already; change that one{'' if settings.soft else ', or make one of them soft'}"
                    )

    def _find(self, tx: Transaction, actor: Actor, name: str) -> Known:
        known = [one for one in self.known(tx) if _may_see(tx, actor, one)]
        for one in known:
            if one.name == name:
                return one
        raise NotFound(
            f"no budget {shortened(name, 80)!r} is known; {_hint(name, [one.name for one in known])}"
        )

    def _view(self, tx: Transaction, one: Known) -> BudgetView:
        return view_of(tx, one, self._from_file.file, histories_of(tx))


def _hint(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name[:80], list(names), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "`trimtab budgets` shows those there are"


def _same(name: str, settings: BudgetSettings, line: Line) -> tuple[object, ...]:
    return (settings.organisation, *settings.whose(name), line.meter, line.period, settings.soft)


def _read(stored: StoredBudget) -> BudgetSettings:
    return msgspec.json.decode(stored.settings, type=BudgetSettings)


def _owns(actor: Actor, organisation: str) -> bool:
    return actor.organisation is None or actor.organisation == organisation


def _may_see(tx: Transaction, actor: Actor, one: Known) -> bool:
    """An admin key sees what is its organisation's, and all where there is no other organisation."""
    if actor.organisation is None or one.settings.organisation == actor.organisation:
        return True
    return one.settings.organisation is None and known_names(tx, "organisation", None, 2) == [
        actor.organisation
    ]


def _placed(tx: Transaction, actor: Actor, name: str, settings: BudgetSettings) -> BudgetSettings:
    """With its scope in full, and a key by its id. Raises `NotFound`, `PermissionDenied`, `Conflict`."""
    kind, who = settings.whose(name)
    organisation = settings.organisation
    if actor.organisation is not None:
        if organisation not in (None, actor.organisation):
            raise PermissionDenied(
                f"organisation: {organisation!r}: this key makes budgets of its own organisation only, "
                f"{actor.organisation!r}"
            )
        organisation = actor.organisation
        if who == EACH and kind in ("organisation", "key"):
            raise PermissionDenied(f"{kind}: '*': this key makes budgets of its own organisation only")
    placed = msgspec.structs.replace(settings, **{"organisation": organisation, kind: who})
    if kind == "tag" or (who == EACH and kind != "key"):
        return placed
    if kind == "key" and who != EACH:
        key = find_key(tx, actor, who)
        if organisation not in (None, key.organisation):
            raise NotFound(f"key: {shortened(who, 80)!r}: is of organisation {key.organisation!r}")
        return msgspec.structs.replace(placed, key=key.id, organisation=key.organisation)
    found = scopes_of(tx, name, placed)
    if len(found.scopes) > 1:
        raise Conflict(f"{kind}: {shortened(who, 80)!r}: {found.note}")
    if found.note:
        raise NotFound(f"{kind}: {found.note}")
    return (
        placed
        if kind == "organisation"
        else msgspec.structs.replace(placed, organisation=found.scopes[0].organisation)
    )


def _check_references(actor: Actor, settings: BudgetSettings, was: BudgetSettings) -> None:
    """What an organisation's admin key sends is signed with no secret of this machine, and goes to no address that one
    holds, unless whoever has the machine said so. Raises `PermissionDenied`."""
    if actor.organisation is None:
        return
    for field in ("webhook", "webhook_secret"):
        said = getattr(settings, field)
        if said is not None and is_reference(said) and said != getattr(was, field):
            raise PermissionDenied(
                f"{field}: names a variable or file of the server's machine, which a key may not; on this machine use "
                f"`trimtab budgets set`, and leave it as it is here"
            )


def _note(
    tx: Transaction, actor: Actor, action: str, name: str, after: BudgetSettings | None, was: Known | None
) -> int:
    of = after if after is not None else was.settings if was is not None else BudgetSettings()
    return chain.add_row(
        tx,
        actor=actor.name,
        action=action,
        organisation=of.organisation or "",
        subject=name,
        before=None if was is None else _told(was.settings),
        after=None if after is None else _told(after),
    )


def _told(settings: BudgetSettings) -> str:
    """For the audit trail, without what may be a secret."""
    if settings.webhook is not None:
        settings = msgspec.structs.replace(settings, webhook=webhook_shown(settings.webhook))
    return _JSON.encode(settings).decode()
