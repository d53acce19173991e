"""The steps of one request: an attempt, its verdicts, and the next rung, until an answer is accepted.

What it is not: the decisions (`Climb`), or the checks (`verification`). Invariants: exactly one reply is left, and it
says all that was tried; a step that fails or may not be paid for never costs the client the answer that is there
already; no money is held while an answer is judged; cancelled, everything is ended, and recorded once.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from trimtab.budgets import Hold
from trimtab.catalogue import Arm
from trimtab.engine.cascade.deciding import Climb
from trimtab.engine.cascade.judging import Judging
from trimtab.engine.job import Job
from trimtab.engine.metered import Metered
from trimtab.engine.outcome_of import Judgement
from trimtab.engine.reply import HTTP_ERRORS, MeteredReply
from trimtab.engine.route import Route
from trimtab.engine.surviving import Surviving, mixed
from trimtab.errors import RequestError, Unavailable, UpstreamError, shortened
from trimtab.records import MAX_ERROR_CHARS, Attempt, Says, Verdict, overall
from trimtab.routing.cascade import Ladder, Made

RANK: dict[Says | None, int] = {"accept": 2, "unsure": 1, "escalate": 0, None: -1}
"""Which answer is given where none was accepted: the best verdict, and of two alike the later one."""


_log = logging.getLogger("trimtab.engine")


class Steps:
    """Those of one request."""

    def __init__(
        self,
        metered: Metered,
        surviving: Surviving | None,
        ladder: Ladder,
        climb: Climb,
        prepare: Callable[[Arm, int, bool], Awaitable[tuple[Job, Route | None]]],
        judging: Judging,
        given: Callable[[Arm, Attempt], None],
        most_bytes: int,
    ) -> None:
        """`prepare` plans the call on a rung, as which step, and on which side; it raises `RequestError`. `given`
        is told of the rung and attempt whose answer is given. One over `most_bytes` is not held back."""
        self._metered = metered
        self._surviving = surviving
        self._ladder = ladder
        self._climb = climb
        self._prepare = prepare
        self._judging = judging
        self._given = given
        self._most_bytes = most_bytes
        self._made: list[Made] = []
        self._ended: list[MeteredReply] = []
        """Replies of steps that are over, besides the one that is under way."""
        self._whys: list[str] = []

    async def run(self, job: Job, route: Route | None, hold: Hold) -> MeteredReply:
        """The reply whose answer is given; the caller must `close` it. Spends money.

        Raises `UpstreamError` or `RequestError` where the first step had no answer; it is recorded then.
        """
        begun: tuple[Job, Route | None, Hold] | None = (job, route, hold)
        arm = self._climb.beginning.rungs[0]
        reply: MeteredReply | None = None
        try:
            while begun is not None:
                before = () if reply is None else (*reply.before, reply.end())
                if reply is not None:
                    self._ended.append(reply)
                    reply = None
                side = self._ended[0].simulated if self._ended else None
                reply, problem = await self._called(*begun, before, side)
                whole = False
                if problem is None and not self._failed(reply):
                    try:
                        whole = await reply.hold_whole(self._most_bytes)
                    except UpstreamError as broken:
                        problem = broken
                if problem is not None or self._failed(reply):
                    if not self._ended:
                        return self._unanswered(reply, problem)
                    self._missed(reply, problem, arm)
                elif not whole:
                    return self._too_long(reply)
                else:
                    await self._judge(reply, arm)
                begun, arm = await self._following(reply, arm)
        except BaseException as gone:
            self._given_up(reply, gone)
            raise
        assert reply is not None
        return self._released([*self._ended, reply])

    async def _called(
        self, job: Job, route: Route | None, hold: Hold, before: tuple[Attempt, ...], simulated: bool | None
    ) -> tuple[MeteredReply, UpstreamError | RequestError | None]:
        if route is None or self._surviving is None:
            reply, problem = await self._metered.attempt(job, hold, before)
            if problem is None and simulated not in (None, reply.simulated):
                problem = mixed(reply)
            return reply, problem
        return await self._surviving.attempt(route, job, hold, before, simulated)

    def _failed(self, reply: MeteredReply) -> bool:
        return reply.status >= HTTP_ERRORS or reply.error_type is not None

    async def _judge(self, reply: MeteredReply, arm: Arm) -> None:
        """Judge an answer that has come whole."""
        attempt = reply.end()
        verdicts = await self._judging(reply, reply.held, self._spent((*reply.before, attempt)))
        attempt = reply.judged(verdicts)
        checks = sum(verdict.cost_nanousd for verdict in verdicts)
        self._made.append(Made(arm, overall(verdicts), attempt.cost_nanousd + checks))

    async def _following(
        self, reply: MeteredReply, arm: Arm
    ) -> tuple[tuple[Job, Route | None, Hold] | None, Arm]:
        """The next step after one that is over, where there is one: its call with leave for it, and its rung."""
        attempt, accepted = reply.end(), self._made[-1].says == "accept"
        while True:
            following = self._climb.next(
                self._made,
                left_s=self._left_s(reply.job),
                spent_nanousd=self._spent((*reply.before, attempt)),
            )
            if following.arm is None:
                if not accepted:
                    self._whys.append(following.reason)
                return None, arm
            why = f"{following.arm}: {following.reason}"
            try:
                job, route = await self._prepared(following.arm, why, reply.job.provider.simulated)
                hold = await self._metered.reserve(job, (*reply.before, attempt), reply.hold)
            except RequestError as problem:
                if problem.status in (402, 429):
                    self._whys.append(f"not escalated to {following.arm}: {problem}")
                    return None, arm
                self._whys.append(f"{following.arm} is passed over: {problem}")
                self._made.append(Made(following.arm, None, 0, called=False))
                continue
            except Unavailable as problem:
                self._whys.append(f"not escalated to {following.arm}: {problem}")
                return None, arm
            except Exception as problem:  # there is an answer, whatever it was that broke
                _log.exception("request %s: a further step could not be begun", reply.job.id)
                self._whys.append(f"not escalated to {following.arm}: {type(problem).__name__}")
                return None, arm
            self._whys.append(why)
            return (job, route, hold), following.arm

    async def _prepared(self, arm: Arm, why: str, simulated: bool) -> tuple[Job, Route | None]:
        """The call of the next step, with why it is made: should its client go meanwhile, its record says so."""
        job, route = await self._prepare(arm, len(self._made), simulated)
        whys = (*self._whys, why)

        def told(made: Job) -> Job:
            return msgspec.structs.replace(made, escalations=whys)

        return told(job), None if route is None else route.as_others(told)

    def _left_s(self, job: Job) -> float | None:
        """How long it is until the deadline of the ladder."""
        within_s = self._ladder.within_s
        if within_s is None:
            return None
        return job.arrived + within_s - self._metered.runtime.monotonic()

    def _spent(self, attempts: Sequence[Attempt]) -> int:
        return sum(
            made.cost_nanousd + sum(verdict.cost_nanousd for verdict in made.verdicts) for made in attempts
        )

    def _unanswered(self, reply: MeteredReply, problem: UpstreamError | RequestError | None) -> MeteredReply:
        """The first call had no answer: that is the answer. Raises what broke it, recorded."""
        if problem is not None:
            reply.close(problem)
            raise problem
        return reply

    def _missed(self, reply: MeteredReply, problem: UpstreamError | RequestError | None, arm: Arm) -> None:
        """A later step had no answer; that of an earlier one is still there."""
        attempt = reply.end(problem)
        self._made.append(Made(arm, None, attempt.cost_nanousd))
        self._whys.append(shortened(f"{arm} had no answer: {attempt.error or problem}", MAX_ERROR_CHARS))

    def _too_long(self, reply: MeteredReply) -> MeteredReply:
        """An answer that is longer than what is held back goes on unjudged."""
        reason = f"longer than {self._most_bytes:,} bytes, so that it was not held back or judged"
        verdict = Verdict("held_back", "unsure", reason, failed=True)
        for other in self._ended:
            other.carry()
        self._whys.append(f"not judged: {reason}")
        reply.judgement = self._judgement("unsure", (), (verdict,))
        return reply

    def _released(self, replies: list[MeteredReply]) -> MeteredReply:
        """The answer that is given, of all that came."""
        best = max(
            (reply for reply in replies if reply.end().verdicts),
            key=lambda reply: (RANK[overall(reply.end().verdicts)], len(reply.before)),
        )
        last = replies[-1]
        attempts = (*last.before, last.end())
        after = attempts[len(best.before) + 1 :]
        for other in replies:
            if other is not best:
                other.carry()
        best.judgement = self._judgement(overall(best.end().verdicts), after)
        attempt = best.end()
        self._given(self._made[attempt.step].arm, attempt)
        return best

    def _judgement(
        self,
        says: Says,
        after: tuple[Attempt, ...],
        verdicts: tuple[Verdict, ...] = (),
    ) -> Judgement:
        steps = sum(made.says is not None for made in self._made) or 1
        return Judgement(says, steps, after, tuple(self._whys), self._judging.spent_nanousd, verdicts)

    def _given_up(self, reply: MeteredReply | None, gone: BaseException) -> None:
        """The client went, or we broke. A call that was under way has recorded the request, or does so now."""
        if reply is not None:
            reply.end(gone)
            reply.judgement = self._judgement("unsure", ())
            reply.close(gone)
        for other in self._ended:
            other.carry()
