"""Which requests are judged, and with what.

What it is not: how one is answered (`checked`), or its steps (`stepping`). Invariant: a request that names no check,
and whose route names none and has no ladder, is not looked at.
"""

from collections.abc import Awaitable, Callable

import msgspec

from trimtab.catalogue import Arm
from trimtab.engine.asked import Asked
from trimtab.engine.cascade.afterwards import Afterwards
from trimtab.engine.cascade.checked import Checked, Floor
from trimtab.engine.cascade.deciding import Climb, Deciding, Pinned
from trimtab.engine.cascade.judging import Bench, Judging, Quoted
from trimtab.engine.cascade.paired import Paired
from trimtab.engine.chat import ChatPlanner
from trimtab.engine.inbound import VERIFY, Inbound
from trimtab.engine.metered import Metered
from trimtab.engine.planning import MessagesPlanner
from trimtab.engine.preparing import Planner, Preparing, S
from trimtab.engine.surviving import Surviving
from trimtab.messages.exchange import question_of
from trimtab.records import RequestId
from trimtab.routing import VIRTUAL_PREFIX, Decision
from trimtab.routing.cascade import Ladder
from trimtab.routing.cascade.ladder import within
from trimtab.routing.routes import AUTO
from trimtab.sandbox import Ran, Run
from trimtab.verification import VerificationSettings, Verifiers


class Judges(msgspec.Struct, frozen=True, kw_only=True):
    """What requests are judged with. One per configuration version."""

    verifiers: Verifiers
    settings: VerificationSettings
    deciding: Deciding
    arm_of: Callable[[str], Arm]
    """Reads an arm or a tier that a verifier names. Raises `TrimtabError`."""
    run: Callable[[Run], Awaitable[Ran]]
    """Runs code in a sandbox. Raises `TrimtabError` where there is none."""
    new_id: Callable[[], RequestId]
    auto_ladder: Ladder
    """Of requests for `trimtab/auto` that no route takes."""
    afterwards: Afterwards
    quoted: Quoted
    """What verdicts may quote of prompts and answers, on this side of real and simulated."""


def concerns_judges(decision: Decision, inbound: Inbound) -> bool:
    """Whether a request's answer is judged, or its route has several rungs."""
    return (bool(decision.verify) or decision.ladder is not None or VERIFY in inbound.own) and (
        inbound.endpoint != "count_tokens"
    )


class Verifying:
    """One per configuration version."""

    def __init__(
        self,
        metered: Metered,
        surviving: Surviving | None,
        preparing: Preparing,
        messages: MessagesPlanner,
        chat: ChatPlanner,
        judges: Judges,
    ) -> None:
        self._judges = judges
        self._preparing = preparing
        self.paired = Paired(metered, surviving, preparing, messages, chat, judges.new_id)
        """The primitive for calls beside a request."""
        self._floor = Floor(
            metered=metered,
            surviving=surviving,
            preparing=preparing,
            settings=judges.settings,
            afterwards=judges.afterwards,
        )
        self._bench = Bench(
            paired=self.paired,
            arm_of=judges.arm_of,
            run=judges.run,
            monotonic=metered.runtime.monotonic,
            charges_caller=judges.settings.charge == "caller",
            quoted=judges.quoted,
        )

    def begin(self, planner: Planner[S], asked: S) -> tuple[Checked[S], S]:
        """What is to be done with a request, and the request on the rung on which it begins. Raises `RequestError`."""
        inbound, decision, judges = asked.inbound, asked.decision, self._judges
        checks = [judges.verifiers.check(name, "verify") for name in decision.verify]
        of_route = {check.name for check in checks}
        if (header := inbound.own.get(VERIFY)) is not None:
            checks += [one for one in judges.verifiers.wanted(header) if one.name not in of_route]
        question = question_of(inbound.body, "chat" if inbound.endpoint == "chat" else "messages")
        holds = bool(checks) and decision.verify_when == "before"
        several = decision.ladder or self._of_auto(asked)
        if several is not None:
            several = within(several, inbound.caller.models, inbound.caller.tiers)
        ladder = several or Ladder(rungs=(decision.plan.arm,))
        climb: Climb = Pinned(decision.plan.arm)
        if several is not None:
            climb = judges.deciding.begin(
                ladder,
                inbound,
                asked.body,
                decision,
                asked.session,
                question,
                judged=holds,
                simulated=self._preparing.is_simulated(asked),
            )
        judging = Judging(
            self._bench,
            asked,
            tuple(checks),
            frozenset(check.name for check in checks) - of_route,
            question,
            most_nanousd=ladder.most_nanousd,
            deadline=None if ladder.within_s is None else inbound.arrived + ladder.within_s,
        )
        checked = Checked(self._floor, planner, asked, judging, ladder, climb, holds=holds)
        return checked, checked.first() if several is not None else asked

    def _of_auto(self, asked: Asked) -> Ladder | None:
        """The ladder of a request that says no more than `trimtab/auto` and that no route takes: the default tier, then
        what that escalates to."""
        plan = asked.decision.plan
        if asked.body.model != VIRTUAL_PREFIX + AUTO or plan.route or plan.tier != "default":
            return None
        return self._judges.auto_ladder
