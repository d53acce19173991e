"""The upper floor: admit a client's request, plan it, and have it called.

What is judged before it goes out is answered by `cascade`. A refused request is recorded too, with no plan and no cost.
"""

from collections.abc import Mapping

from trimtab.budgets import Hold
from trimtab.engine.answering import Answering
from trimtab.engine.cascade import Judges, Verifying
from trimtab.engine.cascade.checked import Checked
from trimtab.engine.cascade.verifying import concerns_judges
from trimtab.engine.chat import ChatPlanner
from trimtab.engine.conversations import Conversations
from trimtab.engine.copying import CopiedReply, led
from trimtab.engine.counted import check_budgets
from trimtab.engine.inbound import VERIFY, Decide, Inbound
from trimtab.engine.job import Job
from trimtab.engine.metered import Metered
from trimtab.engine.pictures import PrepareImages
from trimtab.engine.planning import MessagesPlanner
from trimtab.engine.preparing import Choose, Planner, Preparing, S
from trimtab.engine.repeating import KeptReply, Repeated, Repeating, concerns, gave_up, question_of
from trimtab.engine.route import Route
from trimtab.engine.surviving import Surviving, making
from trimtab.engine.task_call import TaskCall
from trimtab.errors import BudgetSpent, RequestError, RuleRefused, Unavailable, shortened
from trimtab.messages import MessagesBody, named_model
from trimtab.normaliser import Normaliser
from trimtab.providers import Provider
from trimtab.records import MAX_ERROR_CHARS, Outcome


