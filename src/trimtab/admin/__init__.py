"""The one door for changes that people make: authorised, checked, and audited in the same transaction.

What it is not: who calls a model (`identity`), or HTTP and terminals, which both come in through here.
Invariant: there is no change without its audit row, and no audit row without its change.
"""

from trimtab.admin.budget_explained import Asked, Explained
from trimtab.admin.budget_history import BurnDown
from trimtab.admin.budget_words import (
    AccountView,
    BudgetChanged,
    BudgetPictures,
    BudgetView,
    LineView,
    Standing,
)
from trimtab.admin.budgets import BudgetAdmin, BudgetsInForce, FileBudgets
from trimtab.admin.cache import CacheAdmin
from trimtab.admin.content import ContentAdmin, ContentDeleted
from trimtab.admin.keys import KeyAdmin
from trimtab.admin.rules import KeyRules
from trimtab.admin.tasks import TaskAdmin, Visitor
from trimtab.admin.users import UserAdmin, UserView
from trimtab.admin.words import (
    Actor,
    AuditEntry,
    KeyView,
    LimitsChanged,
    Money,
    NewKey,
    SecretMade,
    SecretView,
    Verified,
)

__all__ = [
    "AccountView",
    "Actor",
    "Asked",
    "AuditEntry",
    "BudgetAdmin",
    "BudgetChanged",
    "BudgetPictures",
    "BudgetView",
    "BudgetsInForce",
    "BurnDown",
    "CacheAdmin",
    "ContentAdmin",
    "ContentDeleted",
    "Explained",
    "FileBudgets",
    "KeyAdmin",
    "KeyRules",
    "KeyView",
    "LimitsChanged",
    "LineView",
    "Money",
    "NewKey",
    "SecretMade",
    "SecretView",
    "Standing",
    "TaskAdmin",
    "UserAdmin",
    "UserView",
    "Verified",
    "Visitor",
]
