"""Calls of a task: leave is taken from its budget before they are planned, and the body is shaped to it.

What it is not: the budget's arithmetic (`budgets.tasks`), or the body's changes (`task_body`). Invariant: each grant is
settled once, whether its call was made or not.
"""

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import msgspec

from trimtab.budgets.tasks import TaskAsk, TaskBudgets, TaskGrant, phase_header, task_header
from trimtab.catalogue import Catalogue
from trimtab.catalogue.estimating import estimate, measure
from trimtab.engine.asked import Asked
from trimtab.engine.bounds import input_bound
from trimtab.engine.chat_bounds import chat_input_bound
from trimtab.engine.inbound import PHASE, TASK
from trimtab.engine.job import hour_of
from trimtab.engine.session import conversation_of
from trimtab.engine.task_body import LEAST_TOTAL, Shape, has_own_budget, least_output, shaped, with_beta
from trimtab.engine.task_call import TaskCall
from trimtab.errors import RequestError, TaskBudgetSpent
from trimtab.messages.chat import ChatBody
from trimtab.providers import Provider
from trimtab.records import Outcome, TaskSpent, spent_of

LOW_PART = 4
"""The model is told when a phase begins and once less than a quarter of it is left. More often would cost more than it
says: a note ends what a platform caches on its own of a conversation."""

MILLION = 1_000_000

ADDED_TOKENS = 1024
"""What is put into a body on its way adds less: a note has some 400 bytes, an effort in words 200."""


A = TypeVar("A", bound=Asked)


