"""Budgets of tasks with the official SDK: made by its own `post`, used by two headers, and what each mistake looks like."""

from typing import Any

import anthropic
from client import SONNET, ask, client, failure, tell

api = client(timeout=30)


def made(**body: Any) -> Any:
    return api.post("/trimtab/v1/tasks", cast_to=object, body=body)


def refused(call: Any) -> dict[str, Any]:
    try:
        call()
    except anthropic.APIStatusError as problem:
        return failure(problem)
    return {"class": None}


def called(**headers: str) -> Any:
    return api.messages.create(
        model=SONNET,
        max_tokens=64,
        messages=ask("Hello"),
        extra_headers={f"x-trimtab-{name}": text for name, text in headers.items()},
    )


task = made(total=20_000)["id"]
answer = called(task=task, phase="analysis")
api.post(f"/trimtab/v1/tasks/{task}/close", cast_to=object)
going_on = made(total=20_000)["id"]
tell(
    {
        "answered": answer.stop_reason,
        "negative": refused(lambda: made(total=-5)),
        "phases_above_total": refused(lambda: made(total=5_000, phases=[{"name": "a", "tokens": 6_000}])),
        "unknown_strategy": refused(lambda: made(total=20_000, strategy="fast")),
        "total_changed": refused(lambda: called(task=f"{going_on}; total=90000")),
        "anothers_task": refused(lambda: called(task="task_of_somebody_else")),
        "closed": refused(lambda: called(task=task)),
    }
)
