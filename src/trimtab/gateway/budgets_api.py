"""`/trimtab/v1/budgets`: the door for budgets over HTTP, for keys that have admin set.

What it is not: rules or rights beyond "an admin key, for its own organisation"; those are in `admin`.
"""

from collections.abc import Awaitable, Callable

import msgspec

from trimtab.budgets.settings import BudgetSettings
from trimtab.gateway.http import Exchange
from trimtab.gateway.keys_api import actor_of, blocking, body_of, query_of

BUDGETS = "/trimtab/v1/budgets"
COMMAND = "trimtab budgets"


def budgets_handler(path: str) -> Callable[[Exchange], Awaitable[None]] | None:
    """Who answers this path; `None` where it is none of ours."""
    if path == BUDGETS:
        return _budgets
    return _budget if path.startswith(BUDGETS + "/") and path.count("/") == BUDGETS.count("/") + 1 else None


async def _budgets(http: Exchange) -> None:
    http.require("GET")
    query_of(http)
    admin, actor = http.around.budget_admin, actor_of(http, COMMAND)
    http.reply(200, msgspec.json.encode({"data": await blocking(lambda: admin.budgets(actor))}))


async def _budget(http: Exchange) -> None:
    http.require("GET", "PUT", "DELETE")
    query_of(http)
    admin, actor = http.around.budget_admin, actor_of(http, COMMAND)
    name = http.path.removeprefix(BUDGETS + "/")
    if http.method == "GET":
        found = await blocking(lambda: admin.show(actor, name))
    elif http.method == "DELETE":
        removed = await blocking(lambda: admin.remove(actor, name))
        assert removed.was is not None
        found = removed.was
    else:
        settings = await body_of(http, BudgetSettings, required=True)
        changed = await blocking(lambda: admin.put(actor, name, settings))
        assert changed.budget is not None
        found = changed.budget
    http.reply(200, msgspec.json.encode(found))
