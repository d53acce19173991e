"""One request whose answer is judged, or that has a ladder: how it is answered.

What it is not: its steps (`stepping`). Invariants: what is held back goes out whole and as it came; an answer that goes
out first is recorded with what was then found of it, or with why it was not judged.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic

import msgspec

from trimtab.budgets import Hold
from trimtab.catalogue import Arm
from trimtab.engine.answering import Answering
from trimtab.engine.cascade.afterwards import Afterwards
from trimtab.engine.cascade.deciding import Climb, Pinned
from trimtab.engine.cascade.holding import PendingReply, close_unheard
from trimtab.engine.cascade.judging import Judging
from trimtab.engine.cascade.stepping import Steps
from trimtab.engine.copying import CopiedReply
from trimtab.engine.job import Job, without_encoding
from trimtab.engine.metered import Metered
from trimtab.engine.outcome_of import Judgement
from trimtab.engine.preparing import Planner, Preparing, S
from trimtab.engine.repeating import Repeated
from trimtab.engine.reply import MeteredReply
from trimtab.engine.route import Route
from trimtab.engine.surviving import Surviving, making
from trimtab.engine.task_call import TaskCall
from trimtab.errors import RequestError
from trimtab.records import Attempt, Verdict, overall
from trimtab.routing.cascade import Ladder
from trimtab.verification import VerificationSettings

MIB = 1024 * 1024


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """What requests are answered with."""

    metered: Metered
    surviving: Surviving | None
    preparing: Preparing
    settings: VerificationSettings
    afterwards: Afterwards


class Checked(Generic[S]):
    """One request's way to its answer. Implements `reply.Afterwards`."""

    def __init__(
        self,
        floor: Floor,
        planner: Planner[S],
        asked: S,
        judging: Judging,
        ladder: Ladder,
        climb: Climb,
        *,
        holds: bool,
    ) -> None:
        """`asked` is the request as it was decided, before anything was done to it for one rung; `holds`: whether it is
        judged before it goes out."""
        self._floor = floor
        self._planner = planner
        self._asked = asked
        self._judging = judging
        self._ladder = ladder
        self._climb = climb
        self._holds = holds
        self._task: TaskCall | None = None
        self._called: list[Arm] = []
        """As they were decided."""

    @property
    def checks(self) -> tuple[str, ...]:
        """Names of the checks."""
        return tuple(check.name for check in self._judging.checks)

    def first(self) -> S:
        """The request on the rung on which it begins. Raises `RequestError`."""
        return self._on(self._climb.beginning.rungs[0])

    def _on(self, arm: Arm) -> S:
        """The request on a rung, its plan with what was decided of the whole cascade. Raises `RequestError`."""
        beginning = self._climb.beginning
        asked = self._planner.on_rung(self._asked, arm)
        plan = msgspec.structs.replace(
            asked.decision.plan,
            reasons=(*asked.decision.plan.reasons, *beginning.reasons),
            propensity=beginning.propensity,
            expected_cost_nanousd=beginning.expected_nanousd,
            direct_cost_nanousd=beginning.direct_nanousd,
        )
        decision = msgspec.structs.replace(asked.decision, plan=plan)
        return msgspec.structs.replace(asked, decision=decision, beside=self._holds)

    async def answer(self, job: Job, route: Route | None, hold: Hold, repeat: Repeated | None) -> Answering:
        """The answer, or as much of it as must be known. Spends money. Raises as `Pipeline.answer` does, and has it
        recorded."""
        self._task = job.task
        shelf = None if repeat is None else repeat.shelf
        try:
            reply = await self._answer(job, route, hold)
        except BaseException:
            if shelf is not None:
                shelf.drop()
            raise
        if repeat is None or not repeat.told:
            return reply
        accepted = isinstance(reply, MeteredReply) and (
            reply.judgement is not None and reply.judgement.says == "accept"
        )
        if shelf is not None and not accepted:
            shelf.drop()
            shelf = None
        if isinstance(reply, MeteredReply):
            return CopiedReply(reply, repeat.told, shelf, job)
        reply.told = repeat.told
        return reply

    async def _answer(self, job: Job, route: Route | None, hold: Hold) -> MeteredReply | PendingReply:
        settings = self._floor.settings
        most_bytes = settings.most_held_mib * MIB
        if not self._holds:
            reply = await making(self._floor.metered, self._floor.surviving, route, job, hold)
            reply.judge_after(self, most_bytes)
            return reply
        steps = Steps(
            self._floor.metered,
            self._floor.surviving,
            self._ladder,
            self._climb,
            self._prepared,
            self._judging,
            self._released,
            most_bytes,
        )
        running = self._timed(steps.run(job, route, hold), job.call.stream)
        if not job.call.stream:
            return await running
        return await self._streamed(running, job, hold)

    async def _timed(self, running: Coroutine[Any, Any, MeteredReply], stream: bool) -> MeteredReply:
        """The released answer, with how long it took in the metrics."""
        metered = self._floor.metered
        began = metered.runtime.monotonic()
        reply = await running
        metered.recorder.held_back(stream, metered.runtime.monotonic() - began)
        return reply

    async def _streamed(
        self, running: Coroutine[Any, Any, MeteredReply], job: Job, hold: Hold
    ) -> MeteredReply | PendingReply:
        """A stream whose head waits for the attempt that is released, but not for ever."""
        metered, settings = self._floor.metered, self._floor.settings
        # It begins before anything can cancel it: a call that is not begun would leave what is held for it.
        steps = asyncio.create_task(running)
        waited_s = metered.runtime.monotonic() - job.arrived
        try:
            await asyncio.wait({steps}, timeout=max(0.0, settings.hold_headers_s - waited_s))
        except asyncio.CancelledError:
            steps.cancel()
            steps.add_done_callback(close_unheard)
            await asyncio.wait({steps})
            raise
        if steps.done():
            return steps.result()
        return PendingReply(
            steps, job, simulated=hold.simulated, warned=(), keep_alive_s=settings.keep_alive_s
        )

    async def _prepared(self, arm: Arm, step: int, simulated: bool) -> tuple[Job, Route | None]:
        asked = self._on(arm)
        decided = asked.decision.plan.arm
        if decided in self._called:
            raise RequestError(f"as it is decided it is {decided}, which was called already")
        asked = await self._floor.preparing.again(self._planner, asked, self._task)
        job, route = self._floor.preparing.planned(self._planner, asked, simulated)
        return self.shaped(job, route, step)

    def _released(self, rung: Arm, attempt: Attempt) -> None:
        """The answer of this rung is given."""
        self._climb.ended(rung, attempt)
        if isinstance(self._climb, Pinned):
            return
        try:
            self._planner.answered(self._planner.on_rung(self._asked, rung))
        except RequestError:  # a key that was changed meanwhile: the answer is there
            pass

    def shaped(self, job: Job, route: Route | None, step: int = 0) -> tuple[Job, Route | None]:
        """The call as a step of a cascade: its answer is read here, it stays within what the request may cost, and
        later steps end with the ladder's time."""
        most = self._ladder.most_nanousd
        deadline = job.deadline
        if step and self._ladder.within_s is not None:
            end = job.arrived + self._ladder.within_s
            deadline = end if deadline is None else min(end, deadline)

        def shaped(made: Job) -> Job:
            return msgspec.structs.replace(
                made, step=step, deadline=deadline, most_nanousd=most, call=without_encoding(made.call)
            )

        self._called.append(job.plan.arm)
        return shaped(job), None if route is None else route.as_others(shaped)

    def __call__(self, reply: MeteredReply, attempt: Attempt) -> None:
        """An answer went out whole: judge it, and have it recorded."""
        self._released(self._climb.beginning.rungs[0], attempt)
        body = reply.went_by
        if not self._judging.checks:
            reply.record(attempt)
        elif body is None:
            self._unjudged(reply, "it is longer than what is judged")
        elif not self._floor.afterwards.takes(len(body)):
            self._unjudged(reply, "too many answers are being judged")
        else:
            self._floor.afterwards.begin(self._judge_later(reply, body), len(body))

    async def _judge_later(self, reply: MeteredReply, body: bytes) -> None:
        try:
            verdicts = await self._judging(reply, body, reply.cost())
        except BaseException:
            self._unjudged(reply, "the process stopped before it was judged")
            raise
        attempt = reply.judged(verdicts)
        reply.judgement = Judgement(overall(verdicts), checks_nanousd=self._judging.spent_nanousd)
        reply.record(attempt)

    def _unjudged(self, reply: MeteredReply, why: str) -> None:
        verdict = Verdict("all", "unsure", f"not judged: {why}", failed=True)
        attempt = reply.judged((verdict,))
        reply.judgement = Judgement("unsure", checks_nanousd=self._judging.spent_nanousd)
        reply.record(attempt)
