"""Budgets that people made while the server runs, as rows.

What it is not: what a budget means (`budgets.settings`), what was counted on it, or who may change it (`admin`).
Invariants: a name is there once; a row is never deleted, so that what was counted on it can be told later; each change
carries the number of the audit row of its transaction.
"""

import msgspec

from trimtab.store.database import Row, Transaction


class StoredBudget(msgspec.Struct, frozen=True, kw_only=True):
    """One budget."""

    name: str
    organisation: str = ""
    """Whose admin keys may change it; empty: nobody's, only people at the machine."""
    made_ms: int
    changed_ms: int
    settings: str
    """`budgets.settings.BudgetSettings` as JSON."""


_COLUMNS = "name, organisation, made_ms, changed_ms, settings"


def _read(row: Row) -> StoredBudget:
    return StoredBudget(name=row[0], organisation=row[1], made_ms=row[2], changed_ms=row[3], settings=row[4])


def all_budgets(tx: Transaction) -> list[StoredBudget]:
    """Those that were not removed, by name."""
    return [
        _read(row)
        for row in tx.rows(f"SELECT {_COLUMNS} FROM budgets WHERE removed_ms IS NULL ORDER BY name")  # noqa: S608 (our own names)
    ]


def budget_named(tx: Transaction, name: str) -> StoredBudget | None:
    """One that was not removed."""
    row = tx.row(f"SELECT {_COLUMNS} FROM budgets WHERE name = ? AND removed_ms IS NULL", (name,))  # noqa: S608 (our own names)
    return None if row is None else _read(row)


def put_budget(tx: Transaction, budget: StoredBudget, version: int) -> None:
    """Make it, or put it in place of the one of this name."""
    tx.change(
        f"INSERT INTO budgets ({_COLUMNS}, version) VALUES (?, ?, ?, ?, ?, ?) "  # noqa: S608 (our own names)
        "ON CONFLICT (name) DO UPDATE SET organisation = excluded.organisation, made_ms = excluded.made_ms, "
        "changed_ms = excluded.changed_ms, settings = excluded.settings, version = excluded.version, removed_ms = NULL",
        (
            budget.name,
            budget.organisation,
            budget.made_ms,
            budget.changed_ms,
            budget.settings,
            version,
        ),
    )


def remove_budget(tx: Transaction, name: str, now_ms: int, version: int) -> None:
    """It limits nothing any more."""
    tx.change(
        "UPDATE budgets SET removed_ms = ?, version = ? WHERE name = ? AND removed_ms IS NULL",
        (now_ms, version, name),
    )


def organisations_with(tx: Transaction, kind: str, name: str) -> list[str]:
    """Organisations that have a team or user of this name."""
    table = {"team": "teams", "user": "users"}[kind]
    return [
        str(row[0])
        for row in tx.rows(f"SELECT organisation FROM {table} WHERE name = ? ORDER BY organisation", (name,))  # noqa: S608 (our own names)
    ]


def known_names(tx: Transaction, kind: str, organisation: str | None, most: int = 1000) -> list[str]:
    """Organisations, teams or users, for hints."""
    table = {"organisation": "organisations", "team": "teams", "user": "users"}[kind]
    narrowed = organisation is not None and kind != "organisation"
    return [
        str(row[0])
        for row in tx.rows(
            f"SELECT DISTINCT name FROM {table} {'WHERE organisation = ?' if narrowed else ''} ORDER BY name LIMIT ?",  # noqa: S608
            (organisation, most) if narrowed else (most,),
        )
    ]