class Pipeline:
    """Answers requests. One per configuration version."""

    def __init__(
        self,
        metered: Metered,
        router: Decide,
        providers: Mapping[str, Provider],
        normaliser: Normaliser | None = None,
        conversations: Conversations | None = None,
        choose: Choose | None = None,
        surviving: Surviving | None = None,
        images: PrepareImages | None = None,
        repeating: Repeating | None = None,
        judges: Judges | None = None,
    ) -> None:
        """`providers` by the key of their place. Without a normaliser requests go out as they come; without
        conversations no model change is noticed; without `choose` places are taken as they are configured; without
        `surviving` each request makes one call; without `images` they go out as they come; without `repeating` no
        answer is given twice; without `judges` none is judged."""
        self._metered = metered
        keep = metered.runtime.keep is not None
        self._messages = MessagesPlanner(router, providers, normaliser, conversations, keep=keep)
        self._chat = ChatPlanner(router, providers, normaliser, keep=keep)
        self._surviving = surviving
        self._repeating = repeating
        self._preparing = Preparing(
            providers,
            choose,
            images,
            metered.tasking,
            asks_again=None if surviving is None else surviving.asks_again,
        )
        self._verifying = (
            None
            if judges is None
            else Verifying(metered, surviving, self._preparing, self._messages, self._chat, judges)
        )

    async def answer(self, inbound: Inbound) -> Answering:
        """The platform's reply, head arrived, or an earlier one. The caller must `close` it. Spends money.

        Raises `RequestError` or `Unavailable` (recorded as refused), or `UpstreamError` (recorded with its attempts).
        """
        if inbound.endpoint == "chat":
            return await self._answer(self._chat, inbound)
        return await self._answer(self._messages, inbound)

    async def _answer(self, planner: Planner[S], inbound: Inbound) -> Answering:
        body: MessagesBody | None = None
        task: TaskCall | None = None
        repeat: Repeated | None = None
        checked: Checked[S] | None = None
        preparing, metered, repeating = self._preparing, self._metered, self._repeating
        try:
            body = planner.read(inbound)
            asked = planner.decide(inbound, body)
            if metered.ledger.has_budgets:
                check_budgets(body, inbound, metered.ledger, self._messages.tool_lists)
            if concerns_judges(asked.decision, inbound):
                if self._verifying is None:
                    raise RequestError(f"{VERIFY}: no answer is judged here; leave it out")
                checked, asked = self._verifying.begin(planner, asked)
            if preparing.concerns_images(asked):
                asked = await preparing.with_images(asked)
            if inbound.names_task:
                asked = await preparing.for_task(planner, asked)
                task = asked.inbound.task
            job, route = preparing.planned(planner, asked)
            if checked is not None:
                job, route = checked.shaped(job, route)
            if repeating is not None and concerns(repeating, inbound):
                checks = () if checked is None else checked.checks
                repeat = await self._repeat(repeating, inbound, job, route, checks)
                if repeat.kept is not None:
                    return repeat.kept
            hold = await metered.reserve(job)
        except BaseException as problem:
            if repeat is not None and repeat.shelf is not None:
                repeat.shelf.drop()
            if task is not None and metered.tasking is not None:
                metered.tasking.release(task.grant)
            if isinstance(problem, RequestError | Unavailable):
                self._refuse(inbound, body, problem, task)
            raise
        if checked is not None:
            return await checked.answer(job, route, hold, repeat)
        if repeat is None or not repeat.told:
            return await making(metered, self._surviving, route, job, hold)
        return await self._copied(job, route, hold, repeat)

    async def _copied(self, job: Job, route: Route | None, hold: Hold, repeat: Repeated) -> CopiedReply:
        """The same, with a copy of it for those who ask the very same."""
        shelf, made = repeat.shelf, making(self._metered, self._surviving, route, job, hold)
        if shelf is None:
            return CopiedReply(await made, repeat.told, None, job)
        try:
            reply = await led(made, repeat.told, shelf, job)
        except Exception:
            shelf.drop()
            raise
        return CopiedReply(reply, repeat.told, shelf, job)

    async def _repeat(
        self,
        repeating: Repeating,
        inbound: Inbound,
        job: Job,
        route: Route | None,
        checks: tuple[str, ...],
    ) -> Repeated:
        """The earlier answer to the very same, with leave to give it; or what becomes of the one to come. Raises
        `RequestError`, `Unavailable`."""
        metered, name = self._metered, job.provider.name
        simulated = job.provider.simulated or name in metered.simulated
        names = {name} if route is None else {name, *route.entries}
        question = question_of(inbound, job, names, simulated, checks)
        repeat = await repeating.find(question)
        hold: Hold | None = None
        if repeat.awaited is not None:
            hold = await metered.reserve_nothing(job, simulated=simulated)
            left_s = None if job.deadline is None else job.deadline - metered.runtime.monotonic()
            try:
                repeat = await repeating.follow(question, repeat.awaited, left_s)
            except BaseException:
                gave_up(metered, job, hold)
                raise
        if repeat.answer is None:
            if hold is not None:  # what it asks for now is counted with its call
                metered.ledger.release(hold)
            return Repeated(repeat.told, repeat.shelf)
        if hold is None:
            hold = await metered.reserve_nothing(job, simulated=simulated)
        repeating.given(question, repeat.answer)
        if job.task is not None and metered.tasking is not None:
            metered.tasking.release(job.task.grant)
        return Repeated(repeat.told, kept=KeptReply(metered, job, hold, repeat.answer, repeat.told))

    def _refuse(
        self,
        inbound: Inbound,
        body: MessagesBody | None,
        problem: RequestError | Unavailable,
        task: TaskCall | None,
    ) -> None:
        runtime, caller = self._metered.runtime, inbound.caller
        self._metered.recorder.record(
            Outcome(
                id=inbound.id,
                at_ms=inbound.arrived_ms,
                purpose="live",
                surface="chat" if inbound.endpoint == "chat" else "messages",
                endpoint=inbound.endpoint,
                requested_model=body.model if body is not None else named_model(inbound.body),
                session="",
                result="error",
                status=problem.status,
                stream=body is not None and body.stream,
                error=shortened(f"{type(problem).__name__}: {problem}", MAX_ERROR_CHARS),
                key=caller.key,
                organisation=caller.organisation,
                team=caller.team,
                user=caller.user,
                request_bytes=len(inbound.body),
                total_ms=round((runtime.monotonic() - inbound.arrived) * 1000, 3),
                config_version=runtime.config_version,
                catalogue_version=runtime.catalogue_version,
                # Beside the error, of which only the beginning is kept.
                observations=_notes(problem),
                task=task.grant.task if task is not None else "",
                phase=task.grant.phase if task is not None else "",
            ),
            inbound.headers,
        )


def _notes(problem: RequestError | Unavailable) -> tuple[str, ...]:
    if isinstance(problem, RuleRefused):
        return (problem.note,)
    return problem.notes if isinstance(problem, BudgetSpent) else ()
