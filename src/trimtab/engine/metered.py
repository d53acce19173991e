"""The lower floor: reserve, call, settle, record. Every upstream call of the program is one `Job` here.

Invariants: no call goes out whose worst case was not reserved (on a budget that says so, what is expected of it) and
whose intent was not written down; once a reply was
begun, exactly one `Outcome` is recorded for its request and each hold is settled, whatever happens: an answer, an
error, a cut, a deadline, a client that goes away, another platform that takes over.
"""

from functools import partial

from trimtab.budgets import UNUSED, Hold
from trimtab.catalogue import NanoUSD
from trimtab.catalogue.money import dollars
from trimtab.engine.counted import expected_of, use_of
from trimtab.engine.job import Job, most_output, priced_at
from trimtab.engine.means import Means
from trimtab.engine.reply import MeteredReply
from trimtab.engine.task_call import TaskCall
from trimtab.errors import BudgetSpent, RequestError, Unavailable, UpstreamError
from trimtab.records import Attempt, Intent


class Metered(Means):
    """Makes jobs happen and accounts for them."""

    async def reserve(self, job: Job, before: tuple[Attempt, ...] = (), after: Hold | None = None) -> Hold:
        """Leave for a job within its caller's limits, with its intent written down. `begin` it next, without waiting.

        `before` are attempts of the same request, and `after` is the hold of the last one that was begun: with it, it
        is no further request, and is counted where that one is. Waits only for a caller with limits or budgets of which
        a slice is used up.
        Raises `RateLimited`, `BudgetSpent`, or `Unavailable` when the limits cannot be checked or the journal cannot
        be written.
        """
        provider, ledger = job.provider, self.ledger
        if job.most_nanousd is not None:
            self._check_most(job, job.most_nanousd, before)
        if job.task is not None:
            self._check_task(job, job.task, before)
        simulated = provider.simulated or provider.name in self.simulated
        hold = await ledger.reserve(
            self.worst_case(job),
            simulated=simulated,
            caller=job.caller,
            use=use_of(job) if ledger.has_budgets or after is not None else UNUSED,
            after=after,
            expect=partial(expected_of, job, self.catalogue, self.expectations, simulated)
            if ledger.holds_expected
            else None,
        )
        spends = hold.amount > 0 or bool(before) or hold.drawn is not None
        if spends and not self.recorder.intend(self._intent(job, hold, before)) and hold.is_limited:
            ledger.release(hold)
            raise Unavailable("calls that are counted on a hard limit cannot be journalled now; try again", 1)
        return hold

    async def reserve_nothing(self, job: Job, *, simulated: bool) -> Hold:
        """Leave for a request that makes no call: it counts as one of the minute and of those in flight, and takes no
        money. Raises `RateLimited`, or `Unavailable` when the limits cannot be checked."""
        use = use_of(job, calls=False) if self.ledger.has_budgets else UNUSED
        return await self.ledger.reserve(NanoUSD(0), simulated=simulated, caller=job.caller, use=use)

    def _check_most(self, job: Job, most: int, before: tuple[Attempt, ...]) -> None:
        """Raises `BudgetSpent` where the request could come to more than it may."""
        spent = sum(made.cost_nanousd + sum(said.cost_nanousd for said in made.verdicts) for made in before)
        worst = self.worst_case(job)
        if spent + worst > most:
            tried = f"{dollars(spent)} are spent, and " if before else ""
            raise BudgetSpent(
                f"this request may cost {dollars(most)} at the most, as its route says (most_usd); {tried}"
                f"a call of {job.plan.arm} may cost {dollars(worst)}: lower max_tokens, or raise most_usd"
            )

    def _check_task(self, job: Job, task: TaskCall, before: tuple[Attempt, ...]) -> None:
        """What the task holds is for one call; a further one must fit into what those before it left. Raises
        `BudgetSpent`."""
        if task.grant.left_nanousd is None:
            return
        spent, worst = sum(made.cost_nanousd for made in before), self.worst_case(job)
        if spent + worst > task.held_nanousd:
            raise BudgetSpent(
                f"task {task.grant.task} holds {dollars(task.held_nanousd)} for this request; {dollars(spent)} of it "
                f"went into calls that failed, and this call may cost {dollars(worst)}: "
                "lower max_tokens, or extend the task"
            )

    def begin(self, job: Job, hold: Hold, before: tuple[Attempt, ...] = ()) -> MeteredReply:
        """A call that is about to go out: `open` it, and in any case `close` it, or `end` and `carry` it."""
        return MeteredReply(self, job, hold, before)

    async def call(self, job: Job, hold: Hold) -> MeteredReply:
        """Send, and wait for the response head. Spends money.

        The caller must `close` the reply. Raises `UpstreamError` when no head came; the request is then recorded
        already.
        """
        reply, problem = await self.attempt(job, hold)
        if problem is not None:
            reply.close(problem)
            raise problem
        return reply

    async def attempt(
        self, job: Job, hold: Hold, before: tuple[Attempt, ...] = ()
    ) -> tuple[MeteredReply, UpstreamError | RequestError | None]:
        """The same, after attempts of the same request; with what broke it, which is not recorded then. Cancelled, the
        request is recorded."""
        reply = MeteredReply(self, job, hold, before)
        try:
            await reply.open()
        except (UpstreamError, RequestError) as problem:
            return reply, problem
        except BaseException as gone:
            reply.close(gone)
            raise
        return reply, None

    def _intent(self, job: Job, hold: Hold, before: tuple[Attempt, ...]) -> Intent:
        caller, runtime = job.caller, self.runtime
        # In the order of the fields: by name, msgspec takes 0.9 us more.
        return Intent(
            job.id,
            job.arrived_ms,
            job.purpose,
            job.endpoint,
            job.requested_model,
            job.session,
            job.plan,
            job.send_model,
            hold.amount,
            job.call.stream,
            hold.simulated,
            hold.takes_money,
            job.request_bytes,
            job.tags,
            job.parent,
            caller.key,
            caller.organisation,
            caller.team,
            caller.user,
            runtime.config_version,
            runtime.catalogue_version,
            "" if job.provider.name == job.plan.platform else job.provider.name,
            job.account,
            before,
            *(("", "") if job.task is None else (job.task.grant.task, job.task.grant.phase)),
            job.task_class,
            hold.draws,
            *((None, 0) if job.step is None else (job.plan.arm, job.step)),
        )

    def worst_case(self, job: Job) -> NanoUSD:
        """The most that the job can cost, unbounded server tools aside; 0 for endpoints that bill nothing."""
        if job.endpoint == "count_tokens":
            return NanoUSD(0)
        return self.catalogue.worst_case(
            job.model,
            job.input_bound,
            most_output(job),
            priced_at(job),
            platform=job.provider.platform,
            fast=job.fast,
            us=job.us_only,
            regional=job.provider.regional,
            discount=job.provider.discount,
        )
