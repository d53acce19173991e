"""How verifiers call models: through the engine's lower floor, counted as theirs.

What it is not: the calls (`paired`). Invariant: what a verifier spends is known whatever it says of it and however its
calls end, and never more than is left of what its request may cost.
"""

import asyncio
from collections.abc import Callable

import msgspec

from trimtab.catalogue import Arm
from trimtab.engine.asked import Asked
from trimtab.engine.cascade.paired import Beside, Own, Paired
from trimtab.records import Outcome
from trimtab.verification import Heard, Prompt


class Asking:
    """One check's way to models, for one answer. Implements `verification.Ask`."""

    def __init__(
        self,
        paired: Paired,
        asked: Asked,
        arm_of: Callable[[str], Arm],
        beside: Beside,
        spent: Callable[[Heard], None],
    ) -> None:
        """`arm_of` reads what a verifier names; it raises `TrimtabError` for what is no arm."""
        self._paired = paired
        self._asked = asked
        self._arm_of = arm_of
        self._beside = beside
        self._spent = spent
        self._left = beside.most_nanousd
        self._in_turn = asyncio.Lock()

    async def __call__(self, arm: str, prompt: Prompt | None = None) -> Heard:
        """See `Ask`."""
        if self._left is None:
            return await self._heard(arm, prompt)
        async with self._in_turn:  # what is left is known once the one before has ended
            return await self._heard(arm, prompt)

    async def _heard(self, arm: str, prompt: Prompt | None) -> Heard:
        meant = self._arm_of(arm)
        beside = msgspec.structs.replace(self._beside, most_nanousd=self._left, recorded=self._recorded)
        if prompt is None:
            called = await self._paired.same(self._asked, meant, beside)
        else:
            own = Own(
                system=prompt.system, user=prompt.user, max_tokens=prompt.max_tokens, schema=prompt.schema
            )
            called = await self._paired.own(self._asked.inbound, own, meant, beside)
        return Heard(called.answers, called.arm, called.request, called.cost_nanousd, called.simulated)

    def _recorded(self, outcome: Outcome) -> None:
        """A call has ended, and perhaps without an answer: it has its price all the same."""
        if self._left is not None:
            self._left = max(0, self._left - outcome.cost_nanousd)
        arm = "" if outcome.plan is None else str(outcome.plan.arm)
        self._spent(Heard((), arm, outcome.id, outcome.cost_nanousd, outcome.simulated))
