"""Whose use a budget limits, by what the store knows of organisations, teams, users and keys.

What it is not: who may set one. Invariant: a budget that could mean several is in force for each of them, never for
none: what an operator limited is limited.
"""

import difflib

import msgspec

from trimtab.admin.words import DEFAULT_ORGANISATION
from trimtab.budgets.settings import BudgetSettings
from trimtab.errors import shortened
from trimtab.records import EACH, Scope, ScopeKind
from trimtab.store import Transaction
from trimtab.store.budgets.tables import known_names, organisations_with
from trimtab.store.keys import tables as keys


class Found(msgspec.Struct, frozen=True):
    """Whom a budget limits."""

    scopes: tuple[Scope, ...]
    """Several only where it does not say which of several is meant."""
    note: str = ""
    """What is odd about it: that there is no such team yet, or several."""


def scopes_of(tx: Transaction, name: str, settings: BudgetSettings) -> Found:
    """By the settings of a budget and its name, which is a team's where they name nobody."""
    kind, who = settings.whose(name)
    organisation = settings.organisation or ""
    if kind == "tag":
        return Found((Scope(kind, who, organisation),))
    if kind == "organisation":
        missing = who != EACH and who not in known_names(tx, kind, None)
        return Found((Scope(kind, who),), unknown(tx, kind, who, "") if missing else "")
    if who == EACH:
        if kind == "key" or organisation:
            return Found((Scope(kind, who, organisation),))
        everywhere = known_names(tx, "organisation", None) or [DEFAULT_ORGANISATION]
        return Found(tuple(Scope(kind, who, one) for one in everywhere))
    if kind == "key":
        return _keys(tx, who, organisation)
    having = [one for one in organisations_with(tx, kind, who) if organisation in ("", one)]
    if not having:
        return Found(
            (Scope(kind, who, organisation or DEFAULT_ORGANISATION),), unknown(tx, kind, who, organisation)
        )
    note = ""
    if len(having) > 1:
        note = (
            f"organisations {', '.join(map(repr, having))} each have a {kind} {who!r}, and each has these limits for "
            "itself; say which is meant with organisation"
        )
    return Found(tuple(Scope(kind, who, one) for one in having), note)


def _keys(tx: Transaction, who: str, organisation: str) -> Found:
    by_id = keys.key_by_id(tx, who)
    found = [by_id] if by_id is not None else keys.keys_named(tx, who, organisation or None)
    if not found:
        return Found((), f"there is no key {who!r}; its keys are made with: trimtab keys add {who}")
    note = ""
    if len(found) > 1:
        listed = ", ".join(f"{one.id} of {one.organisation!r}" for one in found)
        note = f"several keys are named {who!r}, and each has these limits for itself; name one by its id: {listed}"
    elif found[0].revoked_ms is not None:
        note = f"key {found[0].id} was revoked"
    return Found(tuple(Scope("key", one.id) for one in found), note)


def unknown(tx: Transaction, kind: ScopeKind, who: str, organisation: str) -> str:
    """That there is none of this name, and what may have been meant."""
    known = known_names(tx, kind, organisation or None)
    close = difflib.get_close_matches(who[:80], known, n=1, cutoff=0.5)
    of = f" of organisation {organisation!r}" if organisation and kind != "organisation" else ""
    option = "org" if kind == "organisation" else kind
    return f"there is no {kind} {shortened(who, 80)!r}{of} yet; " + (
        f"did you mean {close[0]!r}?"
        if close
        else f"{kind}s come with the keys made for them: trimtab keys add NAME --{option} {who[:80]}"
    )