class Tasking:
    """One per configuration version."""

    def __init__(self, budgets: TaskBudgets, catalogue: Catalogue, without: Collection[str] = ()) -> None:
        """`without`: platforms that take no `task_budget` of the vendor's."""
        self._budgets = budgets
        self._catalogue = catalogue
        self._without = without

    async def begin(self, asked: A, providers: Sequence[Provider], decided: Callable[[A, str], A]) -> A:
        """The request with leave for one call, and its body shaped to it; as it is when it is part of no task.

        `providers` are all that may serve it, the first one first; `decided` chooses its effort once the scenario of
        its task is known. One transaction of the store. Raises what `TaskBudgets.begin` does, and `RequestError` for
        headers that make no sense.
        """
        inbound, body = asked.inbound, asked.body
        if TASK not in inbound.own:
            if PHASE in inbound.own:
                raise RequestError(f"{PHASE}: belongs to a task; send {TASK} too, or leave it out")
            return asked
        task, total = task_header(inbound.own[TASK])
        phase, progress = phase_header(inbound.own.get(PHASE, ""))
        if inbound.endpoint == "count_tokens":
            return asked  # costs nothing
        model, answers = asked.decision.model, body.answers if isinstance(body, ChatBody) else 1
        wanted = body.max_tokens if body.max_tokens is not None else model.limits.max_output
        bound = chat_input_bound(body, model) if isinstance(body, ChatBody) else input_bound(body, model)
        input_nanousd = max(self._worst_case(asked, one, bound, 0) for one in providers)
        million = max(self._worst_case(asked, one, bound, MILLION) for one in providers)
        output_nanousd = -(-(million - input_nanousd) // MILLION)
        grant = await self._budgets.begin(
            TaskAsk(
                task=task,
                phase=phase,
                progress_permille=progress,
                total=total,
                caller=inbound.caller,
                request_id=inbound.id,
                conversation=conversation_of(body, asked.session, inbound.caller.key),
                # As many as it may well have: what it has beyond them, the budget is passed by.
                input_estimate=min(estimate(measure(body), model).high, bound),
                max_tokens=wanted * answers,
                input_nanousd=input_nanousd,
                output_nanousd=output_nanousd,
                simulated=providers[0].simulated,
            )
        )
        platforms = {one.platform for one in providers}
        try:
            asked = decided(asked, grant.scenario)
            held = input_nanousd + grant.max_tokens * output_nanousd
            return self._shaped(asked, TaskCall(grant, held), answers, platforms)
        except BaseException:
            self.release(grant)
            raise

    def again(
        self, asked: A, providers: Sequence[Provider], decided: Callable[[A, str], A], task: TaskCall
    ) -> A:
        """The same request on another rung of its ladder, with the leave that it has: no more is held for it. Raises
        `RequestError`."""
        asked = decided(asked, task.grant.scenario)
        answers = asked.body.answers if isinstance(asked.body, ChatBody) else 1
        return self._shaped(asked, task, answers, {one.platform for one in providers})

    def release(self, grant: TaskGrant) -> None:
        """The call is not made."""
        self._budgets.settle(grant, TaskSpent())

    def settle(self, call: TaskCall, outcome: Outcome) -> None:
        """It has ended, with this record. Never waits or raises."""
        self._budgets.settle(call.grant, spent_of(outcome))

    def _shaped(
        self,
        asked: A,
        task: TaskCall,
        answers: int,
        platforms: Collection[str],
    ) -> A:
        grant = task.grant
        inbound, body, decision = asked.inbound, asked.body, asked.decision
        most = grant.max_tokens // answers
        least = least_output(body)
        if most < least <= (body.max_tokens or least):
            raise TaskBudgetSpent(
                f"task {grant.task}: phase {grant.phase} has {most} tokens left for this call's output, "
                f"and extended thinking needs {least}: send it without, begin the next phase, or extend the task",
                "phase_budget_exhausted",
                {"task": grant.task, "phase": grant.phase, "left_tokens": most, "needed_tokens": least},
            )
        native = (
            decision.model.features.task_budgets is True
            and inbound.endpoint == "messages"
            and grant.first_total >= LEAST_TOTAL
            and not any(platform in self._without for platform in platforms)
        )
        own = has_own_budget(body)
        shape = Shape(most, grant.first_total if native and not own else None, self._note(grant, native, own))
        body, said = shaped(body, shape)
        headers = with_beta(inbound.headers) if shape.total is not None else inbound.headers
        plan = decision.plan
        plan = msgspec.structs.replace(
            plan, changes=(*plan.changes, *said), reasons=(*plan.reasons, *grant.notes)
        )
        changed: A = msgspec.structs.replace(
            asked,
            inbound=msgspec.structs.replace(inbound, headers=headers, task=task),
            body=body,
            decision=msgspec.structs.replace(decision, plan=plan),
        )
        return changed

    def _note(self, grant: TaskGrant, native: bool, own: bool) -> str | None:
        """What the model is told, in a few words; `None` where it need not be told, or tells itself."""
        low = LOW_PART * grant.phase_left < grant.phase_budget
        phased = len(grant.phases) > 1
        if own or not (grant.first_of_phase or low) or (native and not (phased and grant.first_of_phase)):
            return None
        if not phased:
            return f"[Token budget: about {grant.left_tokens} tokens are left for the whole task. Finish within them.]"
        names = [name for name, _ in grant.phases]
        later = grant.phases[names.index(grant.phase) + 1 :]
        coming = ", ".join(f"{name} {left}" for name, left in later)
        after = f"; after it come {coming}" if coming else ", the last one"
        return (
            f"[Token budget: this is phase {grant.phase}{after}. About {grant.phase_left} tokens are left for this "
            f"phase and {grant.left_tokens} for the whole task. Finish the phase within its share.]"
        )

    def _worst_case(self, asked: Asked, provider: Provider, bound: int, output: int) -> int:
        body, model = asked.body, asked.decision.model
        return self._catalogue.worst_case(
            model,
            bound + ADDED_TOKENS,
            output,
            hour_of(asked.inbound.arrived_ms),
            platform=provider.platform,
            fast=body.text_field("speed") == "fast",
            us=body.text_field("inference_geo") == "us",
            regional=provider.regional,
            discount=provider.discount,
        )
